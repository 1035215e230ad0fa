#include "plan_text.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "output.h"

namespace holdfast::cli {

namespace {

using planner::OptionStatus;
using planner::Plan;
using planner::PlanOption;

struct Words {
  const char* defaults;
  const char* assumed;
  const char* change;
  const char* becomes;
};
constexpr Words kEnglish{"Defaults used", "assumed", "would change if", "then"};
constexpr Words kPortuguese{"Valores por omissão usados", "presumido", "mudaria se", "então"};

int rank(const PlanOption& o) {
  switch (o.status) {
    case OptionStatus::kRecommended:
      return 0;
    case OptionStatus::kFeasible:
      return 1;
    case OptionStatus::kDominated:
      return 2;
    case OptionStatus::kRemoved:
      return 3;
  }
  return 3;
}

std::vector<const PlanOption*> ordered(const Plan& plan) {
  std::vector<const PlanOption*> out;
  for (const PlanOption& o : plan.options) out.push_back(&o);
  std::stable_sort(out.begin(), out.end(), [](const PlanOption* a, const PlanOption* b) {
    return rank(*a) != rank(*b) ? rank(*a) < rank(*b) : a->npv < b->npv;
  });
  return out;
}

}  // namespace

std::string money_text(double amount) {
  if (!std::isfinite(amount)) return "-";
  if (std::abs(amount) < 100) return fixed(amount, 2);
  std::string digits = fixed(std::abs(amount), 0);
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  if (amount < 0) digits.insert(0, 1, '-');
  return digits;
}

std::string short_number(double value) {
  const double size = std::abs(value);
  if (size >= 100 || value == 0) return fixed(value, 0);
  return fixed(value, size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

std::string explanation_text(const Plan& plan, bool portuguese) {
  const Words& w = portuguese ? kPortuguese : kEnglish;
  std::string out;
  for (const PlanOption* o : ordered(plan)) {
    if (o->because.empty() && o->would_change_if.empty()) continue;
    out += "\n" + o->id + " (" + std::string(planner::option_status_name(o->status)) + ")\n";
    for (const planner::Reason& r : o->because) out += "  " + r.rule + ": " + r.text + "\n";
    for (const planner::Threshold& t : o->would_change_if)
      out += std::string("  ") + w.change + " " + t.input + " = " + short_number(t.threshold) +
             " (" + short_number(t.value) + "), " + w.becomes + " " + t.to + "\n";
  }
  out += std::string("\n") + w.defaults + "\n";
  for (const planner::DefaultUsed& d : plan.defaults)
    out += "  " + d.field + " = " + d.value + ": " + d.effect +
           (d.assumed ? std::string(" (") + w.assumed + ")" : "") + "\n";
  return without_controls(out);
}

}  // namespace holdfast::cli
