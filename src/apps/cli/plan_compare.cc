#include "plan_compare.h"

#include <map>
#include <utility>

#include "output.h"
#include "plan_text.h"

namespace holdfast::cli {

namespace {

using planner::Plan;
using planner::PlanOption;

const PlanOption* recommended_of(const Plan& plan) {
  for (const PlanOption& o : plan.options)
    if (o.status == planner::OptionStatus::kRecommended) return &o;
  return nullptr;
}

using Values = std::vector<std::pair<std::string, std::string>>;

// What is compared of a plan: its first recommended option.
Values values_of(const Plan& plan) {
  Values out{{"recommended", plan.recommended.value_or("none")}};
  const PlanOption* o = recommended_of(plan);
  const auto add = [&](const char* name, std::string text) { out.emplace_back(name, text); };
  const auto number = [&](const char* name, double value) {
    add(name, o == nullptr ? "-" : short_number(value));
  };
  const auto money = [&](const char* name, double value) {
    add(name, o == nullptr ? "-" : money_text(value));
  };
  static const PlanOption kNone;
  const PlanOption& p = o == nullptr ? kNone : *o;
  add("mode", o == nullptr ? "-" : std::string(planner::mode_name(p.mode)));
  add("device", p.device.empty() ? (p.provider.empty() ? "-" : p.provider) : p.device);
  number("devices", p.count);
  add("quant", p.quant.empty() ? "-" : p.quant);
  number("replicas", p.replicas);
  money("npv", p.npv);
  money("capex", p.capex);
  money("opex_month_max", p.opex_month_max);
  money("per_million_tokens", p.per_million_tokens);
  number("ttft_ms_p99", p.ttft_ms_p99.p50);
  number("tpot_ms_p99", p.tpot_ms_p99.p50);
  number("utilisation", p.utilisation);
  add("availability", o == nullptr ? "-" : fixed(p.availability, 5));
  number("p_cheapest", p.p_cheapest);
  number("rate_sized_rps", plan.rate_sized);
  return out;
}

}  // namespace

std::vector<Difference> compare_plans(const Plan& before, const Plan& after) {
  const Values a = values_of(before);
  const Values b = values_of(after);
  std::vector<Difference> out;
  for (std::size_t i = 0; i < a.size(); ++i) out.push_back({a[i].first, a[i].second, b[i].second});
  return out;
}

std::string comparison_text(const std::vector<Difference>& rows, std::size_t width) {
  Table table({"QUANTITY", "BEFORE", "AFTER", ""});
  for (const Difference& d : rows)
    table.add({d.quantity, d.before, d.after, d.before == d.after ? "" : "changed"});
  return table.render(width);
}

std::vector<Difference> status_changes(const Plan& before, const Plan& after) {
  std::map<std::string, Difference> all;
  const auto status = [](const PlanOption& o) {
    return std::string(planner::option_status_name(o.status));
  };
  for (const PlanOption& o : before.options) all[o.id] = {o.id, status(o), std::string("-")};
  for (const PlanOption& o : after.options) {
    Difference& d = all[o.id];
    d.quantity = o.id;
    d.after = status(o);
    if (d.before.empty()) d.before = std::string("-");
  }
  std::vector<Difference> out;
  for (auto& [id, d] : all)
    if (d.before != d.after) out.push_back(d);
  return out;
}

json::Array differences_json(const std::vector<Difference>& list) {
  json::Array out;
  for (const Difference& d : list)
    out.emplace_back(
        json::Object{{"quantity", d.quantity}, {"before", d.before}, {"after", d.after}});
  return out;
}

}  // namespace holdfast::cli
