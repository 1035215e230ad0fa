#include "plan_fixture.h"

#include <algorithm>

#include "../speech.h"
#include "holdfast/base/check.h"

namespace holdfast::planner {

namespace {

LedgerLine ledger_line(const char* name, std::vector<double> years, bool assumed) {
  LedgerLine line;
  line.name = name;
  line.assumed = assumed;
  for (const double y : years) line.per_year.emplace_back(y);
  return line;
}

PlanOption costed(const char* id, Mode mode, double now, double yearly, double staff) {
  PlanOption o;
  o.id = id;
  o.mode = mode;
  o.workload_class = "all";
  o.model = "tiny-8b";
  o.ledger.horizon_years = 4;
  if (now > 0) o.ledger.lines.push_back(ledger_line("hardware", {now, 0, 0, 0, 0}, false));
  const double rest = yearly - staff / 4;
  if (rest > 0) o.ledger.lines.push_back(ledger_line("rent", {0, rest, rest, rest, rest}, false));
  if (staff > 0)
    o.ledger.lines.push_back(ledger_line("staff", {0, staff / 2, staff / 2, 0, 0}, true));
  o.total = ledger_total(o.ledger).value();
  for (const Money m : cash_flow_by_year(o.ledger)) o.per_year.push_back(m.value());
  o.availability = 0.99623;
  return o;
}

constexpr const char* kWorkload =
    R"("workload":{"rate_rps":%,"isl":1155,"osl":211},"models":[{"name":"llama-3.1-8b"}])";

std::string with_rate(const char* rate, const char* rest) {
  std::string out = kWorkload;
  out.replace(out.find('%'), 1, rate);
  return "{" + out + rest + "}";
}

RealCase make_case(const std::string& document) {
  ProblemInputs inputs;
  inputs.document = *json::parse(document);
  inputs.today = "2026-03-01";
  auto problem = parse_problem(inputs);
  HF_CHECK(problem.ok());
  problem->simulate = false;
  auto plan = make_plan(*problem, Efficiencies::shipped(), {"0.0", 64, true});
  HF_CHECK(plan.ok());
  return {std::move(*problem), std::move(*plan)};
}

}  // namespace

Plan small_plan() {
  Plan plan;
  plan.version = "0.0";
  plan.today = "2026-03-01";
  plan.currency = "USD";
  plan.horizon_years = 4;
  plan.inputs_sha256 = "0123456789abcdef0123";
  plan.recommended = "onprem-a";
  plan.rate_mean = 2;
  plan.warnings = {"careful"};
  plan.defaults = {{"team.loaded_cost", "180000", "cost of staff", true}};
  Price price;
  price.id = "nvidia-rtx4090-24";
  price.price = 2000;
  price.valid_from = "2025-01-01";
  plan.prices_used = {price};

  PlanOption own = costed("onprem-a", Mode::kOnPrem, 400, 200, 0);
  own.ledger.lines = {ledger_line("hardware", {400, 0, 0, 0, 0}, false),
                      ledger_line("energy", {0, -100, -100, 200, 200}, false),
                      ledger_line("staff", {0, 300, 300, 0, 0}, true)};
  own.status = OptionStatus::kRecommended;
  own.device = "nvidia-rtx4090-24";
  own.count = own.replicas = 2;
  own.quant = "Q4_K_M";
  own.npv = 1000;
  own.npv_band = {900, 1000, 1200};
  own.p_cheapest = 0.61;
  own.staff_hours_year = 180;
  own.budget = {10, 20, 70, 9, 100};
  own.ttft_ms_p99 = {300, 400, 500};
  own.memory = {gigabytes(5), gigabytes(10), gigabytes(1), gigabytes(21)};
  own.batch_cap = 32;
  own.kv_bytes_per_token = 131072;
  own.because = {{"R-COST", {}, {{"npv", 1000.0}, {"npv_next", 1500.0}}, "cheapest"},
                 {"R-UNSURE", {"price of hardware"}, {{"p_cheapest", 0.61}}, "unsure"}};
  own.would_change_if = {{"workload.rate_rps", 2, 0.5, "api-c"}};
  own.bom = {{"nvidia-rtx4090-24", 2, 2000, 450, 1}, {"ups", 1, 400, 0, 2}};
  own.calendar = {{1, "2026-03-01", "2026-05-24", 2}};
  plan.options.push_back(own);

  PlanOption rent = costed("rent-b", Mode::kRent, 0, 350, 0);
  rent.device = "nvidia-l4-24";
  rent.provider = "market";
  rent.count = rent.replicas = 1;
  rent.quant = "FP8";
  rent.npv = 1500;
  rent.ttft_ms_p99 = {200, 300, 400};
  plan.options.push_back(rent);

  PlanOption api = costed("api-c", Mode::kTokenApi, 0, 500, 0);
  api.provider = "someone";
  api.npv = 2000;
  api.status = OptionStatus::kDominated;
  api.ttft_ms_p99 = {900, 1000, 1100};
  plan.options.push_back(api);

  for (int i = 0; i < 7; ++i) {
    PlanOption o;
    o.id = "onprem-small" + std::to_string(i);
    o.mode = Mode::kOnPrem;
    o.workload_class = "all";
    o.model = "tiny-8b";
    o.device = "small" + std::to_string(i);
    o.status = OptionStatus::kRemoved;
    o.because = {{"R-MEM", {}, {{"needed_bytes", 6e9}, {"usable_bytes", 5e9}}, "does not fit"}};
    plan.options.push_back(o);
  }
  plan.tornado = {{"workload.rate_rps", 2, 900, 1100, "onprem-a", "rent-b"},
                  {"costs.pue", 1.5, 999.9, 1000.1, "onprem-a", "onprem-a"}};
  plan.load_curve = {{0.1, 100, 9}, {0.5, 150, 12}, {0.9, 900, 30}};
  return plan;
}

const std::vector<RealCase>& real_cases() {
  static const std::vector<RealCase> cases = [] {
    std::vector<RealCase> out;
    const char* slo = R"(,"slo":{"ttft_p99_ms":2500,"tpot_p99_ms":80})";
    out.push_back(make_case(with_rate("0.05", slo)));
    out.push_back(make_case(with_rate(
        "12", R"(,"slo":{"ttft_p99_ms":2500,"tpot_p99_ms":80},"privacy":{"label":"confidential",
        "residency":["EU"]},"migration":{"hours":80},"budget":{"capex_max":300000})")));
    out.push_back(make_case(
        R"({"workload":{"rate_rps":2,"class":[{"name":"chat","share":0.5},
        {"name":"night","kind":"batch","share":0.5,"label":"secret"}]},
        "models":[{"name":"llama-3.1-8b"}],"slo":{"ttft_p99_ms":2500},
        "owned":[{"device":"nvidia-rtx4090-24"}],"team":{"loaded_cost":90000}})"));
    out.push_back(make_case(
        with_rate("2", R"(,"slo":{"ttft_p99_ms":50,"tpot_p99_ms":8},"privacy":{"label":"secret"},
        "budget":{"capex_max":1000})")));
    out.push_back(make_case(
        with_rate("1", R"(,"slo":{"control_loop_ms":60000,"availability":0.995},"sites":[{"count":5,
        "devices":2,"power_w_max":700}],"training":{"tokens":1e8},"preferences":{
        "frontier_share":0.1})")));
    return out;
  }();
  return cases;
}

std::vector<Plan> real_plans() {
  std::vector<Plan> out;
  for (const RealCase& c : real_cases()) out.push_back(c.plan);
  return out;
}

bool has_word(const std::string& key) {
  const auto all = words();
  return std::any_of(all.begin(), all.end(), [&key](const Wording& w) { return w.key == key; });
}

}  // namespace holdfast::planner
