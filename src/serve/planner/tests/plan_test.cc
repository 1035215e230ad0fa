// Plans as a whole: honesty cases (G15), counterfactuals of the rules, invariants over random
// inputs.
#include "holdfast/planner/plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "holdfast/json/toml.h"
#include "random_problem.h"

namespace holdfast::planner {
namespace {

Result<Problem> problem_of(std::string_view toml) {
  ProblemInputs in;
  HF_TRY_ASSIGN(in.document, json::parse_toml(toml, "test"));
  in.today = "2026-12-01";
  return parse_problem(in);
}

Plan plan_of(std::string_view toml, int draws = 256) {
  const auto problem = problem_of(toml);
  EXPECT_TRUE(problem.ok()) << (problem.ok() ? "" : problem.error().to_string());
  auto plan = make_plan(*problem, Efficiencies::shipped(), {"test", draws, true});
  EXPECT_TRUE(plan.ok());
  return std::move(*plan);
}

const PlanOption& best(const Plan& plan) {
  EXPECT_TRUE(plan.recommended.has_value());
  return *plan.find(*plan.recommended);
}

bool has_rule(const PlanOption& o, std::string_view rule) {
  for (const Reason& r : o.because)
    if (r.rule == rule) return true;
  return false;
}

std::set<Mode> feasible_modes(const Plan& plan) {
  std::set<Mode> out;
  for (const PlanOption& o : plan.options)
    if (o.status != OptionStatus::kRemoved) out.insert(o.mode);
  return out;
}

// Every removed option of that mode has the rule among its reasons.
void expect_removed_by(const Plan& plan, Mode mode, std::string_view rule) {
  std::size_t seen = 0;
  for (const PlanOption& o : plan.options) {
    if (o.mode != mode) continue;
    ++seen;
    EXPECT_EQ(o.status, OptionStatus::kRemoved) << o.id;
    EXPECT_TRUE(has_rule(o, rule)) << o.id;
  }
  EXPECT_GT(seen, 0u);
}

// No option of that mode is left, and the rule is why some are not.
void expect_none_left(const Plan& plan, Mode mode, std::string_view rule) {
  bool fired = false;
  for (const PlanOption& o : plan.options) {
    if (o.mode != mode) continue;
    EXPECT_EQ(o.status, OptionStatus::kRemoved) << o.id;
    fired = fired || has_rule(o, rule);
  }
  EXPECT_TRUE(fired) << rule;
}

constexpr const char* kChat = R"(
[workload]
users = 200
isl = 1200
osl = 300
[[models]]
name = "llama-3.1-8b"
[slo]
ttft_p99_ms = 2000
tpot_p99_ms = 100
)";

// ---- G15

TEST(PlanHonestyTest, NextToNoLoadIsForTokensOrTheMachineAtHand) {
  const std::string idle = R"(
[workload]
rate_rps = 0.0001
isl = 500
osl = 200
[[models]]
name = "llama-3.1-8b"
)";
  const Plan tokens = plan_of(idle);
  EXPECT_EQ(best(tokens).mode, Mode::kTokenApi);
  EXPECT_TRUE(has_rule(best(tokens), "R-SMALL"));
  const Plan laptop = plan_of(idle + "[[owned]]\ndevice = \"apple-m4-10c\"\n");
  EXPECT_EQ(best(laptop).mode, Mode::kOwned);
  // G14: nothing is bought, and it pays from the first month.
  EXPECT_EQ(best(laptop).capex, 0);
  EXPECT_EQ(best(laptop).payback_month, 0);
}

