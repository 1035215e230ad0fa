// Norms, activation functions, rotation, KV stores and conversions: formulas and order in
// generic/vector.inc.
#include "neon/vec.h"
//
#include "generic/entries.h"
#include "generic/pointers.h"

namespace holdfast::kernels {
namespace {
#include "generic/vector.inc"
}  // namespace
namespace HF_ISA {
#include "generic/vector_entries.inc"
}  // namespace HF_ISA
}  // namespace holdfast::kernels
