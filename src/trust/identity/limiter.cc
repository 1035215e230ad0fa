#include "holdfast/identity/limiter.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <utility>

#include "holdfast/base/bytes.h"

namespace holdfast::identity {
namespace {

constexpr std::int64_t kMinuteNs = 60'000'000'000;
constexpr std::int64_t kDaySeconds = 86'400;
// What running requests reserved comes back as they end.
constexpr std::int64_t kReservedRetryNs = 1'000'000'000;

std::int64_t interval_ns(std::uint64_t per_minute) {
  return std::max<std::int64_t>(kMinuteNs / static_cast<std::int64_t>(per_minute), 1);
}

std::int64_t day_of(std::int64_t unix_seconds) { return unix_seconds / kDaySeconds; }

}  // namespace

std::optional<std::int64_t> RateBucket::take(std::uint64_t per_minute, std::int64_t now_ns) {
  const std::int64_t interval = interval_ns(per_minute);
  const std::int64_t depth = interval * static_cast<std::int64_t>(per_minute);
  const std::int64_t full_at = std::max(full_at_ns_, now_ns) + interval;
  if (full_at - now_ns > depth) return full_at - now_ns - depth;
  full_at_ns_ = full_at;
  return std::nullopt;
}

std::uint64_t RateBucket::remaining(std::uint64_t per_minute, std::int64_t now_ns) const {
  const std::int64_t interval = interval_ns(per_minute);
  const std::int64_t depth = interval * static_cast<std::int64_t>(per_minute);
  // A limit that was lowered leaves more to wait for than its bucket holds.
  return static_cast<std::uint64_t>(std::max<std::int64_t>(depth - full_in_ns(now_ns), 0) /
                                    interval);
}

std::int64_t RateBucket::full_in_ns(std::int64_t now_ns) const {
  return std::max<std::int64_t>(full_at_ns_ - now_ns, 0);
}

struct Reservation::Account {
  RateBucket requests;
  std::uint32_t running = 0;
  std::uint64_t used = 0;      // tokens of `day`
  std::uint64_t reserved = 0;  // of requests that run
  std::int64_t day = 0;

  // A day begins; one that begins again, because the clock was set back, gives nothing.
  void turn(std::int64_t unix_seconds) {
    const std::int64_t today = day_of(unix_seconds);
    if (today <= day) return;
    day = today;
    used = 0;
  }
  std::uint64_t left(std::uint64_t per_day) const {
    const std::uint64_t taken = used + reserved;
    return taken >= per_day ? 0 : per_day - taken;
  }
  bool as_new(Moment now) const {
    return running == 0 && reserved == 0 && requests.full_in_ns(now.monotonic_ns) == 0 &&
           (used == 0 || day < day_of(now.unix_seconds));
  }
};

Reservation::Reservation(std::shared_ptr<Account> account, std::uint64_t reserved)
    : account_(std::move(account)), reserved_(reserved), in_place_(true) {
  ++account_->running;
  account_->reserved += reserved_;
}

Reservation::Reservation(Reservation&& other) noexcept
    : account_(std::move(other.account_)),
      reserved_(other.reserved_),
      used_(other.used_),
      in_place_(other.in_place_) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    settle();
    account_ = std::move(other.account_);
    reserved_ = other.reserved_;
    used_ = other.used_;
    in_place_ = other.in_place_;
  }
  return *this;
}

void Reservation::leave() {
  if (account_ && std::exchange(in_place_, false)) --account_->running;
}

void Reservation::settle() {
  if (!account_) return;
  leave();
  account_->reserved -= reserved_;
  account_->used += used_;
  account_.reset();
}

std::shared_ptr<Reservation::Account> Limiter::open(const std::string& name, Moment now) {
  if (const auto at = accounts_.find(name); at != accounts_.end()) return at->second;
  if (accounts_.size() >= accounts_max_)
    std::erase_if(accounts_, [&](const auto& item) { return item.second->as_new(now); });
  if (accounts_.size() >= accounts_max_) return nullptr;
  const auto fresh = std::make_shared<Reservation::Account>();
  fresh->day = day_of(now.unix_seconds);
  accounts_.emplace(name, fresh);
  return fresh;
}

