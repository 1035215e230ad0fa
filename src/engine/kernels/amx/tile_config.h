// The operand of LDTILECFG: how many rows of how many bytes each tile register has. Private to this
// folder and to the emulation for tests.
#pragma once

#include <cstdint>

namespace holdfast::kernels {
namespace {

struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

}  // namespace
}  // namespace holdfast::kernels
