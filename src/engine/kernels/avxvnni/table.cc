// The table of this folder's kernels.
#include "avxvnni/vec.h"
//
#include "generic/entries.h"

namespace holdfast::kernels {

using namespace HF_ISA;

extern const KernelTable kKernelsAvxVnni;
const KernelTable kKernelsAvxVnni =
#define HF_ISA_NAME "avxvnni"
#include "generic/table.inc"
    ;

}  // namespace holdfast::kernels