// The break-even that R-SMALL names, tried: below it the plan buys tokens, above it a machine.
TEST(PlanHonestyTest, TheBreakEvenVolumeHolds) {
  const auto plan_at = [](double rate) {
    return plan_of(
        "modes = [\"onprem\", \"token-api\"]\n[workload]\nrate_rps = " + std::to_string(rate) +
        "\nisl = 1000\nosl = 500\narrival = \"poisson\"\n[[models]]\n"
        "name = \"llama-3.3-70b\"\n");
  };
  constexpr double kRate = 0.05;
  const Plan small = plan_at(kRate);
  ASSERT_EQ(best(small).mode, Mode::kTokenApi);
  double now = 0;
  double even = 0;
  for (const Reason& r : best(small).because)
    for (const auto& [name, value] : r.numbers) {
      if (name == "tokens_month") now = value;
      if (name == "break_even_tokens_month") even = value;
    }
  EXPECT_NEAR(now, 1500 * kRate * 3600 * 8760 / 12, 1);
  ASSERT_GT(even, now);
  EXPECT_EQ(best(plan_at(kRate * even / now * 0.98)).mode, Mode::kTokenApi);
  EXPECT_EQ(best(plan_at(kRate * even / now * 1.02)).mode, Mode::kOnPrem);
}

// Tokens that cost less than the people: no volume within reach pays for machines.
TEST(PlanHonestyTest, NoBreakEvenIsSaid) {
  const Plan plan = plan_of(R"(
[workload]
rate_rps = 0.0001
isl = 500
osl = 200
[[models]]
name = "llama-3.1-8b"
)");
  bool said = false;
  for (const Reason& r : best(plan).because)
    for (const auto& [name, value] : r.numbers) said |= name == "no_break_even_tokens_month";
  EXPECT_TRUE(said);
}

TEST(PlanHonestyTest, FlatLoadDayAndNightIsForOwnMachines) {
  const Plan plan = plan_of(R"(
[workload]
rate_rps = 20
isl = 1000
osl = 500
arrival = {kind = "poisson", profile = "flat"}
[[models]]
name = "llama-3.3-70b"
[slo]
ttft_p99_ms = 3000
tpot_p99_ms = 80
)");
  EXPECT_EQ(best(plan).mode, Mode::kOnPrem);
  EXPECT_TRUE(has_rule(best(plan), "R-FLAT"));
}

TEST(PlanHonestyTest, SecretDataNeverGoesToACloud) {
  // Not even to one inside the residency that keeps and learns nothing.
  const Plan perfect = plan_of(std::string(kChat) + R"(
[privacy]
label = "secret"
residency = ["DE"]
[[upstreams]]
name = "u"
region = "DE"
retention_days = 0
trains_on_data = false
price_in = 0.01
price_out = 0.01
)");
  expect_removed_by(perfect, Mode::kTokenApi, "R-RES");
  const Plan plan = plan_of(std::string(kChat) + "[privacy]\nlabel = \"secret\"\n");
  for (const Mode m : feasible_modes(plan)) EXPECT_TRUE(m == Mode::kOnPrem) << mode_name(m);
  expect_removed_by(plan, Mode::kRent, "R-RES");
  expect_removed_by(plan, Mode::kTokenApi, "R-RES");
}

// ---- Counterfactuals: each rule fires, and without its input it does not.

TEST(PlanRuleTest, Residency) {
  const std::string base = std::string(kChat) + R"(
[[upstreams]]
name = "here"
region = "DE"
retention_days = 0
trains_on_data = false
price_in = 0.1
price_out = 0.2
)";
  const std::string confidential = "[privacy]\nlabel = \"confidential\"\nresidency = [";
  EXPECT_TRUE(feasible_modes(plan_of(base + confidential + "\"EU\"]")).contains(Mode::kTokenApi));
  expect_removed_by(plan_of(base + confidential + "\"BR\"]"), Mode::kTokenApi, "R-RES");
  // The price book does not know where its machines stand: they are cleared for nothing.
  expect_removed_by(plan_of(base + "[privacy]\nlabel = \"confidential\"\n"), Mode::kRent, "R-RES");
  expect_removed_by(plan_of(base + confidential + "\"EU\"]"), Mode::kRent, "R-RES");
}

