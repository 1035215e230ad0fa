#include "speech.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "holdfast/base/utf8.h"

namespace holdfast::planner {

namespace {

constexpr Wording kTexts[] = {
#define HF_TEXT(id, english, portuguese) {#id, "", english, portuguese},
#include "report_strings.def"
};
constexpr Wording kWords[] = {
#define HF_WORD(key, english, portuguese) {key, "", english, portuguese},
#include "report_strings.def"
};
constexpr Wording kInputs[] = {
#define HF_INPUT(path, unit, english, portuguese) {path, unit, english, portuguese},
#include "report_strings.def"
};
constexpr Wording kReasons[] = {
#define HF_REASON(rule, marks, english, portuguese) {rule, marks, english, portuguese},
#include "report_strings.def"
};
constexpr Wording kPhrases[] = {
#define HF_PHRASE(english, portuguese) {"", "", english, portuguese},
#include "report_strings.def"
};

const Wording* find_key(std::span<const Wording> table, std::string_view key) {
  const auto at =
      std::find_if(table.begin(), table.end(), [key](const Wording& w) { return w.key == key; });
  return at == table.end() ? nullptr : &*at;
}

// What stands for {0}, {1}, ... where `text` is the pattern filled in.
std::optional<std::vector<std::string>> match(std::string_view pattern, std::string_view text) {
  std::vector<std::string> values;
  while (true) {
    const std::size_t open = pattern.find('{');
    if (open == std::string_view::npos) {
      if (text != pattern) return std::nullopt;
      return values;
    }
    if (!text.starts_with(pattern.substr(0, open))) return std::nullopt;
    text.remove_prefix(open);
    pattern.remove_prefix(std::min(pattern.size(), pattern.find('}') + 1));
    const std::string_view literal = pattern.substr(0, pattern.find('{'));
    const std::size_t end = literal.empty() ? text.size() : text.find(literal);
    if (end == std::string_view::npos) return std::nullopt;
    values.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

const double* number_of(const Reason& r, std::string_view name) {
  for (const auto& [n, value] : r.numbers)
    if (n == name) return &value;
  return nullptr;
}

// Every mark is a number or an input of the reason.
bool has_marks(const Reason& r, std::string_view marks) {
  while (!marks.empty()) {
    const std::string_view mark = marks.substr(0, marks.find(' '));
    marks.remove_prefix(std::min(marks.size(), mark.size() + 1));
    const bool input = std::find(r.inputs.begin(), r.inputs.end(), mark) != r.inputs.end();
    if (!input && number_of(r, mark) == nullptr) return false;
  }
  return true;
}

// Without zeros at the end of the decimals.
std::string trimmed(std::string number) {
  number.erase(number.find_last_not_of('0') + 1);
  if (number.ends_with('.') || number.ends_with(',')) number.pop_back();
  return number;
}

bool turns_text(char32_t c) { return (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069); }

}  // namespace

std::span<const Wording> texts() { return kTexts; }
std::span<const Wording> words() { return kWords; }
std::span<const Wording> inputs() { return kInputs; }
std::span<const Wording> reasons() { return kReasons; }
std::span<const Wording> phrases() { return kPhrases; }

std::string harmless(std::string_view name) {
  const std::string clean = sanitize_utf8(name);
  std::string out;
  for (std::size_t pos = 0; pos < clean.size();) {
    const Utf8Char c = decode_utf8(clean, pos);
    pos += c.length;
    const bool control = c.code_point < 0x20 || (c.code_point >= 0x7F && c.code_point < 0xA0);
    append_utf8(out, control || turns_text(c.code_point) ? U'?' : c.code_point);
  }
  return out;
}

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string fill(std::string_view pattern, std::span<const std::string> values) {
  std::string out;
  for (std::size_t pos = 0; pos < pattern.size(); ++pos) {
    const bool slot = pattern[pos] == '{' && pos + 2 < pattern.size() && pattern[pos + 2] == '}' &&
                      pattern[pos + 1] >= '0' && pattern[pos + 1] <= '9';
    if (!slot) {
      out += pattern[pos];
      continue;
    }
    const auto index = static_cast<std::size_t>(pattern[pos + 1] - '0');
    if (index < values.size()) out += values[index];
    pos += 2;
  }
  return out;
}

Result<Language> parse_language(std::string_view name) {
  const std::string_view word = name.substr(0, name.find_first_of("-_."));
  if (word == "en") return Language::kEnglish;
  if (word == "pt") return Language::kPortuguese;
  return invalid_argument("there is no language \"" + std::string(name.substr(0, 40)) +
                          "\": en or pt");
}

Speech::Speech(Language language, std::string currency)
    : language_(language), currency_(harmless(currency)) {}

std::string_view Speech::pick(const Wording& w) const {
  return language_ == Language::kPortuguese ? w.portuguese : w.english;
}

std::string Speech::say(Text text, std::initializer_list<std::string> values) const {
  return fill(pick(kTexts[static_cast<std::size_t>(text)]),
              std::span<const std::string>(values.begin(), values.size()));
}

std::string Speech::word(std::string_view group, std::string_view name) const {
  const Wording* w = find_key(kWords, std::string(group) + "." + std::string(name));
  return w == nullptr ? harmless(name) : std::string(pick(*w));
}

std::string Speech::mode(Mode mode) const { return word("mode", mode_name(mode)); }
std::string Speech::status(OptionStatus s) const { return word("status", option_status_name(s)); }
std::string Speech::rule(std::string_view rule) const { return word("rule", rule); }

std::string Speech::input(std::string_view path) const {
  const Wording* w = find_key(kInputs, path);
  return w == nullptr ? harmless(path) : std::string(pick(*w));
}

std::string Speech::input_value(std::string_view path, double value) const {
  const Wording* w = find_key(kInputs, path);
  const std::string_view unit = w == nullptr ? "number" : w->marks;
  if (unit == "money") return money(value);
  if (unit == "percent") return percent(value);
  if (unit == "factor") return rounded(value) + " ×";
  if (unit == "rps") return rounded(value) + " /s";
  if (unit == "tokens") return rounded(value) + " tokens";
  if (unit == "years")
    return rounded(value) + (language_ == Language::kPortuguese ? " anos" : " years");
  return rounded(value);
}

std::string Speech::phrase(std::string_view english) const {
  if (language_ == Language::kEnglish) return harmless(english);
  for (const Wording& w : kPhrases) {
    auto values = match(w.english, english);
    if (!values) continue;
    for (std::string& v : *values) v = harmless(v);
    return fill(w.portuguese, *values);
  }
  return harmless(english);
}

std::string Speech::value(std::string_view text) const {
  for (const Wording& w : kPhrases)
    if (w.english == text) return phrase(text);
  if (text == "-1") return say(Text::kByRule);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return phrase(text);
  return rounded(number, 6);
}

std::string Speech::reason(const Plan& plan, const Reason& r) const {
  const auto at = std::find_if(std::begin(kReasons), std::end(kReasons), [&r](const Wording& w) {
    return w.key == r.rule && has_marks(r, w.marks);
  });
  const bool found = at != std::end(kReasons);
  const bool amounts = found && (at->english.find(":money") != std::string_view::npos ||
                                 at->english.find(":ms") != std::string_view::npos);
  if (language_ == Language::kEnglish && !r.text.empty() && !amounts) return harmless(r.text);
  if (found) return fill_reason(plan, r, pick(*at));
  std::string out = rule(r.rule);
  for (const auto& [name, value] : r.numbers) out += "; " + harmless(name) + " " + rounded(value);
  return out;
}

std::string Speech::fill_reason(const Plan& plan, const Reason& r, std::string_view pattern) const {
  std::string out;
  while (!pattern.empty()) {
    const std::size_t open = std::min(pattern.find('{'), pattern.size());
    out += pattern.substr(0, open);
    pattern.remove_prefix(open);
    if (pattern.empty()) break;
    const std::size_t close = std::min(pattern.find('}'), pattern.size() - 1);
    const std::string_view slot = pattern.substr(1, close - 1);
    const std::size_t colon = std::min(slot.find(':'), slot.size());
    const double* value = number_of(r, slot.substr(0, colon));
    if (value != nullptr)
      out += reason_value(plan, *value, slot.substr(std::min(colon + 1, slot.size())));
    pattern.remove_prefix(close + 1);
  }
  return out;
}

std::string Speech::reason_value(const Plan& plan, double value, std::string_view unit) const {
  if (unit == "money") return money(value);
  if (unit == "percent") return percent(value);
  if (unit == "bytes") return bytes(value);
  if (unit == "ms") return milliseconds(value);
  if (unit == "millions") return rounded(value / 1e6);
  if (unit == "days") {
    if (value < 0) return say(Text::kUnknown);
    return rounded(value) + (language_ == Language::kPortuguese ? " dias" : " days");
  }
  for (const PlanOption& o : plan.options) {
    const bool same = (unit == "option_by_npv" && o.npv == value) ||
                      (unit == "option_by_total" && o.total == value);
    if (same) return harmless(o.id);
  }
  return rounded(value);
}

std::string Speech::number(double value, int decimals) const {
  if (!std::isfinite(value)) return say(Text::kUnknown);
  std::array<char, 400> buffer{};
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(),
                                          std::abs(value), std::chars_format::fixed, decimals);
  const std::string_view digits(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  const std::size_t whole = std::min(digits.find('.'), digits.size());
  const bool portuguese = language_ == Language::kPortuguese;
  std::string out;
  if (value < 0 && digits.find_first_not_of("0.") != std::string_view::npos) out += '-';
  for (std::size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % 3 == 0) out += portuguese ? '.' : ',';
    out += digits[i];
  }
  if (whole < digits.size()) {
    out += portuguese ? ',' : '.';
    out += digits.substr(whole + 1);
  }
  return out;
}

std::string Speech::rounded(double value, int digits) const {
  if (!std::isfinite(value)) return say(Text::kUnknown);
  if (value == 0) return "0";
  const int magnitude = static_cast<int>(std::floor(std::log10(std::abs(value))));
  constexpr int kDecimalsMax = 12;
  const int decimals = std::clamp(digits - 1 - magnitude, 0, kDecimalsMax);
  const std::string out = number(value, decimals);
  return decimals == 0 ? out : trimmed(out);
}

// As many nines as a figure near the whole needs to be told from it.
std::string Speech::percent(double share) const {
  const double rest = 100 * std::abs(1 - share);
  const int digits = std::abs(share) < 0.1 ? 2 : 3;
  if (share > 0.9 && share < 1 && rest > 0) {
    const int decimals = std::clamp(1 - static_cast<int>(std::floor(std::log10(rest))), 0, 7);
    return (decimals == 0 ? number(100 * share, 0) : trimmed(number(100 * share, decimals))) + " %";
  }
  return rounded(100 * share, digits) + " %";
}

std::string Speech::money(double amount) const {
  const double size = std::abs(amount);
  if (size > 0 && size < 1) return rounded(amount) + " " + currency_;
  return number(amount, size >= 100 || size == 0 ? 0 : 2) + " " + currency_;
}

std::string Speech::money_short(double amount) const {
  const double size = std::abs(amount);
  if (size >= 1e9) return rounded(amount / 1e9) + say(Text::kBillionShort);
  if (size >= 1e6) return rounded(amount / 1e6) + say(Text::kMillionShort);
  if (size >= 1e3) return rounded(amount / 1e3) + say(Text::kThousand);
  return rounded(amount);
}

std::string Speech::change(double amount) const {
  return (amount > 0 ? "+" : "") + money_short(amount);
}

std::string Speech::milliseconds(double ms) const {
  constexpr double kLong = 10'000;
  if (ms >= kLong) return say(Text::kSeconds, {rounded(ms / 1000)});
  return say(Text::kMilliseconds, {rounded(ms)});
}

std::string Speech::bytes(double value) const {
  const double size = std::abs(value);
  if (size >= 1e12) return rounded(value / 1e12) + " TB";
  if (size >= 1e9) return rounded(value / 1e9) + " GB";
  if (size >= 1e6) return rounded(value / 1e6) + " MB";
  if (size >= 1e3) return rounded(value / 1e3) + " kB";
  return rounded(value) + " B";
}

}  // namespace holdfast::planner
