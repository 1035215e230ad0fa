// Words and numbers of the reports in one language.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/planner/plan.h"
#include "holdfast/planner/report.h"

namespace holdfast::planner {

enum class Text : std::uint16_t {
#define HF_TEXT(id, english, portuguese) id,
#include "report_strings.def"
};

// One line of report_strings.def, for the code that looks things up and for the test of the table.
struct Wording {
  std::string_view key;    // of a word, an input, or a rule; empty for texts and phrases
  std::string_view marks;  // of a reason; of an input its unit
  std::string_view english;
  std::string_view portuguese;
};
std::span<const Wording> texts();
std::span<const Wording> words();
std::span<const Wording> inputs();
std::span<const Wording> reasons();
std::span<const Wording> phrases();

// Without what could move the cursor or turn the direction of the text: names come from outside.
std::string harmless(std::string_view name);
// Characters, for columns.
std::size_t width_of(std::string_view text);

// Immutable; thread-safe.
class Speech {
 public:
  Speech(Language language, std::string currency);

  Language language() const { return language_; }
  std::string say(Text text, std::initializer_list<std::string> values = {}) const;
  // Words; a name that the table does not have stands as it is.
  std::string mode(Mode mode) const;
  std::string status(OptionStatus status) const;
  std::string rule(std::string_view rule) const;
  std::string word(std::string_view group, std::string_view name) const;
  // "number of requests" and its value with the unit.
  std::string input(std::string_view path) const;
  std::string input_value(std::string_view path, double value) const;
  // What the planner wrote in English, whole or by a pattern; unknown ones stay English.
  std::string phrase(std::string_view english) const;
  // A default's value: a number is written as the language does.
  std::string value(std::string_view text) const;
  // In English the planner's own sentence, but where it has amounts or times, which it
  // writes with too many digits; those and Portuguese go by rule and numbers.
  std::string reason(const Plan& plan, const Reason& reason) const;

  std::string number(double value, int decimals) const;
  // `digits` significant ones, but never less than whole.
  std::string rounded(double value, int digits = 3) const;
  std::string percent(double share) const;
  std::string money(double amount) const;
  std::string money_short(double amount) const;  // "12.3k"
  std::string change(double amount) const;       // "+2.5k"
  std::string milliseconds(double ms) const;
  std::string bytes(double bytes) const;

 private:
  std::string_view pick(const Wording& w) const;
  std::string fill_reason(const Plan& plan, const Reason& reason, std::string_view pattern) const;
  std::string reason_value(const Plan& plan, double value, std::string_view unit) const;

  Language language_;
  std::string currency_;
};

// {0}, {1}, ... replaced.
std::string fill(std::string_view pattern, std::span<const std::string> values);

}  // namespace holdfast::planner
