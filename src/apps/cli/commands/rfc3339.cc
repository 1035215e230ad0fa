#include "rfc3339.h"

#include <chrono>
#include <cstdio>

namespace holdfast::cli {

Result<Instant> parse_rfc3339(std::string_view text) {
  const std::string s(text);
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, used = 0;
  const Error bad =
      invalid_argument("'" + s + "' is no RFC 3339 time, such as 2025-06-15T12:00:00Z");
  if (std::sscanf(s.c_str(), "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &year, &month, &day, &hour,
                  &minute, &second, &used) != 6) {
    return bad;
  }
  std::size_t at = static_cast<std::size_t>(used);
  if (at < s.size() && s[at] == '.') {
    at = s.find_first_not_of("0123456789", at + 1);
    if (at == std::string::npos) return bad;
  }
  Instant out;
  const std::string zone = s.substr(at);
  if (zone == "Z" || zone == "z") {
    out.zone_name = "UTC";
  } else {
    char sign = 0;
    int h = 0, m = 0, n = 0;
    if (std::sscanf(zone.c_str(), "%c%2d:%2d%n", &sign, &h, &m, &n) != 3 ||
        static_cast<std::size_t>(n) != zone.size() || (sign != '+' && sign != '-') || h > 23 ||
        m > 59) {
      return bad;
    }
    out.utc_offset_seconds = (sign == '-' ? -1 : 1) * (h * 3600 + m * 60);
    out.zone_name = "UTC" + zone;
  }
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok() || hour > 23 || minute > 59 || second > 60 || hour < 0 || minute < 0 || second < 0)
    return bad;
  const auto days = std::chrono::sys_days(date).time_since_epoch();
  out.unix_seconds = std::chrono::duration_cast<std::chrono::seconds>(days).count() + hour * 3600 +
                     minute * 60 + second - out.utc_offset_seconds;
  return out;
}

}  // namespace holdfast::cli