TEST(PlanRuleTest, RetentionAndTraining) {
  const auto upstream = [](const char* fields) {
    return std::string(kChat) + "[privacy]\nlabel = \"regulated\"\n[[upstreams]]\nname = \"u\"\n" +
           "region = \"DE\"\nprice_in = 0.1\nprice_out = 0.2\n" + fields;
  };
  EXPECT_TRUE(feasible_modes(plan_of(upstream("retention_days = 0\ntrains_on_data = false\n")))
                  .contains(Mode::kTokenApi));
  expect_removed_by(plan_of(upstream("retention_days = 30\ntrains_on_data = false\n")),
                    Mode::kTokenApi, "R-ZDR");
  expect_removed_by(plan_of(upstream("retention_days = 0\ntrains_on_data = true\n")),
                    Mode::kTokenApi, "R-ZDR");
  expect_removed_by(plan_of(upstream("")), Mode::kTokenApi, "R-ZDR");
}

TEST(PlanRuleTest, Certifications) {
  const auto plan = [](const char* certificates) {
    return plan_of(
        std::string(kChat) + "[privacy]\ncertifications = [\"ISO27001\"]\n" +
        "[[upstreams]]\nname = \"u\"\nprice_in = 0.1\nprice_out = 0.2\ncertifications = [" +
        certificates + "]\n");
  };
  EXPECT_TRUE(feasible_modes(plan("\"SOC2\", \"ISO27001\"")).contains(Mode::kTokenApi));
  expect_removed_by(plan("\"SOC2\""), Mode::kTokenApi, "R-CERT");
}

TEST(PlanRuleTest, Quality) {
  const auto plan = [](const char* limit) {
    return plan_of(std::string("[workload]\nusers = 10\nisl = 500\nosl = 100\n[[models]]\n") +
                   "name = \"llama-3.1-8b\"\nquant = \"Q4_K_M\"\nquality_loss_max = " + limit +
                   "\n");
  };
  EXPECT_TRUE(feasible_modes(plan("0.05")).contains(Mode::kOnPrem));
  expect_removed_by(plan("0.01"), Mode::kOnPrem, "R-QUAL");
}

TEST(PlanRuleTest, Memory) {
  const auto plan = [](const char* model) {
    return plan_of(
        std::string("devices = [\"nvidia-rtx3060-12\"]\nmodes = [\"onprem\"]\n[workload]\n") +
        "users = 10\nisl = 500\nosl = 100\n[[models]]\nname = \"" + model +
        "\"\nquant = \"Q4_K_M\"\n");
  };
  EXPECT_TRUE(plan("llama-3.1-8b").recommended.has_value());
  const Plan large = plan("llama-3.1-405b");
  EXPECT_FALSE(large.recommended.has_value());
  EXPECT_EQ(large.binding, std::vector<std::string>{"R-MEM"});
  expect_removed_by(large, Mode::kOnPrem, "R-MEM");
}

TEST(PlanRuleTest, Latency) {
  const auto plan = [](const char* limit) {
    return plan_of(
        std::string("devices = [\"intel-n150-16\"]\nmodes = [\"onprem\"]\n[workload]\n") +
        "users = 1\nisl = 1000\nosl = 100\n[[models]]\nname = \"llama-3.1-8b\"\n" +
        "quant = \"Q4_K_M\"\n[slo]\nttft_p99_ms = " + limit + "\n");
  };
  EXPECT_TRUE(plan("10000000").recommended.has_value());
  expect_removed_by(plan("500"), Mode::kOnPrem, "R-LAT");
}

TEST(PlanRuleTest, ControlLoops) {
  const auto plan = [](const char* loop) {
    return plan_of(std::string("[workload]\nrate_rps = 1\nisl = 100\nosl = 5\n[[models]]\n") +
                   "name = \"llama-3.2-1b\"\nquant = \"Q4_K_M\"\n[slo]\ncontrol_loop_ms = " + loop +
                   "\n[[sites]]\ncount = 5\nrtt_ms = 120\n");
  };
  // 120 ms are 24 % of 500 ms and 40 % of 300 ms.
  EXPECT_TRUE(feasible_modes(plan("500")).contains(Mode::kRent));
  expect_removed_by(plan("300"), Mode::kRent, "R-EDGE");
  EXPECT_EQ(best(plan("300")).mode, Mode::kEdge);
}

