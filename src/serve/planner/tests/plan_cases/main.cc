// Prints plans of some problems as JSON lines, each with the values that its costs were made from:
// input of plan_ledger.py.
#include <cstdio>
#include <string>

#include "holdfast/json/toml.h"
#include "holdfast/planner/plan.h"

namespace {

using namespace holdfast;           // NOLINT(google-build-using-namespace)
using namespace holdfast::planner;  // NOLINT(google-build-using-namespace)

constexpr const char* kProblems[] = {
    R"(
[workload]
users = 300
isl = 1000
osl = 250
[[models]]
name = "llama-3.1-8b"
)",
    R"(
[workload]
rate_rps = 8
isl = 700
osl = 300
growth = 0.4
prefix_share = 0.3
[[models]]
name = "gpt-oss-20b"
[budget]
horizon_years = 6
wacc = 0.05
[costs]
electricity_kwh = 0.21
pue = 1.3
resale = 0.1
maintenance = 0.08
life_years = 3
api_drift = -0.1
[team]
loaded_cost = 90000
level = 0.8
)",
    R"(
[workload]
rate_rps = 2
isl = 300
osl = 60
arrival = {profile = "flat"}
[[models]]
name = "llama-3.2-3b"
quant = "Q8_0"
[migration]
hours = 100
retraining_cost = 2500
[data]
ingest_gb_day = 5
[[sites]]
count = 20
rtt_ms = 60
[[owned]]
device = "nvidia-rtx4090-24"
count = 2
opportunity_year = 900
)"};

json::Value parameters(const Problem& p) {
  return json::Value(json::Object{{"horizon", p.horizon_years},
                                  {"wacc", p.wacc},
                                  {"growth", p.workload.growth},
                                  {"rate", p.workload.rate_rps},
                                  {"isl", p.workload.classes[0].isl.mean},
                                  {"osl", p.workload.classes[0].osl.mean},
                                  {"prefix", p.workload.prefix_share},
                                  {"electricity", p.electricity_kwh},
                                  {"pue", p.pue},
                                  {"idle_share", p.idle_share},
                                  {"resale", p.resale},
                                  {"maintenance", p.maintenance},
                                  {"life", p.life_years},
                                  {"drift", p.api_drift},
                                  {"loaded_cost", p.team.loaded_cost},
                                  {"rack_unit_month", p.rack_unit_month},
                                  {"migration_hours", p.migration_hours},
                                  {"retraining", p.retraining_cost},
                                  {"ingest_gb_day", p.ingest_gb_day}});
}

}  // namespace

int main() {
  for (const char* toml : kProblems) {
    ProblemInputs in;
    const auto document = json::parse_toml(toml, "case");
    if (!document.ok()) return 1;
    in.document = *document;
    in.today = "2026-12-01";
    const auto problem = parse_problem(in);
    if (!problem.ok()) return 1;
    const auto plan = make_plan(*problem, Efficiencies::shipped(), {"case", 0, false});
    if (!plan.ok()) return 1;
    const json::Value line(
        json::Object{{"parameters", parameters(*problem)}, {"plan", plan_json(*plan)}});
    std::printf("%s\n", json::write(line).c_str());
  }
  return 0;
}
