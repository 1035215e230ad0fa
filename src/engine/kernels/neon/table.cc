// The table of this folder's kernels.
#include "neon/vec.h"
//
#include "generic/entries.h"

namespace holdfast::kernels {

using namespace HF_ISA;

extern const KernelTable kKernelsNeon;
const KernelTable kKernelsNeon =
#define HF_ISA_NAME "neon"
#include "generic/table.inc"
    ;

}  // namespace holdfast::kernels
