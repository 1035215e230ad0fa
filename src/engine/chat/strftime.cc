#include "strftime.h"

#include <array>
#include <cstdint>
#include <cstdio>

namespace holdfast::chat {

namespace {

constexpr std::array<std::string_view, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                   "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};

struct Civil {
  std::int64_t year = 1970;
  int month = 1;    // 1 to 12
  int day = 1;      // 1 to 31
  int weekday = 0;  // 0 is Sunday
  int yearday = 0;  // 0 is 1 January
  int hour = 0;
  int minute = 0;
  int second = 0;
};

bool is_leap(std::int64_t y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }

// Days since 1970-01-01 to the Gregorian date. Years are counted from 1 March, in which the leap
// day is the last day of a year, and in eras of 400 years.
Civil civil_from_days(std::int64_t days) {
  Civil c;
  c.weekday = static_cast<int>(((days % 7) + 11) % 7);  // 1970-01-01 was a Thursday
  const std::int64_t shifted = days + 719468;           // days since 0000-03-01
  const std::int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  const std::int64_t day_of_era = shifted - era * 146097;
  const std::int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const std::int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t month_from_march = (5 * day_of_year + 2) / 153;
  c.day = static_cast<int>(day_of_year - (153 * month_from_march + 2) / 5 + 1);
  c.month = static_cast<int>(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
  c.year = year_of_era + era * 400 + (c.month <= 2 ? 1 : 0);
  static constexpr int kBefore[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  c.yearday = kBefore[c.month - 1] + c.day - 1 + (c.month > 2 && is_leap(c.year) ? 1 : 0);
  return c;
}

Civil civil_of(const RenderTime& time) {
  const std::int64_t local = time.unix_seconds + time.utc_offset_seconds;
  const std::int64_t days = (local >= 0 ? local : local - 86399) / 86400;
  Civil c = civil_from_days(days);
  const auto rest = static_cast<int>(local - days * 86400);
  c.hour = rest / 3600;
  c.minute = rest / 60 % 60;
  c.second = rest % 60;
  return c;
}

// ISO 8601 week and the year that it belongs to.
std::pair<int, std::int64_t> iso_week(const Civil& c) {
  const int monday_based = (c.weekday + 6) % 7;
  int week = (c.yearday - monday_based + 10) / 7;
  if (week < 1) {
    const int days_before = is_leap(c.year - 1) ? 366 : 365;
    return {(c.yearday + days_before - monday_based + 10) / 7, c.year - 1};
  }
  const int days_in_year = is_leap(c.year) ? 366 : 365;
  if (week == 53 && c.yearday - monday_based + 3 >= days_in_year) return {1, c.year + 1};
  return {week, c.year};
}

std::string number(std::int64_t v, int width, char flag, char fill = '0') {
  if (flag == '-') return std::to_string(v);
  if (flag == '_') fill = ' ';
  if (flag == '0') fill = '0';
  std::string digits = std::to_string(v);
  if (static_cast<int>(digits.size()) < width) {
    digits.insert(0, static_cast<std::size_t>(width) - digits.size(), fill);
  }
  return digits;
}

std::string upper_ascii(std::string s) {
  for (char& c : s) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  }
  return s;
}

// Conversions that are a text or a composition of others; empty optional would be an unknown one.
bool compose(char code, std::string_view& format) {
  switch (code) {
    case 'c':
      format = "%a %b %e %H:%M:%S %Y";
      return true;
    case 'x':
    case 'D':
      format = "%m/%d/%y";
      return true;
    case 'X':
    case 'T':
      format = "%H:%M:%S";
      return true;
    case 'F':
      format = "%Y-%m-%d";
      return true;
    case 'R':
      format = "%H:%M";
      return true;
    case 'r':
      format = "%I:%M:%S %p";
      return true;
    default:
      return false;
  }
}

std::string convert(const Civil& c, const RenderTime& time, char code, char flag, bool& known) {
  const int hour12 = c.hour % 12 == 0 ? 12 : c.hour % 12;
  const std::string day(kDays[static_cast<std::size_t>(c.weekday)]);
  const std::string month(kMonths[static_cast<std::size_t>(c.month - 1)]);
  const std::string half = c.hour < 12 ? "AM" : "PM";
  const auto text = [flag](std::string s) { return flag == '^' ? upper_ascii(std::move(s)) : s; };
  switch (code) {
    case 'a':
      return text(day.substr(0, 3));
    case 'A':
      return text(day);
    case 'b':
    case 'h':
      return text(month.substr(0, 3));
    case 'B':
      return text(month);
    case 'd':
      return number(c.day, 2, flag);
    case 'e':
      return number(c.day, 2, flag, ' ');
    case 'f':
      return "000000";
    case 'H':
      return number(c.hour, 2, flag);
    case 'k':
      return number(c.hour, 2, flag, ' ');
    case 'I':
      return number(hour12, 2, flag);
    case 'l':
      return number(hour12, 2, flag, ' ');
    case 'j':
      return number(c.yearday + 1, 3, flag);
    case 'm':
      return number(c.month, 2, flag);
    case 'M':
      return number(c.minute, 2, flag);
    case 'p':
      return half;
    case 'P':
      return half == "AM" ? "am" : "pm";
    case 'S':
      return number(c.second, 2, flag);
    case 's':
      return std::to_string(time.unix_seconds);
    case 'u':
      return std::to_string(c.weekday == 0 ? 7 : c.weekday);
    case 'w':
      return std::to_string(c.weekday);
    case 'U':
      return number((c.yearday + 7 - c.weekday) / 7, 2, flag);
    case 'W':
      return number((c.yearday + 7 - (c.weekday + 6) % 7) / 7, 2, flag);
    case 'V':
      return number(iso_week(c).first, 2, flag);
    case 'G':
      return number(iso_week(c).second, 4, flag);
    case 'g':
      return number(iso_week(c).second % 100, 2, flag);
    case 'y':
      return number(c.year % 100, 2, flag);
    case 'Y':
      return std::to_string(c.year);
    case 'C':
      return number(c.year / 100, 2, flag);
    case 'n':
      return "\n";
    case 't':
      return "\t";
    case '%':
      return "%";
    case 'z':
    case 'Z':
      return "";
    default:
      known = false;
      return "";
  }
}

std::string format_civil(const Civil& c, const RenderTime& time, std::string_view format) {
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 >= format.size()) {
      out += format[i];
      continue;
    }
    const std::size_t start = i++;
    char flag = 0;
    if (std::string_view("-_0^#").find(format[i]) != std::string_view::npos &&
        i + 1 < format.size()) {
      flag = format[i++];
    }
    std::string_view composed;
    if (compose(format[i], composed)) {
      out += format_civil(c, time, composed);
      continue;
    }
    bool known = true;
    const std::string piece = convert(c, time, format[i], flag, known);
    if (known) {
      out += piece;
    } else {
      out += format.substr(start, i - start + 1);
    }
  }
  return out;
}

}  // namespace

std::string format_time(const RenderTime& time, std::string_view format) {
  return format_civil(civil_of(time), time, format);
}

}  // namespace holdfast::chat
