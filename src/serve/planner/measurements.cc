#include "holdfast/planner/measurements.h"

#include <algorithm>
#include <array>
#include <utility>

#include "holdfast/base/check.h"
#include "holdfast/planner/csv.h"
#include "holdfast/planner/shipped.h"

namespace holdfast::planner {

namespace {

constexpr std::array<std::pair<std::string_view, MeasurementKind>, 8> kKinds{
    {{"llama-bench", MeasurementKind::kLlamaBench},
     {"llama-bench-depth", MeasurementKind::kLlamaBenchDepth},
     {"batched-bench", MeasurementKind::kBatchedBench},
     {"ollama-eval-rate", MeasurementKind::kOllama},
     {"localscore-avg", MeasurementKind::kLocalScore},
     {"mlperf-offline", MeasurementKind::kMlperfOffline},
     {"mlperf-server", MeasurementKind::kMlperfServer},
     {"trtllm-max-throughput", MeasurementKind::kTrtLlm}}};

// Mean lengths of the benchmark's data sets, and the beams it decodes. Output lengths follow from
// tokens over samples of the published runs (290.9, 69, 145.9); input lengths are those of
// OpenOrca, CNN/DailyMail and the mixed set of Mixtral.
struct MlperfLengths {
  std::string_view model;
  double isl, osl, beams;
};
constexpr std::array<MlperfLengths, 3> kMlperf{
    {{"llama-2-70b", 294, 291, 1}, {"gpt-j-6b", 900, 69, 4}, {"mixtral-8x7b", 400, 146, 1}}};

// Where nothing is said, the tools' usual lengths.
constexpr double kTypicalPrompt = 1024;
constexpr double kTypicalContext = 256;

// "294", "~294"; 0 for a name of a data set or nothing.
double length(std::string_view cell) {
  if (cell.starts_with('~')) cell.remove_prefix(1);
  const auto value = parse_number(cell);
  return value && *value > 0 && *value < 1e8 ? *value : 0;
}

ModelShape shape_of(const CsvTable& t, std::size_t row, double params, double active,
                    const std::vector<ModelShape>& models) {
  const auto known = find_model(models, t.text(row, "model"));
  if (!known.ok()) return shape_from_params(t.text(row, "model"), params, active);
  ModelShape s = *known;
  s.params = params;
  s.active = active;
  return s;
}

void fill_lengths(Measurement& m, const CsvTable& t, std::size_t row) {
  m.prompt_tokens = length(t.text(row, "pp_len"));
  m.output_tokens = length(t.text(row, "tg_len"));
  if (m.kind == MeasurementKind::kMlperfOffline || m.kind == MeasurementKind::kMlperfServer) {
    for (const MlperfLengths& known : kMlperf) {
      if (known.model != m.model.id) continue;
      m.prompt_tokens = known.isl;
      m.output_tokens = known.osl;
      m.beams = known.beams;
    }
  }
  if (m.prompt_tokens == 0) m.prompt_tokens = kTypicalPrompt;
  if (m.output_tokens == 0) m.output_tokens = 2 * kTypicalContext;
}

Quant quant_of(std::string_view name) {
  if (name.starts_with("INT8")) name = "INT8";
  const auto known = find_quant(name);
  if (known.ok()) return *known;
  return *find_quant("Q4_K_M");
}

Result<MeasurementRow> parse_row(const CsvTable& t, std::size_t row, const DeviceTable& devices,
                                 const std::vector<ModelShape>& models) {
  MeasurementRow out;
  out.id = t.text(row, "id");
  out.kind = t.text(row, "kind");
  const auto* kind = std::find_if(kKinds.begin(), kKinds.end(),
                                  [&out](const auto& k) { return k.first == out.kind; });
  if (kind == kKinds.end()) {
    out.problem = "kind \"" + out.kind + "\" is not known";
    return out;
  }
  const auto device = devices.find(t.text(row, "hw"));
  if (!device.ok()) {
    out.problem = device.error().client_message();
    return out;
  }
  Measurement m;
  m.id = out.id;
  m.kind = kind->second;
  m.device = *device;
  HF_TRY_ASSIGN(const auto count, t.number(row, "n", 1, 100'000));
  m.devices = static_cast<std::uint32_t>(count.value_or(1));
  HF_TRY_ASSIGN(const double params, t.required(row, "params_b", 1e-4, 1e5));
  HF_TRY_ASSIGN(const auto active, t.number(row, "active_b", 1e-4, params));
  m.model = shape_of(t, row, params * 1e9, active.value_or(params) * 1e9, models);
  m.quant = quant_of(t.text(row, "quant"));
  HF_TRY_ASSIGN(const auto weights, t.number(row, "weights_gib", 1e-4, 1e5));
  m.weights = weights ? gibibytes(*weights) : Bytes(m.model.params * m.quant.bits_per_weight / 8);
  HF_TRY_ASSIGN(const auto depth, t.number(row, "depth", 0, 1e8));
  m.depth = depth.value_or(0);
  if (t.text(row, "batch") != "max") {
    HF_TRY_ASSIGN(const auto batch, t.number(row, "batch", 1, 1e6));
    m.batch = batch.value_or(1);
  }
  HF_TRY_ASSIGN(m.prefill_tps, t.number(row, "pp_tps", 1e-6, 1e9));
  HF_TRY_ASSIGN(m.decode_tps, t.number(row, "tg_tps", 1e-6, 1e9));
  HF_TRY_ASSIGN(m.watts, t.number(row, "power_w", 0, 1e7));
  const bool first_of_its_kind = t.text(row, "engine") == "llamafile";
  m.current_engine = !first_of_its_kind && t.text(row, "date") >= "2025";
  fill_lengths(m, t, row);
  out.measurement = std::move(m);
  return out;
}

}  // namespace

std::string_view measurement_kind_name(MeasurementKind kind) {
  for (const auto& [name, value] : kKinds)
    if (value == kind) return name;
  return "";
}

bool Measurement::single_stream() const {
  switch (kind) {
    case MeasurementKind::kLlamaBench:
    case MeasurementKind::kLlamaBenchDepth:
    case MeasurementKind::kOllama:
    case MeasurementKind::kLocalScore:
      return true;
    default:
      return false;
  }
}

Result<std::vector<MeasurementRow>> parse_measurements(std::string_view csv, std::string_view name,
                                                       const DeviceTable& devices,
                                                       const std::vector<ModelShape>& models) {
  HF_TRY_ASSIGN(const CsvTable table, CsvTable::parse(csv, name));
  for (const char* needed : {"id", "hw", "model", "params_b", "quant", "kind", "tg_tps"}) {
    if (!table.column(needed))
      return invalid_argument(std::string(name) + ": there is no column " + needed)
          .with_hint("the file needs the columns of validation.csv");
  }
  std::vector<MeasurementRow> rows;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    HF_TRY_ASSIGN(MeasurementRow parsed, parse_row(table, row, devices, models));
    rows.push_back(std::move(parsed));
  }
  return rows;
}

const std::vector<Measurement>& shipped_measurements() {
  static const std::vector<Measurement> measurements = [] {
    const auto rows = parse_measurements(shipped_file("validation.csv").text, "validation.csv",
                                         shipped_devices(), shipped_models());
    HF_CHECK(rows.ok());
    std::vector<Measurement> out;
    for (const MeasurementRow& r : *rows) {
      HF_CHECK(r.measurement.has_value());
      out.push_back(*r.measurement);
    }
    return out;
  }();
  return measurements;
}

}  // namespace holdfast::planner
