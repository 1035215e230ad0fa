// What names a model and what makes the keys of one of its packs differ from those of another.
#pragma once

#include <array>
#include <cstddef>

namespace holdfast::vault {

using Salt = std::array<std::byte, 32>;
using ModelId = std::array<std::byte, 16>;

}  // namespace holdfast::vault
