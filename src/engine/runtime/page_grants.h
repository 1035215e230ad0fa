// Who may take more KV pages, so that everybody can end with the pages that there are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace holdfast::runtime {

// What one running sequence holds and may still ask for.
struct PageClaim {
  std::vector<std::uint32_t> pages;  // held; those that sequences share are in the claim of each
  std::size_t granted = 0;           // promised in this step and not taken yet
  std::size_t need = 0;              // more that it may take before it ends, at most
};

// Whether the sequences can end one after the other, each with what is available and what those
// before it have given back: the safe state of the banker's algorithm (Dijkstra, EWD 623), with
// pages that return when the last holder ends. `available`: pages that nobody holds. Linear in the
// pages held.
bool all_can_end(std::size_t available, const std::vector<PageClaim>& claims,
                 std::size_t pages_total);

// The pages of one step. While all that the running sequences may ever need is there, everything is
// granted. Else a page is granted when all can still end afterwards; there is always one sequence
// to which that applies. Owned by the engine's loop.
class PageGrants {
 public:
  // `claims` of what runs; they are only looked at when `needs_total` is more than `available`.
  PageGrants(std::size_t available, std::size_t pages_total, std::size_t needs_total)
      : available_(available), pages_total_(pages_total), plenty_(needs_total <= available) {}

  bool plenty() const { return plenty_; }
  // Without plenty, before the first take().
  void set_claims(std::vector<PageClaim> claims) { claims_ = std::move(claims); }
  // Grants `pages` to the sequence of that claim, or nothing.
  bool take(std::size_t claim, std::size_t pages);

 private:
  std::size_t available_;
  std::size_t pages_total_;
  bool plenty_;
  std::vector<PageClaim> claims_;
};

}  // namespace holdfast::runtime