TEST(PlanRuleTest, Budgets) {
  const auto plan = [](const char* budget) {
    return plan_of(std::string(kChat) + "[budget]\n" + budget);
  };
  EXPECT_TRUE(feasible_modes(plan("capex_max = 100000\n")).contains(Mode::kOnPrem));
  expect_none_left(plan("capex_max = 100\n"), Mode::kOnPrem, "R-CAPEX");
  EXPECT_TRUE(feasible_modes(plan("opex_month_max = 100000\n")).contains(Mode::kRent));
  expect_none_left(plan("opex_month_max = 10\n"), Mode::kRent, "R-OPEX");
  const Plan nothing = plan("opex_month_max = 10\ncapex_max = 100\n");
  EXPECT_FALSE(nothing.recommended.has_value());
  EXPECT_FALSE(nothing.binding.empty());
}

TEST(PlanRuleTest, LockInAndVariation) {
  const auto plan = [](const char* preferences) {
    return plan_of(std::string(kChat) + "[migration]\nhours = 200\n[preferences]\n" + preferences);
  };
  EXPECT_TRUE(feasible_modes(plan("lockin_max = 100\n")).contains(Mode::kOnPrem));
  expect_none_left(plan("lockin_max = 0.01\n"), Mode::kOnPrem, "R-LOCKIN");
  const Plan steady = plan("cv_cost_max = 0.001\n");
  EXPECT_FALSE(steady.recommended.has_value());
}

TEST(PlanRuleTest, Availability) {
  const auto spares = [](const char* target) {
    const Plan p =
        plan_of(std::string("modes = [\"onprem\"]\n") + kChat + "availability = " + target + "\n");
    return p.recommended ? best(p).spares : -1;
  };
  EXPECT_EQ(spares("0.99"), 0);
  EXPECT_EQ(spares("0.999"), 1);
  // The common cause of one site cannot be bought away.
  EXPECT_EQ(spares("0.9999999"), -1);
}

TEST(PlanRuleTest, PeaksAreBurst) {
  const auto plan = [](const char* profile) {
    return plan_of(
        std::string("[workload]\nrate_rps = 30\nisl = 1000\nosl = 400\narrival = {profile = \"") +
        profile + "\"}\n[[models]]\nname = \"llama-3.3-70b\"\n[slo]\nttft_p99_ms = 3000\n");
  };
  EXPECT_TRUE(feasible_modes(plan("office")).contains(Mode::kHybrid));
  expect_removed_by(plan("flat"), Mode::kHybrid, "R-FLAT");
}

TEST(PlanRuleTest, PeopleAreAPartOfTheirOwn) {
  const Plan plan = plan_of(kChat);
  bool said = false;
  for (const PlanOption& o : plan.options) said = said || has_rule(o, "R-SKILL");
  EXPECT_TRUE(said);
  const Plan without = plan_of(std::string(kChat) + "[team]\nstaff_fte = 0\n");
  for (const PlanOption& o : without.options) EXPECT_FALSE(has_rule(o, "R-SKILL")) << o.id;
}

TEST(PlanRuleTest, OldModelsAndSmallTeamsAreSaid) {
  const auto with = [](const char* more) {
    return plan_of("simulate = false\n" + std::string(kChat) + more, 0);
  };
  // Llama 3.1 is of July 2024: 28 months before December 2026.
  EXPECT_TRUE(has_rule(best(with("[preferences]\nfreshness_max_gap_months = 12\n")), "R-FRONTIER"));
  EXPECT_FALSE(
      has_rule(best(with("[preferences]\nfreshness_max_gap_months = 36\n")), "R-FRONTIER"));
  EXPECT_TRUE(has_rule(best(with("[team]\nfte = 0.001\n")), "R-SKILL"));
  EXPECT_FALSE(has_rule(best(with("[team]\nfte = 3\n")), "R-SKILL"));
}

