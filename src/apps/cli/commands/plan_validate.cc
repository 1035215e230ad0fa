// `holdfast plan validate`: predictions beside measurements, and the golden cases.
#include <algorithm>
#include <map>
#include <set>

#include "../output.h"
#include "../plan_golden.h"
#include "holdfast/planner/csv.h"
#include "holdfast/planner/latency_validation.h"
#include "holdfast/planner/shipped.h"
#include "holdfast/planner/validate.h"
#include "plan.h"

namespace holdfast::cli {

namespace {

using planner::Prediction;

struct ValidateFlags {
  std::string rows;
  bool golden = false;
  bool latency = false;
};

json::Object line_of(const Prediction& p) {
  json::Object out{{"id", p.id},
                   {"kind", p.kind},
                   {"metric", p.metric},
                   {"measured", p.measured},
                   {"predicted", p.predicted.p50},
                   {"p10", p.predicted.p10},
                   {"p90", p.predicted.p90},
                   {"device", p.device},
                   {"class", p.device_class}};
  if (p.contradicted) out.set("contradicted", true);
  return out;
}

json::Object line_of(const planner::ErrorSummary& s) {
  return {{"class", s.name},       {"rows", s.rows},           {"devices", s.devices},
          {"mape", s.mean_error},  {"median", s.median_error}, {"p90", s.p90_error},
          {"coverage", s.coverage}};
}

// Rates of a row that cannot be predicted, as its cells give them.
void add_failures(const planner::CsvTable& table, std::size_t row,
                  const planner::MeasurementRow& entry, std::vector<json::Object>& lines) {
  const bool server = entry.kind.starts_with("mlperf") || entry.kind.starts_with("trtllm");
  const auto add = [&](json::Value metric, json::Value measured) {
    lines.push_back({{"id", entry.id},
                     {"kind", entry.kind},
                     {"metric", std::move(metric)},
                     {"measured", std::move(measured)},
                     {"predicted", nullptr},
                     {"p10", nullptr},
                     {"p90", nullptr},
                     {"error", entry.problem}});
  };
  const auto prefill = planner::parse_number(table.text(row, "pp_tps"));
  const auto decode = planner::parse_number(table.text(row, "tg_tps"));
  if (prefill && !server) add("prefill_tps", *prefill);
  if (decode) add(server ? "throughput_tps" : "decode_tps", *decode);
  if (!prefill && !decode) add(nullptr, nullptr);
}

struct Validation {
  std::vector<Prediction> predictions;
  std::vector<json::Object> lines;
  std::size_t failed = 0;
};

// Efficiencies that never saw the row's device.
class Unseen {
 public:
  Unseen() {
    for (const planner::Measurement& m : planner::shipped_measurements())
      known_.insert(m.device.id);
  }
  const planner::Efficiencies& of(const std::string& device) {
    if (!known_.contains(device)) return planner::Efficiencies::shipped();
    auto at = fitted_.find(device);
    if (at == fitted_.end())
      at = fitted_.emplace(device, planner::Efficiencies::without_device(device)).first;
    return at->second;
  }

 private:
  std::set<std::string> known_;
  std::map<std::string, planner::Efficiencies> fitted_;
};

Result<planner::DeviceTable> devices_of(const Context& context, const PlanFlags& inputs) {
  PlanSources sources;
  HF_TRY(add_user_files(context, sources));
  planner::DeviceTable devices = planner::shipped_devices();
  devices.merge(std::move(sources.inputs.extra_devices));
  if (inputs.hardware.empty()) return devices;
  HF_TRY_ASSIGN(const std::string csv, read_text(inputs.hardware, planner::kCsvBytesMax));
  HF_TRY_ASSIGN(auto more, planner::parse_devices(csv, inputs.hardware, true));
  devices.merge(std::move(more));
  return devices;
}

Result<Validation> of_rows(const std::string& path, const planner::DeviceTable& devices) {
  HF_TRY_ASSIGN(const std::string csv, read_text(path, planner::kCsvBytesMax));
  HF_TRY_ASSIGN(const planner::CsvTable table, planner::CsvTable::parse(csv, path));
  HF_TRY_ASSIGN(const auto rows,
                planner::parse_measurements(csv, path, devices, planner::shipped_models()));
  Validation out;
  Unseen unseen;
  std::vector<planner::Measurement> measured;
  for (const planner::MeasurementRow& row : rows) {
    if (!row.measurement) continue;
    measured.push_back(*row.measurement);
    for (Prediction& p :
         planner::predict_row(*row.measurement, unseen.of(measured.back().device.id)))
      out.predictions.push_back(std::move(p));
  }
  planner::mark_contradicted(measured, out.predictions);
  std::size_t next = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].measurement) {
      ++out.failed;
      add_failures(table, i, rows[i], out.lines);
      continue;
    }
    while (next < out.predictions.size() && out.predictions[next].id == rows[i].id)
      out.lines.push_back(line_of(out.predictions[next++]));
  }
  return out;
}

Validation of_shipped() {
  Validation out;
  out.predictions = planner::leave_one_device_out(planner::shipped_measurements());
  for (const Prediction& p : out.predictions) out.lines.push_back(line_of(p));
  return out;
}

