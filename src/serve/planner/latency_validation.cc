#include "holdfast/planner/latency_validation.h"

#include <algorithm>
#include <cmath>

#include "holdfast/base/check.h"
#include "holdfast/planner/csv.h"
#include "holdfast/planner/memory.h"
#include "holdfast/planner/serving.h"
#include "holdfast/planner/shipped.h"

namespace holdfast::planner {

namespace {

constexpr double kInputCv = 1;
constexpr double kAnswerCvOpenOrca = 0.63;
constexpr double kAnswerCvMixtral = 0.81;
constexpr double kWeightsShareMax = 0.6;
constexpr std::int64_t kRequests = 12'000;

// "llama2-70b-99" is "llama-2-70b" in the other file.
std::string model_name(std::string_view name) {
  if (name.starts_with("llama2-70b")) return "llama-2-70b";
  if (name.starts_with("mixtral-8x7b")) return "mixtral-8x7b";
  return std::string(name);
}

std::uint32_t devices_per_replica(const Measurement& m) {
  std::uint32_t n = 1;
  const Bytes usable = m.device.memory * m.device.usable_share();
  while (n < m.devices && m.weights > usable * (kWeightsShareMax * n)) n *= 2;
  return std::min(n, m.devices);
}

// Of what those servers are: pages are taken as sequences grow, and 0.95 of the memory is used.
constexpr double kMemoryShare = 0.95;
constexpr double kWorkspaceBytes = 2e9;  // per device
constexpr int kBatchMax = 2048;
// So many that filling and draining the batch at both ends weigh little.
constexpr std::int64_t kRequestsOfMaximum = 80'000;

// The same replica, for the maximum and for the served load.
Simulation simulation_of(const ServedModel& served, const RequestShape& request) {
  Simulation s;
  const Placement& place = served.place();
  const double n = place.devices;
  const double room = place.device.memory.value() * kMemoryShare * n -
                      served.shape().file_bytes->value() - kWorkspaceBytes * n;
  const double tokens =
      room / kv_bytes_per_token(served.shape(), served.kv_element_bytes()).value();
  const double cap = std::min<double>(kBatchMax, tokens / (request.isl + request.osl / 2));
  s.step = served.loaded_coefficients(request, cap);
  s.limits = served.limits(request, kBatchMax);
  s.limits.kv_tokens_max = static_cast<std::int64_t>(tokens);
  s.limits.kv_policy = KvPolicy::kPreempt;
  s.classes[0].isl.mean = request.isl;
  s.classes[0].isl.cv = kInputCv;
  s.classes[0].osl.mean = request.osl;
  s.classes[0].osl.cv = request.osl_cv;
  s.replications = 1;
  return s;
}

// Tokens per second of one replica that always has work waiting.
Result<double> simulated_maximum(Simulation s) {
  s.arrivals.rate = PerSecond(1e6);
  s.requests = kRequestsOfMaximum;
  HF_TRY_ASSIGN(const SimulationOutcome out, simulate(s));
  return out.output_rate.value();
}

void speed_up(StepCoefficients& step, double speed) {
  step.bandwidth = step.bandwidth * speed;
  step.decode_speed = step.decode_speed * speed;
  step.prefill_speed = step.prefill_speed * speed;
  step.overhead = step.overhead / speed;
  step.per_row = step.per_row / speed;
  step.per_token_sent = step.per_token_sent / speed;
}

}  // namespace

bool LatencyCheck::within(double most) const {
  return std::abs(ttft_p50_error) <= most && std::abs(ttft_p99_error) <= most &&
         std::abs(tpot_mean_error) <= most;
}

Result<std::vector<ServerRun>> parse_server_runs(std::string_view latency_csv,
                                                 std::string_view rows_csv,
                                                 const DeviceTable& devices,
                                                 const std::vector<ModelShape>& models) {
  HF_TRY_ASSIGN(const CsvTable latency, CsvTable::parse(latency_csv, "validation_latency.csv"));
  HF_TRY_ASSIGN(const CsvTable table, CsvTable::parse(rows_csv, "validation.csv"));
  HF_TRY_ASSIGN(const auto rows, parse_measurements(rows_csv, "validation.csv", devices, models));
  std::vector<ServerRun> out;
  for (std::size_t i = 0; i < latency.rows(); ++i) {
    if (latency.text(i, "ttft_p50.00_ms").empty()) continue;
    ServerRun run;
    run.system =
        std::string(latency.text(i, "submitter")) + "/" + std::string(latency.text(i, "platform"));
    HF_TRY_ASSIGN(run.scheduled_rps, latency.required(i, "scheduled_samples_s", 1e-6, 1e6));
    HF_TRY_ASSIGN(run.ttft_p50_ms, latency.required(i, "ttft_p50.00_ms", 1e-6, 1e9));
    HF_TRY_ASSIGN(run.ttft_p99_ms, latency.required(i, "ttft_p99.00_ms", 1e-6, 1e9));
    HF_TRY_ASSIGN(run.tpot_mean_ms, latency.required(i, "tpot_mean_ms", 1e-6, 1e9));
    const std::string folder = "/" + std::string(latency.text(i, "submitter")) + "/results/" +
                               std::string(latency.text(i, "platform")) + "/";
    const std::string model = model_name(latency.text(i, "model"));
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const auto& m = rows[r].measurement;
      if (!m || m->kind != MeasurementKind::kMlperfOffline || !m->decode_tps) continue;
      if (table.text(r, "model") != model) continue;
      if (table.text(r, "source").find(folder) == std::string_view::npos) continue;
      run.offline = *m;
      out.push_back(run);
      break;
    }
  }
  return out;
}