TEST(PlanRuleTest, SpecialCategoriesAreRegulated) {
  const Plan plan =
      plan_of(std::string(kChat) + "[privacy]\nlabel = \"none\"\ncategories = [\"health\"]\n");
  expect_removed_by(plan, Mode::kTokenApi, "R-RES");
  ASSERT_FALSE(plan.warnings.empty());
  EXPECT_NE(plan.warnings[0].find("health"), std::string::npos);
}

double line_total(const PlanOption& o, std::string_view name) {
  double sum = 0;
  for (const LedgerLine& line : o.ledger.lines)
    if (line.name == name)
      for (const Money m : line.per_year) sum += m.value();
  return sum;
}

// D7: what clouds charge besides, each from the price book. Four years.
TEST(PlanRuleTest, HiddenCostsAreLines) {
  ProblemInputs in;
  in.document = *json::parse_toml(
      "simulate = false\ndevices = [\"nvidia-l4-24\"]\nmodes = [\"rent\", \"token-api\"]\n" +
          std::string(kChat) + "[data]\ndataset_gb = 1000\n[costs]\ncommit_discount = 0.25\n",
      "t");
  in.today = "2026-12-01";
  in.extra_prices = *PriceBook::parse(*json::parse(R"([
    {"id":"any","kind":"egress_gb","price":0.10},{"id":"any","kind":"storage_gb_month","price":0.02},
    {"id":"acme/llama-3.1-8b","kind":"token_in","price":1},{"id":"acme/llama-3.1-8b","kind":"token_out","price":1},
    {"id":"acme/llama-3.1-8b","kind":"request","price":2}])"),
                                      "b");
  const auto problem = parse_problem(in);
  ASSERT_TRUE(problem.ok()) << problem.error().to_string();
  const auto plan = make_plan(*problem, Efficiencies::shipped(), {"t", 0, false});
  const PlanOption& rent = *plan->find("rent-nvidia-l4-24-FP8");
  EXPECT_NEAR(line_total(rent, "storage"), 1000 * 0.02 * 48, 1e-6);
  EXPECT_NEAR(line_total(rent, "exit egress"), 100, 1e-6);
  // One machine all year at 0.80, a quarter off.
  EXPECT_NEAR(line_total(rent, "rent"), 0.75 * 0.80 * 8760 * 4, 0.01);
  // 200 users x 20 requests x 365 days x 4 years, 2 per thousand.
  EXPECT_NEAR(line_total(*plan->find("token-api-acme/llama-3.1-8b"), "requests"),
              200.0 * 20 * 365 * 4 / 1000 * 2, 0.01);
}

// E5: less skill never lowers the cost.
TEST(PlanRuleTest, SkillOnlySaves) {
  double before = 0;
  for (const char* level : {"1", "0.7", "0.5", "0.2", "0"}) {
    const Plan p = plan_of(
        std::string("modes = [\"onprem\"]\n") + kChat + "[team]\nlevel = " + level + "\n", 0);
    EXPECT_GE(best(p).npv, before);
    before = best(p).npv;
  }
}

TEST(PlanTest, UnsureMeansAPilot) {
  const Plan plan = plan_of(kChat, 1024);
  for (const PlanOption& o : plan.options)
    if (o.status == OptionStatus::kRecommended) {
      EXPECT_EQ(has_rule(o, "R-UNSURE"), o.p_cheapest < 0.7);
    }
}

// PL-11.
TEST(PlanTest, TheSameInputGivesTheSameBytes) {
  EXPECT_EQ(json::write(plan_json(plan_of(kChat))), json::write(plan_json(plan_of(kChat))));
  EXPECT_NE(json::write(plan_json(plan_of(kChat))),
            json::write(plan_json(plan_of("seed = 7\n" + std::string(kChat)))));
}

