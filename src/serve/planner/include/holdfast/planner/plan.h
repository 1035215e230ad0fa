// A plan: the ways to run a workload, what each takes and costs, and which is recommended.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/json/json.h"
#include "holdfast/planner/efficiencies.h"
#include "holdfast/planner/ledger.h"
#include "holdfast/planner/memory.h"
#include "holdfast/planner/problem.h"

namespace holdfast::planner {

enum class Mode : std::uint8_t { kOnPrem, kRent, kTokenApi, kHybrid, kEdge, kOwned };
inline constexpr std::size_t kModes = 6;
std::string_view mode_name(Mode mode);  // "onprem", "rent", "token-api", "hybrid", "edge", "owned"

enum class OptionStatus : std::uint8_t { kRemoved, kDominated, kFeasible, kRecommended };
std::string_view option_status_name(OptionStatus status);

// Why: a rule of section 15 with the inputs that it looked at and the numbers that it saw.
struct Reason {
  std::string rule;
  std::vector<std::string> inputs;
  std::vector<std::pair<std::string, double>> numbers;
  std::string text;  // a sentence for people
};

// The value of an input from which on another option is cheapest.
struct Threshold {
  std::string input;
  double value = 0;      // as it is
  double threshold = 0;  // as it would have to be
  std::string to;        // the option that wins then
};

struct BomLine {
  std::string item;
  double count = 0;
  double unit_price = 0;  // money
  double watts = 0;       // of one, under load
  double rack_units = 0;  // of one
};

struct CalendarEntry {
  int year = 0;             // of the plan; 0 is now
  std::string order_by;     // YYYY-MM-DD
  std::string needed_from;  // YYYY-MM-DD
  double count = 0;         // of devices
};

// Where the time of one request goes, at the median, in milliseconds.
struct LatencyBudget {
  double rtt_ms = 0;
  double queue_ms = 0;
  double ttft_ms = 0;  // of the model itself
  double tpot_ms = 0;
  double tokens = 0;
  double total_ms() const { return rtt_ms + queue_ms + ttft_ms + tpot_ms * tokens; }
};

struct PlanOption {
  std::string id;
  Mode mode{};
  OptionStatus status = OptionStatus::kFeasible;
  std::string workload_class;  // its part of the workload
  std::string model;
  std::string provider;  // of rent or tokens
  std::vector<Reason> because;
  std::vector<Threshold> would_change_if;
  std::string device;  // id; empty for token APIs
  double count = 0;    // devices of all replicas, spares included
  std::string quant;
  std::uint32_t tensor_parallel = 1;
  std::uint32_t devices_per_replica = 1;
  double replicas = 0;  // that carry load, at the end of the first year
  double spares = 0;
  double batch_cap = 0;
  MemoryNeed memory;
  double kv_bytes_per_token = 0;
  Band prefill_tps, decode_tps, throughput_tps;  // of one replica; decode of one sequence
  Band ttft_ms_p50, ttft_ms_p99, tpot_ms_p50, tpot_ms_p99;
  std::string latency_tier;
  double utilisation = 0;  // of the replicas, over the year
  LatencyBudget budget;
  double availability = 0;
  std::vector<BomLine> bom;
  Ledger ledger;
  double capex = 0;
  double opex_month_max = 0;  // of the dearest year
  double total = 0;
  double npv = 0;
  std::vector<double> per_year;  // [horizon + 1]: 0 is now
  double per_million_tokens = 0;
  double migration = 0;  // paid once
  Band npv_band;
  double cost_cv = 0;
  double p_cheapest = 0;
  std::optional<double> payback_month;  // against the cheapest option without purchase
  std::optional<double> irr;
  std::vector<CalendarEntry> calendar;
  double lockin = 0;
  double staff_hours_year = 0;
  double energy_kwh_year = 0;
  double co2_kg_year = 0;
  double hybrid_owned = 0;  // K, of replicas
};

// Effect of +-20 % of an input on the cost of the recommended option.
struct TornadoBar {
  std::string input;
  double value = 0;
  double npv_low = 0;   // at -20 %
  double npv_high = 0;  // at +20 %
  std::string winner_low;
  std::string winner_high;
};

// Latency of one replica of the recommended option at a share of its most requests.
struct LoadPoint {
  double load = 0;  // 0..1
  double ttft_p99_ms = 0;
  double tpot_p99_ms = 0;
};

struct PortfolioPart {
  std::string workload_class;
  std::string option;  // id
  double npv = 0;
};

struct Plan {
  std::string version;
  std::uint64_t seed = 0;
  std::string today;
  std::string inputs_sha256;
  std::string currency;
  int horizon_years = 0;
  std::vector<DefaultUsed> defaults;
  std::vector<std::string> warnings;
  std::vector<Price> prices_used;
  std::vector<PlanOption> options;
  std::optional<std::string> recommended;  // of the first class, or "portfolio"
  std::vector<std::string> binding;        // rules that removed everything, if nothing is feasible
  std::vector<PortfolioPart> portfolio;    // with several classes
  std::optional<double> best_pure_npv;     // of one mode for all classes
  std::vector<TornadoBar> tornado;
  std::vector<LoadPoint> load_curve;
  double rate_mean = 0;   // requests per second
  double rate_sized = 0;  // that capacity is for
  double peak_to_mean = 1;
  double tokens_in_month = 0;
  double tokens_out_month = 0;
  json::Object burstiness;

  const PlanOption* find(std::string_view id) const;
};

struct PlanOptions {
  std::string version;
  int draws = 2000;
  bool sensitivity = true;
};

// kInvalidArgument where prices cannot be brought into the plan's currency. A problem without a
// feasible option is a plan without a recommendation.
Result<Plan> make_plan(const Problem& problem, const Efficiencies& efficiencies,
                       const PlanOptions& options);

// plan.json: canonical, schema holdfast.plan/1.
json::Value plan_json(const Plan& plan);

}  // namespace holdfast::planner