std::string percent(double share) { return fixed(100 * share, 1) + " %"; }

void print_summary(const std::vector<planner::ErrorSummary>& classes, std::size_t failed) {
  Table table({"CLASS", "ROWS", "DEVICES", "MAPE", "MEDIAN", "P90", "INSIDE P10-P90"});
  for (const planner::ErrorSummary& s : classes)
    table.add({s.name, std::to_string(s.rows), std::to_string(s.devices), percent(s.mean_error),
               percent(s.median_error), percent(s.p90_error), percent(s.coverage)});
  print(table.render(terminal_width()));
  if (failed > 0)
    print("\n" + std::to_string(failed) + " rows could not be predicted; --json names why\n");
}

Status golden(Context& context) {
  const std::vector<GoldenRow> rows = golden_rows();
  Table table({"CASE", "QUANTITY", "EXPECTED", "GOT", ""});
  std::size_t wrong = 0;
  for (const GoldenRow& row : rows) {
    wrong += row.holds ? 0 : 1;
    if (context.json()) {
      print_json_line(json::Object{{"case", row.golden_case},
                                   {"quantity", row.quantity},
                                   {"expected", row.expected},
                                   {"got", row.got}});
    }
    const auto text = [](const json::Value& v) {
      return v.is_string() ? v.as_string() : json::write(v);
    };
    table.add({row.golden_case, row.quantity, text(row.expected), text(row.got),
               row.holds ? "" : "differs"});
  }
  if (!context.json()) print(table.render(terminal_width()));
  if (wrong > 0) {
    return internal_error(std::to_string(wrong) + " of " + std::to_string(rows.size()) +
                          " golden figures differ");
  }
  if (!context.json()) print("\nall " + std::to_string(rows.size()) + " figures hold\n");
  return ok_status();
}

// The simulation beside published server runs (PL-07).
Status latency(Context& context) {
  constexpr double kWithin = 0.3;
  Table table({"SYSTEM", "MODEL", "REPLICAS", "LOAD", "TTFT P50", "TTFT P99", "TPOT", ""});
  std::size_t rows = 0;
  std::size_t inside = 0;
  for (const planner::ServerRun& run : planner::shipped_server_runs()) {
    HF_TRY_ASSIGN(const planner::LatencyCheck c,
                  planner::check_latency(run, planner::Efficiencies::shipped()));
    ++rows;
    inside += c.within(kWithin) ? 1 : 0;
    if (context.json()) {
      print_json_line(json::Object{{"id", c.system},
                                   {"kind", "latency"},
                                   {"model", c.model},
                                   {"device", c.device},
                                   {"replicas", c.replicas},
                                   {"load", c.load},
                                   {"ttft_p50_error", c.ttft_p50_error},
                                   {"ttft_p99_error", c.ttft_p99_error},
                                   {"tpot_mean_error", c.tpot_mean_error},
                                   {"within", c.within(kWithin)}});
    }
    table.add({c.system, c.model, std::to_string(c.replicas), fixed(c.load, 2),
               percent(c.ttft_p50_error), percent(c.ttft_p99_error), percent(c.tpot_mean_error),
               c.within(kWithin) ? "" : "off"});
  }
  const double share = rows == 0 ? 0 : static_cast<double>(inside) / static_cast<double>(rows);
  if (context.json()) {
    print_json_line(
        json::Object{{"class", "latency, all"}, {"rows", rows}, {"within_30_percent", share}});
  } else {
    print(table.render(terminal_width()));
    print("\n" + percent(share) + " of " + std::to_string(rows) +
          " runs are predicted within 30 %\n");
  }
  return ok_status();
}

Status validate(Context& context, const ValidateFlags& flags, const PlanFlags& inputs) {
  if (flags.golden) return golden(context);
  if (flags.latency) return latency(context);
  HF_TRY_ASSIGN(const planner::DeviceTable devices, devices_of(context, inputs));
  Validation done;
  if (flags.rows.empty()) {
    done = of_shipped();
  } else {
    HF_TRY_ASSIGN(done, of_rows(flags.rows, devices));
  }
  const auto classes = planner::summarize(done.predictions);
  if (!context.json()) {
    print_summary(classes, done.failed);
    return ok_status();
  }
  for (json::Object& line : done.lines) print_json_line(std::move(line));
  for (const planner::ErrorSummary& s : classes) print_json_line(line_of(s));
  return ok_status();
}

}  // namespace

void add_plan_validate(Registrar& r, CLI::App& plan, const PlanCommandPtr& command) {
  CLI::App& c = add_plan_leaf(plan, "validate",
                              "Predictions beside measured speeds, each device predicted without "
                              "its own rows; with --json a line for each row, then one for each "
                              "class");
  auto flags = std::make_shared<ValidateFlags>();
  c.add_option("--rows", flags->rows,
               "Measurements to predict: CSV with the columns of validation.csv; without it the "
               "shipped ones")
      ->type_name("FILE");
  c.add_flag("--latency", flags->latency,
             "Simulated latencies beside published server runs, as errors");
  c.add_flag("--golden", flags->golden, "Compute the golden cases; exit 1 when one differs");
  r.bind(c,
         [flags, command](Context& context) { return validate(context, *flags, command->inputs); });
}

}  // namespace holdfast::cli
