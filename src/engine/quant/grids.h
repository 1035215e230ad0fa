// The lattices of the IQ formats: each code names a point, stored here as bit fields, element 0 in
// the lowest bits.
#pragma once

#include <cstdint>

namespace holdfast::quant {

extern const std::uint16_t kGridIq2Xxs[256];
extern const std::uint16_t kGridIq2Xs[512];
extern const std::uint16_t kGridIq2S[1024];
extern const std::uint16_t kGridIq3Xxs[256];
extern const std::uint16_t kGridIq3S[512];
extern const std::uint16_t kGridIq1S[2048];

}  // namespace holdfast::quant
