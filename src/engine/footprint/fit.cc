#include "holdfast/footprint/fit.h"

#include <algorithm>
#include <utility>

#include "holdfast/base/units.h"
#include "holdfast/footprint/kv_pages.h"

namespace holdfast::footprint {

namespace {

constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

class Decision {
 public:
  Decision(const FitRequest& request, const ScratchBytes& scratch)
      : r_(request),
        scratch_(scratch),
        limit_(request.limit_bytes == 0 ? kNoLimit : request.limit_bytes),
        kv_limit_(request.kv_bytes_max == 0 ? kNoLimit : request.kv_bytes_max) {}

  std::variant<Fit, NoFit> decide() const {
    const std::uint32_t wanted = r_.context == 0 ? r_.context_max : r_.context;
    const auto scratch = scratch_(wanted);
    if (!scratch.ok()) return NoFit{scratch.error(), 0, 0};
    if (fits(*scratch, wanted)) return finish(*scratch, wanted, false);
    const std::uint32_t largest = largest_context(wanted);
    if (r_.context == 0 && largest >= kContextWorthHaving) {
      const auto less = scratch_(largest);
      if (!less.ok()) return NoFit{less.error(), 0, 0};
      return finish(*less, largest, true);
    }
    return refuse(*scratch, wanted, largest);
  }

 private:
  std::uint64_t kv_bytes(std::uint64_t context) const {
    return kv_pages_for(context) * r_.page_bytes;
  }
  std::uint64_t needed(std::uint64_t scratch, std::uint32_t context) const {
    return r_.weights_bytes + scratch + kv_bytes(context);
  }
  bool fits(std::uint64_t scratch, std::uint32_t context) const {
    return needed(scratch, context) <= limit_ && kv_bytes(context) <= kv_limit_;
  }

  NoFit refuse(std::uint64_t scratch, std::uint32_t wanted, std::uint32_t largest) const {
    const std::uint64_t need = needed(scratch, wanted);
    std::string message = "model does not fit: " + format_bytes(need) + " needed (weights " +
                          format_bytes(r_.weights_bytes) + ", KV cache " +
                          format_bytes(kv_bytes(wanted)) + " for a context of " +
                          std::to_string(wanted) + ", scratch " + format_bytes(scratch) + "), " +
                          format_bytes(limit_) + " available";
    if (r_.kv_bytes_max != 0)
      message += ", of which " + format_bytes(r_.kv_bytes_max) + " for the KV cache";
    message += largest == 0 ? "; no context fits"
                            : "; the largest context that fits is " + std::to_string(largest);
    return {exhausted(std::move(message)), limit_, need};
  }

  std::uint32_t largest_context(std::uint32_t wanted) const {
    std::uint32_t low = 0;
    std::uint32_t high = wanted;
    while (low < high) {
      const std::uint32_t middle = low + (high - low + 1) / 2;
      const auto scratch = scratch_(middle);
      if (scratch.ok() && fits(*scratch, middle)) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low / kPageTokens * kPageTokens;
  }

  Fit finish(std::uint64_t scratch, std::uint32_t context, bool reduced) const {
    const std::uint64_t one = kv_pages_for(context);
    const std::uint64_t wanted =
        r_.kv_tokens == 0 ? planned_pages(one) : std::max(one, with_guests(r_.kv_tokens));
    const std::uint64_t room =
        std::min(limit_ - r_.weights_bytes - scratch, kv_limit_) / r_.page_bytes;
    Fit f;
    f.context = context;
    f.pages = std::max(one, std::min({wanted, room, kPagesMax}));
    f.plan = {.weights_bytes = r_.weights_bytes,
              .kv_bytes = f.pages * r_.page_bytes,
              .scratch_bytes = scratch};
    f.reduced = reduced;
    return f;
  }

  // Capacity that was asked for is one tenant's; the part that is set aside for others comes on
  // top.
  std::uint64_t with_guests(std::uint64_t tokens) const {
    return kv_pages_for(tokens * r_.places / r_.sequences);
  }
  // A whole context for each sequence is more than anyone uses, and other models need memory too.
  std::uint64_t planned_pages(std::uint64_t one) const {
    const std::uint64_t each = one * std::min(r_.places, kContextsPlanned);
    return std::max(one, std::min(each, limit_ / kKvShare / r_.page_bytes));
  }

  const FitRequest& r_;
  const ScratchBytes& scratch_;
  std::uint64_t limit_;
  std::uint64_t kv_limit_;
};

}  // namespace

std::variant<Fit, NoFit> fit(const FitRequest& request, const ScratchBytes& scratch) {
  return Decision(request, scratch).decide();
}

}  // namespace holdfast::footprint
