#include "plan_text.h"

#include <algorithm>
#include <array>
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

const PlanOption* recommended_of(const Plan& plan) {
  for (const PlanOption& o : plan.options)
    if (o.status == OptionStatus::kRecommended) return &o;
  return nullptr;
}

std::string band_text(const planner::Band& b, const char* unit) {
  return short_number(b.p50) + " " + unit + " (four of five between " + short_number(b.p10) +
         " and " + short_number(b.p90) + ")";
}

std::string gigabytes_text(planner::Bytes bytes) {
  return short_number(bytes.value() / 1e9) + " GB";
}

// Sentences for one quantity; each line ends with a line break.
using Explain = std::string (*)(const Plan& plan, const PlanOption& o);

std::string explain_cost(const Plan& plan, const PlanOption& o) {
  std::string out = "npv = sum over years of cost(year) / (1 + wacc)^year, over " +
                    std::to_string(plan.horizon_years) + " years\n";
  for (std::size_t y = 0; y < o.per_year.size(); ++y)
    out += "  year " + std::to_string(y) + ": " + money_text(o.per_year[y]) + "\n";
  out += "  total " + money_text(o.total) + ", discounted " + plan.currency + " " +
         money_text(o.npv) + "\nlines, undiscounted:\n";
  for (const planner::LedgerLine& line : o.ledger.lines) {
    double sum = 0;
    for (const planner::Money m : line.per_year) sum += m.value();
    out += "  " + line.name + ": " + money_text(sum) + (line.assumed ? " (assumed)" : "") + "\n";
  }
  return out + "interval: " + money_text(o.npv_band.p10) + " to " + money_text(o.npv_band.p90) +
         " in four of five draws\n";
}

std::string explain_capex(const Plan& plan, const PlanOption& o) {
  std::string out =
      "the most that is bought in one year: " + plan.currency + " " + money_text(o.capex) + "\n";
  for (const planner::BomLine& b : o.bom)
    out += "  " + short_number(b.count) + " x " + b.item + " at " + money_text(b.unit_price) + "\n";
  return out;
}

std::string explain_tokens(const Plan& plan, const PlanOption& o) {
  return "per_million_tokens = total / tokens of the whole time, prompts and answers\n  " +
         money_text(o.total) + " over " + std::to_string(plan.horizon_years) +
         " years; in the first " + short_number(plan.tokens_in_month / 1e6) + " M in and " +
         short_number(plan.tokens_out_month / 1e6) +
         " M out a month\n  = " + money_text(o.per_million_tokens) + " " + plan.currency + "\n";
}

std::string explain_memory(const Plan&, const PlanOption& o) {
  return "weights + keys and values + work space <= usable memory\n  " +
         gigabytes_text(o.memory.weights) + " + " + gigabytes_text(o.memory.kv) + " + " +
         gigabytes_text(o.memory.workspace) + " = " + gigabytes_text(o.memory.total()) + " of " +
         gigabytes_text(o.memory.usable) +
         "\n  keys and values: " + short_number(o.kv_bytes_per_token) + " bytes a token, for " +
         short_number(o.batch_cap) + " sequences\n";
}

std::string explain_rates(const Plan&, const PlanOption& o) {
  return "one sequence decodes at " + band_text(o.decode_tps, "tokens/s") +
         "\na prompt is read at " + band_text(o.prefill_tps, "tokens/s") +
         "\none replica delivers " + band_text(o.throughput_tps, "tokens/s") + " at a batch of " +
         short_number(o.batch_cap) +
         "\nfrom bytes over bandwidth plus a cost per layer, with the constants of the device's "
         "class (docs: planner-accuracy)\n";
}

std::string explain_ttft(const Plan&, const PlanOption& o) {
  return "first token of 99 of 100 requests: " + band_text(o.ttft_ms_p99, "ms") + ", by " +
         o.latency_tier + "\na usual request: way " + short_number(o.budget.rtt_ms) +
         " ms + queue " + short_number(o.budget.queue_ms) + " ms + prompt " +
         short_number(o.budget.ttft_ms) + " ms\n";
}

