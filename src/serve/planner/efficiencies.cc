#include "holdfast/planner/efficiencies.h"

#include <algorithm>
#include <cmath>

#include "fits.h"

namespace holdfast::planner {

namespace {

// Between independent routing (1) and repeated prompts (0.5).
constexpr double kExpertReuse = 0.7;

}  // namespace

Band band(double median, double sigma) {
  const double factor = std::exp(kZ90 * sigma);
  return {median / factor, median, median * factor};
}

std::vector<std::string> devices_of(const Rows& rows) {
  std::vector<std::string> out;
  for (const Measurement* m : rows)
    if (std::find(out.begin(), out.end(), m->device.id) == out.end()) out.push_back(m->device.id);
  return out;
}

Rows without(const Rows& rows, const std::string& device) {
  Rows out;
  for (const Measurement* m : rows)
    if (m->device.id != device) out.push_back(m);
  return out;
}

double pooled_sigma(const std::vector<LeftOut>& left_out, double prior) {
  constexpr double kErrorMax = 0.6;
  constexpr double kPriorDevices = 3;
  // Left-out errors are those of classes that lost a device; and few devices tell little of the
  // tails. So much wider, four in five rows of left-out devices lie inside.
  constexpr double kWidening = 1.12;
  double sum = kPriorDevices * prior * prior;
  double count = kPriorDevices;
  for (const LeftOut& device : left_out) {
    double squares = 0;
    for (const double e : device.errors) {
      const double kept = std::min(std::abs(e), kErrorMax);
      squares += kept * kept;
    }
    sum += squares / static_cast<double>(std::max<std::size_t>(1, device.errors.size()));
    count += 1;
  }
  return kWidening * std::sqrt(sum / count);
}

Efficiencies Efficiencies::fit(std::span<const Measurement> rows) {
  Efficiencies out;
  for (const auto& [name, group] : decode_rows(rows)) out.decode_[name] = fit_decode(name, group);
  const auto step_of_one = [&out](const Measurement& m) {
    const DecodeClass c = out.decode(m.device, m.quant, m.current_engine);
    return decode_step(m.model, m.weights, {m.device, 1, 1}, 1, m.depth + m.output_tokens / 2, 2,
                       c.efficiency);
  };
  Rows split;
  Rows batches;
  for (const Measurement& m : rows) {
    if (!m.decode_tps) continue;
    if (m.single_stream() && m.devices > 1) split.push_back(&m);
    if (m.kind == MeasurementKind::kBatchedBench) batches.push_back(&m);
  }
  out.split_ = fit_split(split, step_of_one);
  const auto free_step = [&out](const Measurement& m) {
    DecodeEfficiency e = out.decode(m.device, m.quant, m.current_engine).efficiency;
    e.batch_flops_cost = 0;
    e.sequence = Seconds(0);
    return decode_step(m.model, m.weights, {m.device, 1, 1}, m.batch,
                       m.prompt_tokens + m.output_tokens / 2, 2, e);
  };
  const BatchFit batch = fit_batches(batches, free_step);
  out.batch_flops_cost_ = batch.flops_cost;
  out.sequence_ = batch.sequence;
  out.prefill_ = fit_prefill(rows);
  for (const auto& [name, group] : throughput_rows(rows))
    out.throughput_[name] = fit_throughput(name, group);
  return out;
}

const Efficiencies& Efficiencies::shipped() {
  static const Efficiencies all = fit(shipped_measurements());
  return all;
}

Efficiencies Efficiencies::without_device(std::string_view id) {
  std::vector<Measurement> others;
  for (const Measurement& m : shipped_measurements())
    if (m.device.id != id) others.push_back(m);
  return fit(others);
}

DecodeClass Efficiencies::decode(const Device& device, const Quant& quant,
                                 bool current_engine) const {
  DecodeClass out;
  out.name = decode_class(device, quant, current_engine);
  const auto at = decode_.find(out.name);
  const DecodeFit fit = at == decode_.end() ? decode_prior(out.name) : at->second;
  out.efficiency = decode_efficiency(fit, device);
  out.efficiency.split = split_;
  out.efficiency.batch_flops_cost = batch_flops_cost_;
  out.efficiency.sequence = sequence_;
  out.efficiency.expert_reuse = kExpertReuse;
  out.sigma = fit.sigma;
  out.devices = fit.devices;
  return out;
}

PrefillClass Efficiencies::prefill(const Device& device, const Quant& quant, bool mixture,
                                   double tokens) const {
  PrefillClass out;
  out.name = device.architecture();
  out.eta = prefill_eta(prefill_, device, quant, mixture, tokens);
  const auto sigma = prefill_.sigma.find(out.name);
  out.sigma = sigma == prefill_.sigma.end() ? prefill_.sigma_other : sigma->second;
  const auto devices = prefill_.devices.find(out.name);
  out.devices = devices == prefill_.devices.end() ? 0 : devices->second;
  return out;
}

ThroughputClass Efficiencies::throughput(ServerProfile profile, const Device& device,
                                         const Quant& quant) const {
  ThroughputClass out;
  out.name = throughput_class(profile, device);
  const auto at = throughput_.find(out.name);
  const ThroughputFit fit = at == throughput_.end() ? throughput_prior(out.name) : at->second;
  out.profile = batch_profile(fit, device, quant);
  out.sigma = fit.sigma;
  out.devices = fit.devices;
  return out;
}

}  // namespace holdfast::planner
