// Attention over KV pages: formulas, layout and tolerance in generic/attention.inc.
#include "avxvnni/vec.h"
//
#include "generic/entries.h"
#include "generic/pointers.h"
#include "holdfast/quant/packed_blocks.h"

namespace holdfast::kernels {
namespace {
#include "generic/vector.inc"
//
#include "generic/attention.inc"
//
#include "generic/gemm_formats.inc"
//
#include "generic/gemm_quant.inc"
//
#include "generic/attention_quant.inc"
}  // namespace
namespace HF_ISA {
#include "generic/attention_entries.inc"
}  // namespace HF_ISA
}  // namespace holdfast::kernels
