// The table of this folder's kernels.
#include "avx512/vec.h"
//
#include "generic/entries.h"

namespace holdfast::kernels {

using namespace HF_ISA;

extern const KernelTable kKernelsAvx512;
const KernelTable kKernelsAvx512 =
#define HF_ISA_NAME "avx512"
#include "generic/table.inc"
    ;

}  // namespace holdfast::kernels
