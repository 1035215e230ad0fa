// Bad input: a message with the field's path, and nothing defaulted in silence.
#include "holdfast/planner/problem.h"

#include <gtest/gtest.h>

#include <set>

#include "holdfast/json/toml.h"
#include "holdfast/planner/shipped.h"

namespace holdfast::planner {
namespace {

constexpr const char* kGood = R"(
[workload]
users = 10
isl = 500
osl = 100
[[models]]
name = "llama-3.1-8b"
)";

Result<Problem> parse(std::string_view toml, std::string_view trace = "") {
  ProblemInputs in;
  HF_TRY_ASSIGN(in.document, json::parse_toml(toml, "test"));
  in.today = "2026-12-01";
  in.trace_csv = trace;
  return parse_problem(in);
}

std::string message(std::string_view toml, std::string_view trace = "") {
  const auto p = parse(toml, trace);
  return p.ok() ? "ok" : p.error().client_message();
}

void expect_message(std::string_view toml, std::string_view part) {
  EXPECT_NE(message(toml).find(part), std::string::npos) << toml << "\n-> " << message(toml);
}

TEST(ProblemTest, TheRateFollowsFromUsers) {
  const auto p = parse(kGood);
  ASSERT_TRUE(p.ok()) << p.error().to_string();
  // 10 users, 4 sessions, 5 requests a day.
  EXPECT_DOUBLE_EQ(p->workload.rate_rps, 10 * 4 * 5 / 86400.0);
  EXPECT_EQ(p->models[0].quants.size(), 6u);
}

TEST(ProblemTest, DefaultsAreOnRecordWithTheirEffect) {
  const auto p = parse(kGood);
  ASSERT_TRUE(p.ok());
  std::set<std::string> fields;
  for (const DefaultUsed& d : p->defaults) {
    EXPECT_FALSE(d.effect.empty()) << d.field;
    fields.insert(d.field);
  }
  for (const char* field :
       {"workload.sessions_per_user_day", "workload.isl.cv", "workload.arrival", "workload.growth",
        "slo.availability", "budget.horizon_years", "costs.electricity_kwh", "costs.pue",
        "team.loaded_cost", "profile", "models[0].quant", "costs.api_drift"})
    EXPECT_TRUE(fields.contains(field)) << field;
  const auto given = parse(std::string(kGood) + "[costs]\npue = 1.2\n");
  for (const DefaultUsed& d : given->defaults) EXPECT_NE(d.field, "costs.pue");
}

TEST(ProblemTest, MissingParts) {
  expect_message("[[models]]\nname = \"llama-3.1-8b\"\n", "workload: is missing");
  expect_message("[workload]\nusers = 1\n", "models: is missing");
  expect_message("[workload]\nisl = 5\n[[models]]\nname = \"llama-3.1-8b\"\n",
                 "workload.users: is missing");
  expect_message("[workload]\nusers = 1\n[[models]]\nquant = \"F16\"\n",
                 "models[0].name: is missing");
}

TEST(ProblemTest, UnknownFieldsSuggestTheNearest) {
  expect_message(std::string(kGood) + "[slo]\nttft_p99 = 5\n",
                 "slo.ttft_p99: unknown field; did you mean ttft_p99_ms");
  expect_message(std::string(kGood) + "[budgt]\n", "budgt: unknown field; did you mean budget");
  expect_message("[workload]\nuser = 1\n[[models]]\nname = \"llama-3.1-8b\"\n",
                 "workload.user: unknown field; did you mean users");
  expect_message(std::string(kGood) + "quantt = \"F16\"\n",
                 "models[0].quantt: unknown field; did you mean quant");
}

TEST(ProblemTest, NumbersOutOfRangeNameTheirPath) {
  const std::pair<const char*, const char*> cases[] = {
      {"[slo]\nttft_p99_ms = -5\n", "slo.ttft_p99_ms: must be a number from"},
      {"[slo]\navailability = 99.9\n", "slo.availability"},
      {"[budget]\nhorizon_years = 0\n", "budget.horizon_years"},
      {"[budget]\nhorizon_years = 2.5\n", "budget.horizon_years: must be a whole number"},
      {"[budget]\nwacc = 8\n", "budget.wacc"},
      {"[budget]\ncapex_max = \"lots\"\n", "budget.capex_max: must be a number"},
      {"[budget]\ncurrency = \"euro\"\n", "budget.currency"},
      {"[costs]\npue = 0.5\n", "costs.pue"},
      {"[costs]\nelectricity_kwh = 130\n", "costs.electricity_kwh"},
      {"[team]\nlevel = 5\n", "team.level"},
      {"[preferences]\nlockin_max = -1\n", "preferences.lockin_max"},
      {"[[sites]]\ncount = 0\n", "sites[0].count"},
      {"[[owned]]\ncount = 2\n", "owned[0].device: is missing"},
      {"[privacy]\nlabel = \"public\"\n", "privacy.label: must be one of none, internal"},
      {"[[upstreams]]\nprice_in = 1\n", "upstreams[0].name: is missing"},
      {"[[upstreams]]\nname = \"u\"\nprice_in = 1\n", "upstreams[0].price_out"},
      {"[privacy]\nresidency = 5\n", "privacy.residency: must be a list of texts"}};
  for (const auto& [toml, part] : cases) expect_message(std::string(kGood) + toml, part);
}

TEST(ProblemTest, AbsurdWorkloads) {
  const auto with = [](const char* fields) {
    return std::string("[workload]\n") + fields + "[[models]]\nname = \"llama-3.1-8b\"\n";
  };
  expect_message(with("users = -1\n"), "workload.users: must be a number from 0");
  expect_message(with("users = 1\nrate_rps = 2\n"), "both rate_rps and users are given");
  expect_message(with("users = 1\nisl = 0\n"), "workload.isl: must be from 1");
  expect_message(with("users = 1\nosl = 1e9\n"), "workload.osl: must be from 1");
  expect_message(with("users = 1\nprefix_share = 2\n"), "workload.prefix_share");
  expect_message(with("users = 1\nisl = {p50 = 100, p90 = 50, p99 = 200}\n"),
                 "must be given together and rise");
  expect_message(with("users = 1\nisl = {cv = 1}\n"), "workload.isl: needs mean");
  expect_message(with("users = 1\nisl = []\n"), "histogram is empty");
  expect_message(with("users = 1\ngrowth = {low = 0.5, base = 0.1}\n"),
                 "low, base and high must rise");
  expect_message(with("users = 1\narrival = \"trace\"\n"), "needs a trace");
  expect_message(with("users = 1\narrival = \"sometimes\"\n"), "must be poisson, bursty, trace");
  expect_message(with("users = 1\nisl = 200000\n"), "reads at most 131072");
}

TEST(ProblemTest, Contradictions) {
  expect_message(std::string(kGood) + "[slo]\nttft_p99_ms = 5000\ne2e_p99_ms = 1000\n",
                 "slo.ttft_p99_ms: is above slo.e2e_p99_ms");
  expect_message(
      "[workload]\nusers = 1\n[[workload.class]]\nname = \"a\"\nshare = 0.4\n"
      "[[workload.class]]\nname = \"b\"\nshare = 0.4\n[[models]]\nname = \"llama-3.1-8b\"\n",
      "shares add up to 0.8");
  expect_message(
      "[workload]\nusers = 1\n[[workload.class]]\nmodel = \"llama-3.1-70b\"\n"
      "[[models]]\nname = \"llama-3.1-8b\"\n",
      "workload.class[0].model: \"llama-3.1-70b\" is none of models");
}

TEST(ProblemTest, UnknownDevicesAndModelsSuggestTheNearest) {
  expect_message(std::string("devices = [\"nvidia-l40-48\"]\n") + kGood, "did you mean");
  expect_message(std::string(kGood) + "[[owned]]\ndevice = \"rtx4090\"\n", "nvidia-rtx4090-24");
  expect_message("[workload]\nusers = 1\n[[models]]\nname = \"lama-3.1-8b\"\n", "llama-3.1-8b");
  expect_message("[workload]\nusers = 1\n[[models]]\nname = \"llama-3.1-8b\"\nquant = \"Q4KM\"\n",
                 "Q4_K_M");
  expect_message(std::string("modes = [\"on-prem\"]\n") + kGood, "did you mean onprem");
}

TEST(ProblemTest, ModelsBySizesAlone) {
  const auto p = parse(
      "[workload]\nusers = 1\nisl = 100\nosl = 100\n[[models]]\nname = \"mine\"\nparams = 8.03e9\n"
      "layers = 32\nd = 4096\nheads = 32\nkv_heads = 8\nhead_dim = 128\nquant = \"Q4_K_M\"\n");
  ASSERT_TRUE(p.ok()) << p.error().to_string();
  EXPECT_EQ(p->models[0].shape.layers, 32u);
  EXPECT_EQ(p->models[0].shape.active, 8.03e9);
  expect_message(
      "[workload]\nusers = 1\n[[models]]\nname = \"mine\"\nparams = 8e9\nkv_heads = 4096\n",
      "kv_heads must be from 1 to the number of heads");
  expect_message("[workload]\nusers = 1\n[[models]]\nname = \"mine\"\nparams = 8e9\nactive = 9e9\n",
                 "active must be above 0 and not above params");
}

TEST(ProblemTest, TracesGiveRateAndLengths) {
  const std::string good =
      "TIMESTAMP,ContextTokens,GeneratedTokens\n"
      "2023-11-16 18:15:46.680,374,44\n2023-11-16 18:15:50.9951690,396,109\n"
      "2023-11-16 18:15:56.680,879,55\n";
  const auto p = parse("[[models]]\nname = \"llama-3.1-8b\"\n", good);
  ASSERT_TRUE(p.ok()) << p.error().to_string();
  EXPECT_NEAR(p->workload.rate_rps, 0.3, 1e-9);
  EXPECT_NEAR(p->workload.classes[0].isl.mean, (374 + 396 + 879) / 3.0, 1e-9);
  EXPECT_NEAR(p->workload.trace[1].at_s, 4.315169, 1e-6);
  const char* model = "[[models]]\nname = \"llama-3.1-8b\"\n";
  EXPECT_NE(message(model, "TIMESTAMP,ContextTokens\n1,2\n").find("GeneratedTokens"),
            std::string::npos);
  EXPECT_NE(message(model, "TIMESTAMP,ContextTokens,GeneratedTokens\nnoon,2,3\n")
                .find("trace line 2: TIMESTAMP"),
            std::string::npos);
  EXPECT_NE(
      message(model, "TIMESTAMP,ContextTokens,GeneratedTokens\n1,-2,3\n").find("ContextTokens"),
      std::string::npos);
  EXPECT_NE(message(model, "TIMESTAMP,ContextTokens,GeneratedTokens\n").find("no request"),
            std::string::npos);
}

TEST(ProblemTest, TheDigestIsOfEverythingThatCounts) {
  const auto digest = [](const std::string& toml) { return parse(toml)->inputs_sha256; };
  EXPECT_EQ(digest(kGood), digest(kGood));
  EXPECT_NE(digest(kGood), digest(std::string(kGood) + "[costs]\npue = 1.2\n"));
  ProblemInputs in;
  in.document = *json::parse_toml(kGood, "t");
  in.today = "2026-12-01";
  const std::string before = parse_problem(in)->inputs_sha256;
  in.extra_prices =
      *PriceBook::parse(*json::parse(R"([{"id":"x","kind":"gpu_hour","price":1}])"), "b");
  EXPECT_NE(parse_problem(in)->inputs_sha256, before);
  EXPECT_EQ(before.size(), 64u);
}

TEST(ProblemTest, TheDigestSeesEachFieldOfFilesOfTheUser) {
  ProblemInputs in;
  in.document = *json::parse_toml(kGood, "t");
  in.today = "2026-12-01";
  in.extra_models = {shape_from_params("mine", 8e9, 8e9)};
  in.extra_devices = {shipped_devices().all().front()};
  in.calibrations = {Calibration{.device = "", .local = LocalEfficiency{}}};
  const auto digest = [&] { return parse_problem(in)->inputs_sha256; };
  std::set<std::string> seen{digest()};
  const auto differs = [&](std::string_view what) {
    EXPECT_TRUE(seen.insert(digest()).second) << what;
  };
  in.today = "2026-12-02";
  differs("date");
  in.extra_models[0].kv_heads /= 2;
  differs("kv_heads");
  in.extra_models[0].window = 1024;
  in.extra_models[0].window_layers = 1;
  differs("window");
  in.extra_devices[0].tdp = in.extra_devices[0].tdp * 1.0000001;
  differs("tdp");
  in.extra_devices[0].rent_hour = 1.5;
  differs("rent_hour");
  in.calibrations[0].local->decode.kv_cost = 1.25;
  differs("kv_cost");
  in.calibrations[0].local->eta = {{512, 0.5}};
  differs("eta");
}

}  // namespace
}  // namespace holdfast::planner
