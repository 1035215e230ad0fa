// Values of the flags of `holdfast key create`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/identity/principal.h"

namespace holdfast::cli {

// "tokens_per_day=100000,requests_per_minute=60". kInvalidArgument with the nearest name.
Result<identity::Quotas> parse_quotas(std::string_view text);
// "90d" from `now`, or an RFC 3339 time; Unix seconds. kInvalidArgument, also for what has passed.
Result<std::int64_t> parse_expiry(std::string_view text, std::int64_t now);

}  // namespace holdfast::cli