std::variant<Reservation, Refused> Limiter::admit(const std::string& name,
                                                  const AccountLimits& limits,
                                                  std::uint64_t tokens_needed,
                                                  std::uint64_t tokens_wanted, Moment now) {
  const auto account = open(name, now);
  if (!account) return Refused{Refusal::kNoRoom, 0};
  account->turn(now.unix_seconds);
  if (limits.requests_at_once > 0 && account->running >= limits.requests_at_once)
    return Refused{Refusal::kConcurrency, 0};
  std::uint64_t reserved = std::max(tokens_needed, tokens_wanted);
  if (limits.tokens_per_day > 0) {
    const std::uint64_t needed = std::max<std::uint64_t>(tokens_needed, 1);
    const std::uint64_t left = account->left(limits.tokens_per_day);
    if (left < needed && left + account->reserved >= needed)
      return Refused{Refusal::kRequests, kReservedRetryNs};
    if (left < needed) {
      const std::int64_t tomorrow = (account->day + 1) * kDaySeconds;
      return Refused{Refusal::kTokens, (tomorrow - now.unix_seconds) * 1'000'000'000};
    }
    reserved = std::min(reserved, left);
  }
  if (limits.requests_per_minute > 0) {
    if (const auto wait = account->requests.take(limits.requests_per_minute, now.monotonic_ns))
      return Refused{Refusal::kRequests, *wait};
  }
  return Reservation(account, reserved);
}

AccountState Limiter::state(const std::string& name, const AccountLimits& limits,
                            Moment now) const {
  static const Reservation::Account kNew;
  const auto at = accounts_.find(name);
  const Reservation::Account& account = at == accounts_.end() ? kNew : *at->second;
  AccountState out;
  if (limits.requests_per_minute > 0)
    out.remaining_requests =
        account.requests.remaining(limits.requests_per_minute, now.monotonic_ns);
  out.requests_full_in_ns = account.requests.full_in_ns(now.monotonic_ns);
  const std::int64_t today = day_of(now.unix_seconds);
  Reservation::Account turned;
  turned.used = account.day < today ? 0 : account.used;
  turned.reserved = account.reserved;
  out.remaining_tokens = turned.left(limits.tokens_per_day);
  if (out.remaining_tokens < limits.tokens_per_day)
    out.tokens_full_in_ns = ((today + 1) * kDaySeconds - now.unix_seconds) * 1'000'000'000;
  return out;
}

void FailureLimiter::make_room(std::int64_t now_ns) {
  std::erase_if(buckets_, [&](const auto& item) { return item.second.full_in_ns(now_ns) == 0; });
  if (buckets_.size() < addresses_max_) return;
  // Nobody has recovered: whoever failed least is forgotten.
  buckets_.erase(std::min_element(buckets_.begin(), buckets_.end(), [&](auto& a, auto& b) {
    return a.second.full_in_ns(now_ns) < b.second.full_in_ns(now_ns);
  }));
}

std::optional<std::int64_t> FailureLimiter::fail(std::string_view address, std::int64_t now_ns) {
  if (per_minute_ == 0) return std::nullopt;
  std::string group = address_group(address);
  auto at = buckets_.find(group);
  if (at == buckets_.end()) {
    if (buckets_.size() >= addresses_max_) make_room(now_ns);
    at = buckets_.emplace(std::move(group), RateBucket()).first;
  }
  return at->second.take(per_minute_, now_ns);
}

std::string address_group(std::string_view text) {
  const bool bracketed = !text.empty() && text.front() == '[';
  const std::size_t end = bracketed ? text.find(']') : text.rfind(':');
  if (bracketed && end == std::string_view::npos) return std::string(text);
  const std::string host(bracketed ? text.substr(1, end - 1) : text.substr(0, end));
  if (!bracketed) return host;
  std::array<std::byte, 16> bytes{};
  if (::inet_pton(AF_INET6, host.c_str(), bytes.data()) != 1) return host;
  constexpr std::size_t kMappedAt = 12;
  const bool mapped = std::all_of(bytes.begin(), bytes.begin() + 10,
                                  [](std::byte b) { return b == std::byte{0}; }) &&
                      bytes[10] == std::byte{0xff} && bytes[11] == std::byte{0xff};
  const ByteView all(bytes);
  return to_hex(mapped ? all.subspan(kMappedAt) : all.first(8));
}

}  // namespace holdfast::identity
