#include "plan_golden.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string_view>

#include "holdfast/planner/availability.h"
#include "holdfast/planner/hybrid.h"
#include "holdfast/planner/memory.h"
#include "holdfast/planner/plan.h"
#include "holdfast/planner/queueing.h"
#include "holdfast/planner/rates.h"
#include "holdfast/planner/shipped.h"
#include "holdfast/planner/throughput.h"

namespace holdfast::cli {

namespace {

using namespace planner;  // NOLINT: formulas read as the specification writes them

// One unit of the last printed digit: the specification rounds some figures and cuts others.
double unit_of(std::string_view printed) {
  const std::size_t dot = printed.find('.');
  const std::size_t digits = dot == std::string_view::npos ? 0 : printed.size() - dot - 1;
  return std::pow(10.0, -static_cast<double>(digits));
}

ModelShape model(const char* id) {
  return find_model(shipped_models(), id).value_or(shape_from_params(id, 1e9, 1e9));
}

Device device(const char* id) { return shipped_devices().find(id).value_or(Device()); }

double wait_of(double arrival_c2, double service_c2) {
  const auto w = multi_server_wait({.servers = 2,
                                    .arrivals = PerSecond(1.6),
                                    .service = PerSecond(1),
                                    .arrival_c2 = arrival_c2,
                                    .service_c2 = service_c2});
  return w.ok() ? w->mean.value() : -1;
}

void add_queueing(std::vector<GoldenRow>& rows) {
  add_golden(rows, "G9", "erlang_c", "0.711111", erlang_c(2, 1.6));
  add_golden(rows, "G9", "wait_s of M/M/2", "1.777778", wait_of(1, 1));
  add_golden(rows, "G9", "wait_s with c_a2 4, c_s2 0.5", "4.000", wait_of(4, 0.5));
}

void add_split(std::vector<GoldenRow>& rows) {
  std::vector<double> series(20);
  std::iota(series.begin(), series.end(), 1);
  const auto demand = demand_of(series);
  const SplitPrices prices{.owned = money_per_hour(1.28), .burst = money_per_hour(2.95)};
  const auto split = demand.ok() ? newsvendor(*demand, prices, 0) : Result<Split>(Split());
  add_golden(rows, "G10", "owned", "12", split.ok() ? split->owned : -1);
  if (!demand.ok() || !split.ok()) return;
  add_golden(rows, "G10", "cost", "20.670", per_hour(split->cost));
  add_golden(rows, "G10", "cost at 11", "20.7175", per_hour(split_cost(*demand, prices, 11)));
  add_golden(rows, "G10", "cost at 13", "20.770", per_hour(split_cost(*demand, prices, 13)));
}

struct AvailabilityRow {
  double repair_hours;
  std::array<const char*, 4> percent;  // one node, 1 of 2, 3 of 4, 8 of 9
};
constexpr std::array<AvailabilityRow, 3> kAvailability{
    {{4, {"99.937", "99.99996", "99.9998", "99.9986"}},
     {24, {"99.623", "99.9986", "99.9915", "99.950"}},
     {120, {"98.141", "99.965", "99.798", "98.859"}}}};
constexpr std::array<std::array<int, 2>, 4> kRedundancy{{{1, 1}, {1, 2}, {3, 4}, {8, 9}}};

void add_availability(std::vector<GoldenRow>& rows) {
  for (const AvailabilityRow& row : kAvailability) {
    const double node = availability(kNodeMtbf, hours(row.repair_hours));
    for (std::size_t i = 0; i < kRedundancy.size(); ++i) {
      const auto [needed, present] = kRedundancy[i];
      add_golden(rows, "G11",
                 std::to_string(needed) + " of " + std::to_string(present) + " repaired in " +
                     std::to_string(static_cast<int>(row.repair_hours)) + " h, percent",
                 row.percent[i], 100 * (1 - k_of_n_unavailability(needed, present, node)));
    }
  }
}

// A plan of one JSON text; the recommended mode.
std::string recommended_mode(const char* document) {
  const auto parsed = json::parse(document);
  ProblemInputs inputs;
  if (!parsed.ok()) return "no document";
  inputs.document = *parsed;
  inputs.today = "2026-08-05";
  const auto problem = parse_problem(inputs);
  if (!problem.ok()) return problem.error().client_message();
  PlanOptions options;
  options.draws = 64;
  options.sensitivity = false;
  const auto plan = make_plan(*problem, Efficiencies::shipped(), options);
  if (!plan.ok()) return plan.error().client_message();
  if (!plan->recommended) return "none";
  const PlanOption* o = plan->find(*plan->recommended);
  return o == nullptr ? *plan->recommended : std::string(mode_name(o->mode));
}

// `expected` are the modes that may be recommended, separated by "|".
void add_mode(std::vector<GoldenRow>& rows, const char* quantity, const char* expected,
              const char* document) {
  const std::string got = recommended_mode(document);
  const std::string all = std::string("|") + expected + "|";
  rows.push_back({"G15", quantity, json::Value(expected), json::Value(got),
                  all.find("|" + got + "|") != std::string::npos});
}

}  // namespace

void add_golden(std::vector<GoldenRow>& rows, const char* golden_case, std::string quantity,
                const char* expected, double got) {
  const double value = std::stod(expected);
  rows.push_back({golden_case, std::move(quantity), json::Value(value), json::Value(got),
                  std::abs(got - value) <= unit_of(expected) * (1 + 1e-9)});
}

void add_golden_rates(std::vector<GoldenRow>& rows) {
  const ThroughputCap cap =
      throughput_cap(model("llama-3.3-70b"), Bytes(70.55e9), {device("nvidia-h100-80-sxm"), 2, 2},
                     1000, 1000, trtllm_default());
  add_golden(rows, "G5", "batch", "282.59", cap.batch);
  add_golden(rows, "G5", "step_ms", "45.793", in_milliseconds(cap.step));
  add_golden(rows, "G5", "step_compute_ms", "33.598", in_milliseconds(cap.step_compute));
  add_golden(rows, "G5", "step_kv_ms", "12.195", in_milliseconds(cap.step_kv));
  add_golden(rows, "G5", "prefill_ms", "79.261", in_milliseconds(cap.prefill));
  add_golden(rows, "G5", "tokens_per_s", "4144", cap.tokens.value());
  constexpr std::array<std::array<const char*, 2>, 8> kTokens{{{"llama-2-7b", "524288"},
                                                               {"llama-3-8b", "131072"},
                                                               {"mixtral-8x7b", "131072"},
                                                               {"llama-3-70b", "327680"},
                                                               {"llama-3.1-405b", "516096"},
                                                               {"qwen3-30b-a3b", "98304"},
                                                               {"gpt-oss-120b", "73728"},
                                                               {"deepseek-v3", "70272"}}};
  for (const auto& [id, bytes] : kTokens)
    add_golden(rows, "G6", std::string("kv_bytes_per_token of ") + id, bytes,
               kv_bytes_per_token(model(id), 2).value());
  DecodeEfficiency e;
  e.bytes_cost = 1 / 0.979;
  e.kv_cost = 2 / 0.979;
  e.layer = microseconds(90);
  const ModelShape llama = model("llama-3-8b");
  const Device card = device("nvidia-rtx3090-24");
  const Seconds step = decode_step(llama, gibibytes(4.58), {card, 1, 1}, 1, 256, 2, e);
  add_golden(rows, "G7", "step_ms", "8.320", in_milliseconds(step));
  add_golden(rows, "G7", "tokens_per_s", "120.2", 1 / step.value());
  const Seconds prompt = prefill_time(llama, 512, {card, 1, 1}, 0.479);
  add_golden(rows, "G8", "tflop", "8.29144", prefill_flops(llama, 512).value() / 1e12);
  add_golden(rows, "G8", "prompt_ms", "121.9", in_milliseconds(prompt));
  add_golden(rows, "G8", "tokens_per_s", "4200", 512 / prompt.value());
}

void add_golden_chance(std::vector<GoldenRow>& rows) {
  add_queueing(rows);
  add_split(rows);
  add_availability(rows);
}

void add_golden_plans(std::vector<GoldenRow>& rows) {
  add_mode(rows, "hardly any requests", "token-api|owned",
           R"({"workload":{"rate_rps":0.00001,"isl":500,"osl":200},
               "models":[{"name":"llama-3.3-70b"}]})");
  add_mode(rows, "flat load around the clock", "onprem|owned",
           R"({"workload":{"rate_rps":20,"isl":1000,"osl":500,
                           "arrival":{"c2a":1,"profile":"flat"},"growth":0},
               "models":[{"name":"llama-3.3-70b"}],"team":{"staff_fte":0.25},
               "costs":{"api_drift":0}})");
  add_mode(rows, "secret data never leave", "onprem|owned|edge",
           R"({"workload":{"rate_rps":0.2,"isl":500,"osl":200},
               "models":[{"name":"llama-3.1-8b"}],"privacy":{"label":"secret"}})");
}

std::vector<GoldenRow> golden_rows() {
  std::vector<GoldenRow> rows;
  add_golden_money(rows);
  add_golden_rates(rows);
  add_golden_chance(rows);
  add_golden_plans(rows);
  std::stable_sort(rows.begin(), rows.end(), [](const GoldenRow& a, const GoldenRow& b) {
    return std::stoi(a.golden_case.substr(1)) < std::stoi(b.golden_case.substr(1));
  });
  return rows;
}

}  // namespace holdfast::cli