TEST(PlanTest, ThresholdsFlipTheRecommendation) {
  const auto with_rate = [](double rate) {
    return plan_of("simulate = false\n[workload]\nrate_rps = " + std::to_string(rate) +
                       "\nisl = 1000\nosl = 300\narrival = {profile = \"flat\"}\n[[models]]\n" +
                       "name = \"llama-3.3-70b\"\n",
                   0);
  };
  const Plan plan = with_rate(1);
  const PlanOption& chosen = best(plan);
  EXPECT_EQ(chosen.mode, Mode::kTokenApi);
  const auto at = std::find_if(chosen.would_change_if.begin(), chosen.would_change_if.end(),
                               [](const Threshold& t) { return t.input == "workload.rate_rps"; });
  ASSERT_NE(at, chosen.would_change_if.end());
  EXPECT_GT(at->threshold, 1);
  EXPECT_EQ(best(with_rate(at->threshold * 0.98)).mode, Mode::kTokenApi);
  EXPECT_NE(best(with_rate(at->threshold * 1.02)).mode, Mode::kTokenApi);
}

TEST(PlanTest, JsonHasTheFieldsOfTheContract) {
  const json::Value v = plan_json(plan_of(kChat));
  EXPECT_EQ(v.find("schema")->as_string(), "holdfast.plan/1");
  for (const char* field :
       {"version", "seed", "inputs_sha256", "prices", "defaults", "recommended", "options"})
    EXPECT_NE(v.find(field), nullptr) << field;
  const json::Value& o = v.find("options")->as_array()[0];
  for (const char* field :
       {"id", "mode", "status", "because", "would_change_if", "device", "count", "quant",
        "tensor_parallel", "replicas", "batch_cap", "memory", "rates", "latency", "cost"})
    EXPECT_NE(o.find(field), nullptr) << field;
  for (const char* field :
       {"weights_bytes", "kv_bytes", "kv_bytes_per_token", "workspace_bytes", "free_bytes"})
    EXPECT_NE(o.find("memory")->find(field), nullptr) << field;
  for (const char* field : {"currency", "total", "npv", "per_year", "per_million_tokens", "lines"})
    EXPECT_NE(o.find("cost")->find(field), nullptr) << field;
  EXPECT_NE(o.find("latency")->find("ttft_ms_p99")->find("p90"), nullptr);
}

// Lines, years and totals are one sum.
TEST(PlanTest, TheLedgerAddsUp) {
  for (const PlanOption& o : plan_of(kChat).options) {
    double lines = 0;
    double years = 0;
    double npv = 0;
    for (const LedgerLine& line : o.ledger.lines)
      for (const Money m : line.per_year) lines += m.value();
    for (std::size_t t = 0; t < o.per_year.size(); ++t) {
      years += o.per_year[t];
      npv += o.per_year[t] / std::pow(1.08, static_cast<double>(t));
    }
    EXPECT_NEAR(lines, o.total, 0.005) << o.id;
    EXPECT_NEAR(years, o.total, 0.005) << o.id;
    EXPECT_NEAR(npv, o.npv, 0.005) << o.id;
  }
}

// B2: the bill's pieces are the first purchase.
TEST(PlanTest, TheBillIsTheFirstPurchase) {
  std::size_t seen = 0;
  for (const PlanOption& o : plan_of("simulate = false\n" + std::string(kChat), 0).options) {
    if (o.mode != Mode::kOnPrem || o.status == OptionStatus::kRemoved) continue;
    double sum = 0;
    for (const BomLine& line : o.bom) sum += line.count * line.unit_price;
    EXPECT_NEAR(sum, o.per_year[0], 0.005) << o.id;
    ++seen;
  }
  EXPECT_GT(seen, 10u);
}

// 90 days after 2026-08-05 is 2026-11-03.
TEST(PlanTest, FreshPricesAreNotStale) {
  const auto warned = [](const char* today) {
    ProblemInputs in;
    in.document =
        *json::parse_toml(std::string("modes = [\"onprem\"]\nsimulate = false\n") + kChat, "t");
    in.today = today;
    const auto plan = make_plan(*parse_problem(in), Efficiencies::shipped(), {"t", 0, false});
    for (const std::string& w : plan->warnings)
      if (w.find("older than 90 days") != std::string::npos) return true;
    return false;
  };
  EXPECT_FALSE(warned("2026-11-03"));
  EXPECT_TRUE(warned("2026-11-04"));
}

