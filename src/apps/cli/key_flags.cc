#include "key_flags.h"

#include <charconv>
#include <optional>

#include "commands/rfc3339.h"
#include "holdfast/base/units.h"

namespace holdfast::cli {
namespace {

constexpr std::size_t kNearDistance = 4;
// Ten thousand years: beyond it no calendar writes the date.
constexpr std::int64_t kExpiryMax = 253'402'300'799;

Error unknown_quota(std::string_view name) {
  std::string best;
  std::size_t distance = kNearDistance;
  for (const std::string_view known : {"tokens_per_day", "requests_per_minute"}) {
    const std::size_t d = edit_distance(name, known, kNearDistance);
    if (d >= distance) continue;
    distance = d;
    best = known;
  }
  return invalid_argument("there is no quota '" + std::string(name) + "'")
      .with_hint(best.empty() ? "the quotas are tokens_per_day and requests_per_minute"
                              : "did you mean " + best + "?");
}

Result<std::uint64_t> count_of(std::string_view name, std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || value == 0) {
    return invalid_argument("'" + std::string(text) + "' is no number above 0 for " +
                            std::string(name));
  }
  return value;
}

}  // namespace

Result<identity::Quotas> parse_quotas(std::string_view text) {
  identity::Quotas out;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(item.size() + 1, text.size()));
    const std::size_t equals = item.find('=');
    const std::string_view name = item.substr(0, equals);
    std::uint64_t* const target = name == "tokens_per_day"        ? &out.tokens_per_day
                                  : name == "requests_per_minute" ? &out.requests_per_minute
                                                                  : nullptr;
    if (target == nullptr) return unknown_quota(name);
    if (equals == std::string_view::npos || *target != 0)
      return invalid_argument("a quota is written once, as " + std::string(name) + "=NUMBER");
    HF_TRY_ASSIGN(*target, count_of(name, item.substr(equals + 1)));
  }
  return out;
}

Result<std::int64_t> parse_expiry(std::string_view text, std::int64_t now) {
  std::int64_t at = 0;
  if (const auto duration = parse_duration(text); duration.ok()) {
    at = now + duration->count() / 1000;
  } else if (const auto instant = parse_rfc3339(text); instant.ok()) {
    at = instant->unix_seconds;
  } else {
    return invalid_argument("'" + std::string(text) + "' is no time")
        .with_hint("a duration such as 90d, or a time such as 2030-01-31T12:00:00Z");
  }
  if (at <= now || at > kExpiryMax)
    return invalid_argument("the key would have expired already, or never does")
        .with_hint("leave --expires out for a key that does not expire");
  return at;
}

}  // namespace holdfast::cli
