// What people give the planner: documents, tables and traces. The first byte says which; what is
// accepted is within the limits.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "holdfast/json/toml.h"
#include "holdfast/planner/csv.h"
#include "holdfast/planner/measurements.h"
#include "holdfast/planner/problem.h"
#include "holdfast/planner/shipped.h"

namespace {

using namespace holdfast;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_problem(const json::Value& document) {
  planner::ProblemInputs inputs;
  inputs.document = document;
  inputs.today = "2026-12-01";
  const auto problem = planner::parse_problem(inputs);
  if (!problem.ok()) return require(!problem.error().client_message().empty());
  require(std::isfinite(problem->workload.rate_rps) && problem->workload.rate_rps >= 0);
  require(!problem->models.empty() && !problem->workload.classes.empty());
  require(problem->horizon_years >= 1 && problem->horizon_years <= 20);
  for (const planner::ModelNeed& m : problem->models) {
    require(planner::check_shape(m.shape).ok() && !m.quants.empty());
  }
  for (const planner::WorkloadClass& c : problem->workload.classes) {
    require(std::isfinite(c.isl.mean) && c.isl.mean > 0 && c.osl.mean > 0);
  }
}

void check_devices(std::string_view text) {
  const auto devices = planner::parse_devices(text, "fuzz", true);
  if (!devices.ok()) return;
  require(devices->size() <= planner::kDevicesMax);
  for (const planner::Device& d : *devices) require(d.bandwidth.value() > 0 && !d.id.empty());
}

void check_trace(std::string_view text) {
  const auto rows = planner::parse_trace(text, "fuzz");
  if (!rows.ok()) return;
  double last = 0;
  for (const planner::TraceRow& r : *rows) {
    require(r.at_s >= last && r.isl >= 0 && r.osl >= 0);
    last = r.at_s;
  }
}

void check_prices(const json::Value& document) {
  const auto book = planner::PriceBook::parse(document, "fuzz");
  if (!book.ok()) return;
  require(book->all().size() <= planner::kPricesMax);
  for (const planner::Price& p : book->all()) require(std::isfinite(p.price) && p.price >= 0);
  planner::check_prices(*book, "2026-12-01");
}

void check_toml(std::string_view text, void (*check)(const json::Value&)) {
  const auto document = json::parse_toml(text, "fuzz");
  if (document.ok()) check(*document);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case '0':
      check_toml(text, check_problem);
      break;
    case '1':
      if (const auto document = json::parse(text); document.ok()) check_problem(*document);
      break;
    case '2':
      check_devices(text);
      break;
    case '3':
      if (const auto models = planner::parse_models(text, "fuzz"); models.ok()) {
        for (const planner::ModelShape& m : *models) require(planner::check_shape(m).ok());
      }
      break;
    case '4':
      ignore_error(planner::parse_measurements(text, "fuzz", planner::shipped_devices(),
                                               planner::shipped_models()),
                   "only that it returns");
      break;
    case '5':
      check_trace(text);
      break;
    case '6':
      check_toml(text, check_prices);
      break;
    default:
      break;
  }
  return 0;
}