TEST(PlanTest, StalePricesAreSaid) {
  bool said = false;
  for (const std::string& w : plan_of(kChat).warnings)
    said = said || w.find("older than 90 days") != std::string::npos;
  EXPECT_TRUE(said);
}

TEST(PlanTest, APortfolioIsNeverDearerThanOneMode) {
  const Plan plan = plan_of(R"(
[workload]
rate_rps = 3
isl = 1000
osl = 300
[[workload.class]]
name = "people"
share = 0.3
label = "secret"
[[workload.class]]
name = "nightly"
share = 0.7
kind = "batch"
[[models]]
name = "llama-3.1-8b"
)");
  EXPECT_EQ(plan.recommended, "portfolio");
  ASSERT_EQ(plan.portfolio.size(), 2u);
  double sum = 0;
  for (const PortfolioPart& p : plan.portfolio) {
    sum += p.npv;
    const PlanOption& o = *plan.find(p.option);
    if (p.workload_class == "people") {
      EXPECT_EQ(o.mode, Mode::kOnPrem);
    }
  }
  ASSERT_TRUE(plan.best_pure_npv.has_value());
  EXPECT_LE(sum, *plan.best_pure_npv + 1e-6);
}

// ---- Invariants

TEST(PlanInvariantTest, DearerHardwareNeverMakesOwningCheaper) {
  double before = 0;
  for (const double price : {500.0, 2000.0, 5000.0, 20000.0}) {
    ProblemInputs in;
    in.document = *json::parse_toml(
        std::string("devices = [\"nvidia-l4-24\"]\nmodes = [\"onprem\"]\n") + kChat, "t");
    in.today = "2026-12-01";
    in.extra_prices = *PriceBook::parse(
        *json::parse("[{\"id\":\"nvidia-l4-24\",\"kind\":\"purchase\",\"price\":" +
                     std::to_string(price) + "}]"),
        "b");
    const auto p = parse_problem(in);
    ASSERT_TRUE(p.ok());
    const auto plan = make_plan(*p, Efficiencies::shipped(), {"t", 0, false});
    EXPECT_GT(best(*plan).npv, before);
    before = best(*plan).npv;
  }
}

TEST(PlanInvariantTest, MoreLoadNeverCostsLessAndFillsMachines) {
  double cost = 0;
  double per_token = 1e30;
  for (const double rate : {0.05, 0.2, 0.8, 3.2, 12.8}) {
    const Plan plan = plan_of(
        "devices = [\"nvidia-h100-80-sxm\"]\nmodes = [\"onprem\"]\nsimulate = "
        "false\n[workload]\nrate_rps = " +
            std::to_string(rate) +
            "\nisl = 1000\nosl = 300\n[[models]]\nname = \"llama-3.1-8b\"\n[team]\nstaff_fte = "
            "0.1\n",
        0);
    const PlanOption& o = best(plan);
    EXPECT_GE(o.npv, cost);
    // Cost per token falls with utilisation.
    EXPECT_LE(o.per_million_tokens, per_token);
    cost = o.npv;
    per_token = o.per_million_tokens;
  }
}

TEST(PlanInvariantTest, RowOrderDoesNotChangeTheRanking) {
  const auto problem = problem_of(kChat);
  ASSERT_TRUE(problem.ok());
  Problem turned = *problem;
  std::vector<Device> rows = turned.hardware.all();
  std::reverse(rows.begin(), rows.end());
  turned.hardware = DeviceTable(rows);
  const auto a = make_plan(*problem, Efficiencies::shipped(), {"t", 0, false});
  const auto b = make_plan(turned, Efficiencies::shipped(), {"t", 0, false});
  EXPECT_EQ(a->recommended, b->recommended);
}

TEST(PlanInvariantTest, NoNumberIsNegativeOrNotANumber) {
  Random r(20261201);
  for (int i = 0; i < 60; ++i) {
    const std::string toml = random_problem(r, 0);
    const Plan plan = plan_of(toml, 16);
    std::string where;
    EXPECT_TRUE(all_finite_and_positive(plan_json(plan), where)) << where << "\n" << toml;
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace holdfast::planner