std::string explain_tpot(const Plan&, const PlanOption& o) {
  return "each further token of 99 of 100 requests: " + band_text(o.tpot_ms_p99, "ms") + ", by " +
         o.latency_tier + "\na usual request: " + short_number(o.budget.tokens) + " tokens of " +
         short_number(o.budget.tpot_ms) + " ms, in all " + short_number(o.budget.total_ms()) +
         " ms\n";
}

std::string explain_replicas(const Plan& plan, const PlanOption& o) {
  return "demand " + short_number(plan.rate_mean) + " requests/s on average, times " +
         short_number(plan.peak_to_mean) + " for the peak = " + short_number(plan.rate_sized) +
         " requests/s\n" + short_number(o.replicas) + " replicas of " +
         std::to_string(o.devices_per_replica) + " devices, and " + short_number(o.spares) +
         " spare; in use " + short_number(100 * o.utilisation) + " % of the time\n";
}

std::string explain_availability(const Plan&, const PlanOption& o) {
  return "A = MTBF / (MTBF + MTTR) of a node; k of n nodes, a common cause of 5 %, in series with "
         "site and router\n  " +
         short_number(o.replicas) + " of " + short_number(o.replicas + o.spares) +
         " must be up: " + fixed(100 * o.availability, 4) + " %\n";
}

std::string explain_energy(const Plan&, const PlanOption& o) {
  return "8760 h x PUE x (idle + (load - idle) x use): " + short_number(o.energy_kwh_year) +
         " kWh a year, " + short_number(o.co2_kg_year) + " kg of CO2\n";
}

std::string explain_staff(const Plan&, const PlanOption& o) {
  return "0.1 of a person for one machine, 0.5 up to four nodes, 1 per 20 nodes, more by the gap "
         "in skill: " +
         short_number(o.staff_hours_year) + " hours a year\n";
}

std::string explain_chance(const Plan&, const PlanOption& o) {
  std::string out =
      "the share of the draws of speeds, prices, demand, growth and staff in which "
      "it is the cheapest: " +
      short_number(100 * o.p_cheapest) + " %\n";
  for (const planner::Threshold& t : o.would_change_if)
    out += "  another wins from " + t.input + " = " + short_number(t.threshold) + " (now " +
           short_number(t.value) + "): " + t.to + "\n";
  return out;
}

std::string explain_lockin(const Plan&, const PlanOption& o) {
  return "(cost of leaving + commitments that nobody gives back) / spending of a year: " +
         short_number(o.lockin) + "\n";
}

constexpr std::array<std::pair<std::string_view, Explain>, 20> kExplained{
    {{"npv", explain_cost},
     {"total", explain_cost},
     {"cost", explain_cost},
     {"capex", explain_capex},
     {"per_million_tokens", explain_tokens},
     {"memory", explain_memory},
     {"decode_tps", explain_rates},
     {"prefill_tps", explain_rates},
     {"throughput_tps", explain_rates},
     {"ttft_ms_p99", explain_ttft},
     {"ttft", explain_ttft},
     {"tpot_ms_p99", explain_tpot},
     {"tpot", explain_tpot},
     {"replicas", explain_replicas},
     {"utilisation", explain_replicas},
     {"availability", explain_availability},
     {"energy", explain_energy},
     {"staff", explain_staff},
     {"p_cheapest", explain_chance},
     {"lockin", explain_lockin}}};

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

std::string explained_quantities() {
  std::string out;
  for (const auto& [name, explain] : kExplained)
    out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

Result<std::string> explain_quantity(const Plan& plan, std::string_view quantity) {
  std::vector<std::string> names;
  for (const auto& [name, explain] : kExplained) {
    names.emplace_back(name);
    if (name != quantity) continue;
    const PlanOption* o = recommended_of(plan);
    if (o == nullptr) return not_found("nothing is recommended, so there is nothing to explain");
    return without_controls(std::string(name) + " of " + o->id + "\n" + explain(plan, *o));
  }
  return invalid_argument("there is no quantity \"" + std::string(quantity.substr(0, 40)) + "\"" +
                          planner::did_you_mean(quantity, names))
      .with_hint(explained_quantities());
}

}  // namespace holdfast::cli
