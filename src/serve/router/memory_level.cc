#include "holdfast/router/memory_level.h"

#include <algorithm>

namespace holdfast::router {

MemoryLevel memory_level(double in_use) {
  if (in_use >= 0.99) return MemoryLevel::kShed;
  if (in_use >= 0.95) return MemoryLevel::kNoNew;
  if (in_use >= 0.90) return MemoryLevel::kNoBatch;
  if (in_use >= 0.80) return MemoryLevel::kKeepNothing;
  return MemoryLevel::kNormal;
}

double memory_in_use(std::uint64_t limit, std::uint64_t available, std::uint64_t planned) {
  // Room that a plan may leave nothing of: engines that were allowed all of it.
  constexpr std::uint64_t kRoomMinPart = 20;
  if (limit == 0) return 0;
  const std::uint64_t room = std::max(limit - std::min(limit, planned), limit / kRoomMinPart);
  return 1 - static_cast<double>(std::min(available, room)) / static_cast<double>(room);
}

}  // namespace holdfast::router
