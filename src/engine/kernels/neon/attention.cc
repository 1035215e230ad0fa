// Attention over KV pages: formulas, layout and tolerance in generic/attention.inc.
#include "neon/vec.h"
//
#include "generic/entries.h"
#include "generic/pointers.h"

namespace holdfast::kernels {
namespace {
#include "generic/vector.inc"
//
#include "generic/attention.inc"
}  // namespace
namespace HF_ISA {
void attention_f16(const AttentionArgs& args) { attention<PageF16>(args); }
void attention_f32(const AttentionArgs& args) { attention<PageF32>(args); }
}  // namespace HF_ISA
}  // namespace holdfast::kernels
