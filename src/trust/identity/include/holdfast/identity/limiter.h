// Limits of a key: requests a minute, tokens a day, requests at once; and wrong keys of an address.
// Pure: time is an argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

namespace holdfast::identity {

// Both clocks of one moment. Rates use the monotonic one; days are those of UTC.
struct Moment {
  std::int64_t monotonic_ns = 0;
  std::int64_t unix_seconds = 0;
};

// N a minute, of which N may come at once. Thread-compatible value.
class RateBucket {
 public:
  // Takes one, or tells in how many nanoseconds (> 0) there will be one. `per_minute` > 0.
  std::optional<std::int64_t> take(std::uint64_t per_minute, std::int64_t now_ns);
  std::uint64_t remaining(std::uint64_t per_minute, std::int64_t now_ns) const;
  // Until all are there again.
  std::int64_t full_in_ns(std::int64_t now_ns) const;

 private:
  // When the bucket is full: each one taken moves it one interval away.
  std::int64_t full_at_ns_ = 0;
};

struct AccountLimits {
  std::uint64_t requests_per_minute = 0;  // 0: none, for all three
  std::uint64_t tokens_per_day = 0;
  std::uint32_t requests_at_once = 0;
};

struct AccountState {
  std::uint64_t remaining_requests = 0;
  std::int64_t requests_full_in_ns = 0;
  std::uint64_t remaining_tokens = 0;
  std::int64_t tokens_full_in_ns = 0;
};

enum class Refusal : std::uint8_t {
  kConcurrency,
  kTokens,    // the day's tokens do not suffice
  kRequests,  // too many in this minute
  kNoRoom,    // too many accounts are busy: the server's limit, not the caller's
};

struct Refused {
  Refusal why = Refusal::kRequests;
  std::int64_t retry_ns = 0;  // 0: when another request ends
};

// What an admitted request holds of its account: a place, and tokens that it may use. Dropping it
// gives everything back that was not used. Move-only; owned like its limiter, which it may outlive.
class Reservation {
 public:
  Reservation() = default;
  Reservation(Reservation&&) noexcept;
  Reservation& operator=(Reservation&&) noexcept;
  ~Reservation() { settle(); }

  // Tokens that were really used; may be more than were reserved.
  void use(std::uint64_t tokens) { used_ += tokens; }
  // The place is free for another request.
  void leave();
  // Also leaves. What was used is counted, the rest of the reservation is free again. Later calls
  // do nothing.
  void settle();

 private:
  friend class Limiter;
  struct Account;
  Reservation(std::shared_ptr<Account> account, std::uint64_t reserved);
  std::shared_ptr<Account> account_;  // nullptr: settled
  std::uint64_t reserved_ = 0, used_ = 0;
  bool in_place_ = false;
};

// Accounts by name. Those that are as new are forgotten when the table is full. Thread-compatible.
class Limiter {
 public:
  explicit Limiter(std::size_t accounts_max = 16'384) : accounts_max_(accounts_max) {}

  // Admits a request that needs `tokens_needed` of the day's tokens and would like
  // `tokens_wanted`, which are reserved as far as they are left. A refused one takes nothing.
  std::variant<Reservation, Refused> admit(const std::string& account, const AccountLimits& limits,
                                           std::uint64_t tokens_needed, std::uint64_t tokens_wanted,
                                           Moment now);
  AccountState state(const std::string& account, const AccountLimits& limits, Moment now) const;
  std::size_t accounts() const { return accounts_.size(); }

 private:
  std::shared_ptr<Reservation::Account> open(const std::string& name, Moment now);
  const std::size_t accounts_max_;
  std::unordered_map<std::string, std::shared_ptr<Reservation::Account>> accounts_;
};

// Wrong keys by address. Thread-compatible.
class FailureLimiter {
 public:
  explicit FailureLimiter(std::uint64_t per_minute, std::size_t addresses_max = 4096)
      : per_minute_(per_minute), addresses_max_(addresses_max) {}

  // Counts a failure. Nothing, or the time until failures of this address are answered again.
  std::optional<std::int64_t> fail(std::string_view address, std::int64_t now_ns);
  std::size_t addresses() const { return buckets_.size(); }

 private:
  void make_room(std::int64_t now_ns);
  const std::uint64_t per_minute_;  // 0: no limit
  const std::size_t addresses_max_;
  std::unordered_map<std::string, RateBucket> buckets_;
};

// What failures are counted by: the address without port, of IPv6 the network of 64 bits that one
// host can choose from. Text that is no address counts as itself.
std::string address_group(std::string_view address_and_port);

}  // namespace holdfast::identity
