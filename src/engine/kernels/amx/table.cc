// The table of this folder's kernels: matrix products of many columns by tiles, all else by
// AVX-512.
#include "amx/vec.h"
//
#include "amx/entries.h"

namespace holdfast::kernels {

using namespace HF_ISA;

extern const KernelTable kKernelsAmx;
const KernelTable kKernelsAmx =
#define HF_ISA_NAME "amx"
#define HF_QUANT_GEMM(field) amx::gemm_##field
#define HF_PASS_COLUMNS 256
#include "generic/table.inc"
    ;

}  // namespace holdfast::kernels
