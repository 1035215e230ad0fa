// Norms, activation functions, rotation, KV stores and conversions: formulas and order in
// generic/vector.inc and
// generic/kv_store.inc.
#include "avxvnni/vec.h"
//
#include "generic/entries.h"
#include "generic/pointers.h"
#include "holdfast/quant/packed_blocks.h"

namespace holdfast::kernels {
namespace {
#include "generic/vector.inc"
//
#include "generic/kv_store.inc"
}  // namespace
namespace HF_ISA {
#include "generic/vector_entries.inc"
}  // namespace HF_ISA
}  // namespace holdfast::kernels
