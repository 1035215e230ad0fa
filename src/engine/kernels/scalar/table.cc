#include "holdfast/kernels/kernel_table.h"

namespace holdfast::kernels {

extern const KernelTable kKernelsScalar;
const KernelTable kKernelsScalar = [] {
  KernelTable table{};
  table.isa = "scalar";
  return table;
}();

}  // namespace holdfast::kernels
