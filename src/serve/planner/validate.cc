#include "holdfast/planner/validate.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "fits.h"
#include "holdfast/planner/sobol.h"

namespace holdfast::planner {

namespace {

// Both kinds of uncertainty of a batched step: that of the class, and that of what a further
// sequence costs, which few devices were measured for.
constexpr double kBatchSigma = 0.15;
// What several devices add to that of one: how well a pipeline of chunks is filled.
constexpr double kPipelineSigma = 0.25;

bool is_throughput(MeasurementKind kind) {
  return kind == MeasurementKind::kMlperfOffline || kind == MeasurementKind::kMlperfServer ||
         kind == MeasurementKind::kTrtLlm;
}

ServerProfile profile_of(MeasurementKind kind) {
  if (kind == MeasurementKind::kMlperfOffline) return ServerProfile::kTunedOffline;
  if (kind == MeasurementKind::kMlperfServer) return ServerProfile::kTunedServer;
  return ServerProfile::kTrtLlmDefault;
}

Prediction start(const Measurement& row, const char* metric, double measured) {
  Prediction p;
  p.id = row.id;
  p.kind = measurement_kind_name(row.kind);
  p.metric = metric;
  p.device = row.device.id;
  p.measured = measured;
  return p;
}

Prediction predict_throughput(const Measurement& row, const Efficiencies& efficiencies) {
  Prediction p = start(row, "throughput_tps", *row.decode_tps);
  const ThroughputClass c = efficiencies.throughput(profile_of(row.kind), row.device, row.quant);
  p.device_class = c.name;
  p.predicted = band(best_throughput(row, c.profile), c.sigma);
  return p;
}

Prediction predict_decode(const Measurement& row, const Efficiencies& efficiencies) {
  Prediction p = start(row, "decode_tps", *row.decode_tps);
  const DecodeClass c = efficiencies.decode(row.device, row.quant, row.current_engine);
  const bool batched = row.kind == MeasurementKind::kBatchedBench;
  const double context = (batched ? row.prompt_tokens : row.depth) + row.output_tokens / 2;
  const Seconds step = decode_step(row.model, row.weights, {row.device, row.devices, 1}, row.batch,
                                   context, 2, c.efficiency);
  p.device_class = c.name + (row.batch > 1 ? ", batched" : "");
  const double sigma = row.batch > 1 ? std::hypot(c.sigma, kBatchSigma) : c.sigma;
  p.predicted = band(row.batch / step.value(), sigma);
  return p;
}

Prediction predict_prefill(const Measurement& row, const Efficiencies& efficiencies) {
  Prediction p = start(row, "prefill_tps", *row.prefill_tps);
  const PrefillClass c =
      efficiencies.prefill(row.device, row.quant, row.model.mixture(), row.prompt_tokens);
  const Seconds time = prefill_time(row.model, row.prompt_tokens, {row.device, row.devices, 1},
                                    c.eta, row.depth, 512, pipeline_exponent(row.model, row.quant));
  p.device_class = c.name;
  const double sigma = row.devices > 1 ? std::hypot(c.sigma, kPipelineSigma) : c.sigma;
  p.predicted = band(row.prompt_tokens / time.value(), sigma);
  return p;
}

ErrorSummary summary_of(const std::string& name, const std::vector<const Prediction*>& group) {
  ErrorSummary s;
  s.name = name;
  s.rows = group.size();
  std::vector<double> errors;
  std::set<std::string> devices;
  for (const Prediction* p : group) {
    errors.push_back(std::abs(p->error()));
    devices.insert(p->device);
    s.mean_error += std::abs(p->error()) / static_cast<double>(group.size());
    s.coverage += (p->within() ? 1.0 : 0.0) / static_cast<double>(group.size());
  }
  s.devices = devices.size();
  s.median_error = quantile(errors, 0.5);
  s.p90_error = quantile(errors, 0.9);
  return s;
}

}  // namespace

std::vector<Prediction> predict_row(const Measurement& row, const Efficiencies& efficiencies) {
  std::vector<Prediction> out;
  if (is_throughput(row.kind)) {
    if (row.decode_tps) out.push_back(predict_throughput(row, efficiencies));
    return out;
  }
  if (row.prefill_tps) out.push_back(predict_prefill(row, efficiencies));
  if (row.decode_tps) out.push_back(predict_decode(row, efficiencies));
  return out;
}

void mark_contradicted(const std::vector<Measurement>& rows, std::vector<Prediction>& predictions) {
  const auto place = [](const Measurement& m) {
    return m.device.id + "/" + std::to_string(m.devices) + "/" + m.model.id + "/" +
           std::to_string(m.prompt_tokens);
  };
  std::map<std::string, double> quantised;
  for (const Measurement& m : rows)
    if (m.prefill_tps && m.quant.bits_per_weight < 16) quantised[place(m)] = *m.prefill_tps;
  std::set<std::string> contradicted;
  for (const Measurement& m : rows) {
    const auto at = quantised.find(place(m));
    if (m.prefill_tps && m.quant.bits_per_weight >= 16 && at != quantised.end() &&
        *m.prefill_tps < at->second / 2)
      contradicted.insert(m.id);
  }
  for (Prediction& p : predictions)
    p.contradicted = p.metric == "prefill_tps" && contradicted.contains(p.id);
}

std::vector<Prediction> leave_one_device_out(const std::vector<Measurement>& rows) {
  std::map<std::string, Efficiencies> fitted;
  std::vector<Prediction> out;
  for (const Measurement& row : rows) {
    auto at = fitted.find(row.device.id);
    if (at == fitted.end())
      at = fitted.emplace(row.device.id, Efficiencies::without_device(row.device.id)).first;
    for (Prediction& p : predict_row(row, at->second)) out.push_back(std::move(p));
  }
  mark_contradicted(rows, out);
  return out;
}

std::vector<ErrorSummary> summarize(const std::vector<Prediction>& predictions) {
  std::map<std::string, std::vector<const Prediction*>> groups;
  std::set<std::string> with_contradictions;
  for (const Prediction& p : predictions)
    if (p.contradicted) with_contradictions.insert(p.metric);
  for (const Prediction& p : predictions) {
    if (!p.contradicted && with_contradictions.contains(p.metric))
      groups[p.metric + ", all but contradicted"].push_back(&p);
    groups[p.metric + ", all"].push_back(&p);
    groups[p.metric + ", " + p.device_class].push_back(&p);
  }
  std::vector<ErrorSummary> out;
  for (const auto& [name, group] : groups) out.push_back(summary_of(name, group));
  return out;
}

}  // namespace holdfast::planner
