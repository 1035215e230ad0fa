// The table of this folder's kernels.
#include "scalar/vec.h"
//
#include "generic/entries.h"

namespace holdfast::kernels {

using namespace HF_ISA;

extern const KernelTable kKernelsScalar;
const KernelTable kKernelsScalar =
#define HF_ISA_NAME "scalar"
#include "generic/table.inc"
    ;

}  // namespace holdfast::kernels
