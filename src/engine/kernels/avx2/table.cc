// The table of this folder's kernels.
#include "avx2/vec.h"
//
#include "generic/entries.h"

namespace holdfast::kernels {

using namespace HF_ISA;

extern const KernelTable kKernelsAvx2;
const KernelTable kKernelsAvx2 =
#define HF_ISA_NAME "avx2"
#include "generic/table.inc"
    ;

}  // namespace holdfast::kernels
