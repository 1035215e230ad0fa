// `holdfast plan what-if` and `plan sensitivity`: the plan beside another one, and what would flip
// it.
#include <algorithm>
#include <cmath>

#include "../output.h"
#include "../plan_compare.h"
#include "../plan_edits.h"
#include "../plan_text.h"
#include "plan.h"

namespace holdfast::cli {

namespace {

using planner::Plan;
using planner::PlanOption;

constexpr std::size_t kChangesMax = 20;
constexpr int kBarColumns = 30;

void print_comparison(const std::vector<Difference>& rows,
                      const std::vector<Difference>& statuses) {
  print(comparison_text(rows, terminal_width()));
  if (statuses.empty()) return;
  print("\nOptions whose status changed\n");
  std::size_t shown = 0;
  for (const Difference& d : statuses) {
    if (shown++ == kChangesMax) {
      print("  and " + std::to_string(statuses.size() - kChangesMax) + " more\n");
      break;
    }
    print("  " + d.quantity + ": " + d.before + " -> " + d.after + "\n");
  }
}

Status what_if(Context& context, const PlanCommand& command,
               const std::vector<std::string>& edits) {
  HF_TRY_ASSIGN(const PlanSources sources, needed_sources(context, command));
  HF_TRY_ASSIGN(const planner::Problem problem, problem_of(sources));
  PlanSources changed = sources;
  for (const std::string& text : edits) {
    HF_TRY_ASSIGN(const PlanEdit edit, parse_edit(text));
    HF_TRY(apply_edit(edit, problem.prices, changed));
  }
  HF_TRY_ASSIGN(const Plan before, plan_of(sources, false));
  HF_TRY_ASSIGN(const Plan after, plan_of(changed, false));
  if (!command.out.empty()) HF_TRY(write_text(command.out, plan_json_text(after)));
  std::vector<Difference> rows = compare_plans(before, after);
  const std::vector<Difference> statuses = status_changes(before, after);
  if (!context.json()) {
    print_comparison(rows, statuses);
    return ok_status();
  }
  json::Array list;
  for (const std::string& text : edits) list.emplace_back(text);
  std::erase_if(rows, [](const Difference& d) { return d.before == d.after; });
  print_json(json::Object{{"edits", std::move(list)},
                          {"changed", differences_json(rows)},
                          {"status_changes", differences_json(statuses)},
                          {"before", planner::plan_json(before)},
                          {"after", planner::plan_json(after)}});
  return ok_status();
}

// From the least to the most expensive of the two ends, on one scale.
std::string bar_of(const planner::TornadoBar& t, double low, double high) {
  const double span = std::max(high - low, 1e-9);
  const auto column = [&](double v) {
    return static_cast<int>(std::round((v - low) / span * (kBarColumns - 1)));
  };
  const int from = column(std::min(t.npv_low, t.npv_high));
  const int to = column(std::max(t.npv_low, t.npv_high));
  std::string out(kBarColumns, ' ');
  for (int i = from; i <= to; ++i) out[static_cast<std::size_t>(i)] = '=';
  return "[" + out + "]";
}

void print_tornado(const Plan& plan) {
  double low = 0;
  double high = 0;
  bool first = true;
  for (const planner::TornadoBar& t : plan.tornado) {
    low = first ? std::min(t.npv_low, t.npv_high) : std::min({low, t.npv_low, t.npv_high});
    high = first ? std::max(t.npv_low, t.npv_high) : std::max({high, t.npv_low, t.npv_high});
    first = false;
  }
  Table table({"INPUT", "VALUE", "NPV -20 %", "NPV +20 %", "", "WINNER -20 %", "WINNER +20 %"});
  for (const planner::TornadoBar& t : plan.tornado)
    table.add({t.input, short_number(t.value), money_text(t.npv_low), money_text(t.npv_high),
               bar_of(t, low, high), t.winner_low, t.winner_high});
  print(table.render(terminal_width()));
}

Status sensitivity(Context& context, const PlanCommand& command) {
  HF_TRY_ASSIGN(const PlanSources sources, needed_sources(context, command));
  HF_TRY_ASSIGN(const Plan plan, plan_of(sources));
  const json::Value document = planner::plan_json(plan);
  if (context.json()) {
    json::Array thresholds;
    for (const PlanOption& o : plan.options)
      for (const planner::Threshold& t : o.would_change_if)
        thresholds.emplace_back(json::Object{{"option", o.id},
                                             {"input", t.input},
                                             {"value", t.value},
                                             {"threshold", t.threshold},
                                             {"to", t.to}});
    print_json(json::Object{{"recommended", *document.find("recommended")},
                            {"tornado", *document.find("tornado")},
                            {"thresholds", std::move(thresholds)}});
    return ok_status();
  }
  print("Recommended: " + plan.recommended.value_or("none") + "\n");
  if (plan.tornado.empty()) {
    print("There is no recommended option whose inputs could be varied.\n");
    return ok_status();
  }
  print_tornado(plan);
  print("\nThe recommendation changes\n");
  bool any = false;
  for (const PlanOption& o : plan.options) {
    for (const planner::Threshold& t : o.would_change_if) {
      any = true;
      print("  at " + t.input + " = " + short_number(t.threshold) + " (now " +
            short_number(t.value) + "): from " + o.id + " to " + t.to + "\n");
    }
  }
  if (!any) print("  at no value of one input that was tried\n");
  return ok_status();
}

}  // namespace

void add_plan_what_if(Registrar& r, CLI::App& plan, const PlanCommandPtr& command) {
  CLI::App& c =
      add_plan_leaf(plan, "what-if",
                    "The plan with other values beside the plan as it is; files are given "
                    "as for `plan`");
  auto edits = std::make_shared<std::vector<std::string>>();
  c.add_option("KEY=VALUE", *edits,
               "workload.users=500, models[0].name=..., prices.ID=..., prices.ID@KIND=...")
      ->required();
  r.bind(c, [command, edits](Context& context) { return what_if(context, *command, *edits); });
  CLI::App& s = add_plan_leaf(plan, "sensitivity",
                              "How each input moves the cost, and from which value on another "
                              "option wins");
  r.bind(s, [command](Context& context) { return sensitivity(context, *command); });
}

}  // namespace holdfast::cli
