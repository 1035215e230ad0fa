#include "page_grants.h"

#include <algorithm>
#include <numeric>

#include "holdfast/base/check.h"

namespace holdfast::runtime {

// Whoever needs least goes first: giving back only helps those who come later.
bool all_can_end(std::size_t available, const std::vector<PageClaim>& claims,
                 std::size_t pages_total) {
  std::vector<std::uint32_t> holders(pages_total, 0);
  for (const PageClaim& claim : claims) {
    for (const std::uint32_t page : claim.pages) ++holders[page];
  }
  std::vector<std::size_t> order(claims.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](std::size_t i) { return claims[i].need; });
  for (const std::size_t i : order) {
    if (claims[i].need > available) return false;
    available += claims[i].granted;
    for (const std::uint32_t page : claims[i].pages) available += --holders[page] == 0 ? 1 : 0;
  }
  return true;
}

bool PageGrants::take(std::size_t claim, std::size_t pages) {
  if (pages == 0 || plenty_) return true;
  PageClaim& c = claims_[claim];
  HF_CHECK(pages <= c.need);
  if (pages > available_) return false;
  available_ -= pages;
  c.granted += pages;
  c.need -= pages;
  if (all_can_end(available_, claims_, pages_total_)) return true;
  available_ += pages;
  c.granted -= pages;
  c.need += pages;
  return false;
}

}  // namespace holdfast::runtime