const std::vector<ServerRun>& shipped_server_runs() {
  static const std::vector<ServerRun> runs = [] {
    auto parsed =
        parse_server_runs(shipped_file("validation_latency.csv").text,
                          shipped_file("validation.csv").text, shipped_devices(), shipped_models());
    HF_CHECK(parsed.ok());
    return std::move(*parsed);
  }();
  return runs;
}

Result<LatencyCheck> check_latency(const ServerRun& run, const Efficiencies& efficiencies) {
  const Measurement& m = run.offline;
  const std::uint32_t each = devices_per_replica(m);
  LatencyCheck out;
  out.system = run.system;
  out.model = m.model.id;
  out.device = m.device.id;
  out.replicas = m.devices / each;
  ModelNeed need;
  need.shape = m.model;
  need.shape.file_bytes = m.weights;
  need.shape.quant = m.quant.name;
  need.kv_type = "fp8";
  const ServedModel served(need, m.quant, {m.device, each, each}, EngineProfile::kTuned,
                           efficiencies, {});
  RequestShape request;
  request.isl = m.prompt_tokens;
  request.osl = m.output_tokens;
  request.osl_cv = m.model.mixture() ? kAnswerCvMixtral : kAnswerCvOpenOrca;
  request.isl_p99 = request.isl * 4;
  request.osl_p99 = request.osl * 4;
  Simulation s = simulation_of(served, request);
  HF_TRY_ASSIGN(const double maximum, simulated_maximum(s));
  // Every time of a step is divided by it, so the maximum is multiplied by it.
  out.speed = *m.decode_tps / out.replicas / maximum;
  out.load = run.scheduled_rps * m.output_tokens / *m.decode_tps;
  speed_up(s.step, out.speed);
  s.fleet.replicas = static_cast<int>(out.replicas);
  s.arrivals.rate = PerSecond(run.scheduled_rps);
  s.requests = kRequests * out.replicas;
  HF_TRY_ASSIGN(const SimulationOutcome r, simulate(s));
  out.ttft_p50_error = in_milliseconds(r.all.ttft.p50) / run.ttft_p50_ms - 1;
  out.ttft_p99_error = in_milliseconds(r.all.ttft.p99) / run.ttft_p99_ms - 1;
  out.tpot_mean_error = in_milliseconds(r.all.tpot.mean) / run.tpot_mean_ms - 1;
  return out;
}

}  // namespace holdfast::planner
