#include "plan_text.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "output.h"

namespace holdfast::cli {

namespace {

using planner::OptionStatus;
using planner::Plan;
using planner::PlanOption;

constexpr std::size_t kRowsMax = 12;
constexpr std::size_t kRulesMax = 12;

struct Words {
  const char* recommended;
  const char* nothing;
  const char* rules;
  const char* header[9];
  const char* more;
  const char* removed;
  const char* warning;
  const char* defaults;
  const char* assumed;
  const char* change;
};
constexpr Words kEnglish{
    "Recommended",
    "Nothing satisfies all limits",
    "binding rules",
    {"OPTION", "STATUS", "DEVICES", "QUANT", "NPV", "PER MTOK", "TTFT P99", "TPOT P99", "CHEAPEST"},
    "more options: --explain or --json",
    "Removed",
    "warning",
    "Defaults used",
    "assumed",
    "Another option wins when"};
constexpr Words kPortuguese{"Recomendado",
                            "Nada cumpre todos os limites",
                            "regras determinantes",
                            {"OPÇÃO", "ESTADO", "DISPOSITIVOS", "QUANT", "VPL", "POR MTOK",
                             "TTFT P99", "TPOT P99", "MAIS BARATA"},
                            "mais opções: --explain ou --json",
                            "Removidas",
                            "aviso",
                            "Valores por omissão usados",
                            "presumido",
                            "Outra opção ganha quando"};

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

std::string milliseconds_text(const planner::Band& b) {
  return b.p50 <= 0 ? "" : short_number(b.p50) + " ms";
}

std::string devices_text(const PlanOption& o) {
  return o.device.empty() ? o.provider : fixed(o.count, 0) + " x " + o.device;
}

void add_reasons(std::string& out, const PlanOption& o) {
  for (const planner::Reason& r : o.because) out += "    " + r.rule + ": " + r.text + "\n";
}

void add_headline(std::string& out, const Plan& plan, const Words& w) {
  if (!plan.recommended) {
    out += std::string(w.nothing) + " (" + w.rules + ":";
    for (const std::string& rule : plan.binding) out += " " + rule;
    out += ")\n";
    return;
  }
  out += std::string(w.recommended) + ": " + *plan.recommended + "\n";
  for (const PlanOption& o : plan.options) {
    if (o.status != OptionStatus::kRecommended) continue;
    out += "  " + o.id + ": " + devices_text(o) + ", " + plan.currency + " " + money_text(o.npv) +
           " / " + std::to_string(plan.horizon_years) + " y\n";
    add_reasons(out, o);
  }
}

void add_table(std::string& out, const Plan& plan, const PlanTextOptions& options, const Words& w) {
  Table table(std::vector<std::string>(std::begin(w.header), std::end(w.header)));
  std::size_t rows = 0;
  std::size_t left = 0;
  for (const PlanOption* o : ordered(plan)) {
    if (!options.explain && (rows == kRowsMax || o->status == OptionStatus::kRemoved)) {
      ++left;
      continue;
    }
    ++rows;
    table.add({o->id, std::string(planner::option_status_name(o->status)), devices_text(*o),
               o->quant, money_text(o->npv), money_text(o->per_million_tokens),
               milliseconds_text(o->ttft_ms_p99), milliseconds_text(o->tpot_ms_p99),
               fixed(100 * o->p_cheapest, 0) + " %"});
  }
  if (rows > 0) out += "\n" + table.render(options.width);
  if (left > 0) out += "(" + std::to_string(left) + " " + w.more + ")\n";
}

// How many options each rule removed.
void add_removals(std::string& out, const Plan& plan, const Words& w) {
  std::vector<std::pair<std::string, std::size_t>> rules;
  for (const PlanOption& o : plan.options) {
    if (o.status != OptionStatus::kRemoved || o.because.empty()) continue;
    const std::string& rule = o.because.back().rule;
    const auto at = std::find_if(rules.begin(), rules.end(),
                                 [&](const auto& entry) { return entry.first == rule; });
    if (at != rules.end()) {
      ++at->second;
    } else if (rules.size() < kRulesMax) {
      rules.emplace_back(rule, 1);
    }
  }
  if (rules.empty()) return;
  out += std::string("\n") + w.removed + ":";
  for (const auto& [rule, n] : rules) out += " " + rule + " " + std::to_string(n);
  out += "\n";
}

void add_explanation(std::string& out, const Plan& plan, const Words& w) {
  for (const PlanOption* o : ordered(plan)) {
    if (o->because.empty() && o->would_change_if.empty()) continue;
    out += "\n  " + o->id + " (" + std::string(planner::option_status_name(o->status)) + ")\n";
    add_reasons(out, *o);
    for (const planner::Threshold& t : o->would_change_if)
      out += std::string("    ") + w.change + " " + t.input + " = " + short_number(t.threshold) +
             " (" + short_number(t.value) + ") -> " + t.to + "\n";
  }
  out += std::string("\n") + w.defaults + ":\n";
  for (const planner::DefaultUsed& d : plan.defaults)
    out += "  " + d.field + " = " + d.value + ": " + d.effect +
           (d.assumed ? std::string(" (") + w.assumed + ")" : "") + "\n";
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

std::string plan_text(const Plan& plan, const PlanTextOptions& options) {
  const Words& w = options.portuguese ? kPortuguese : kEnglish;
  std::string out;
  add_headline(out, plan, w);
  add_table(out, plan, options, w);
  add_removals(out, plan, w);
  for (const std::string& text : plan.warnings) out += std::string(w.warning) + ": " + text + "\n";
  if (options.explain) add_explanation(out, plan, w);
  return out;
}

}  // namespace holdfast::cli
