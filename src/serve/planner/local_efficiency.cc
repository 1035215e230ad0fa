#include "holdfast/planner/local_efficiency.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "holdfast/planner/memory.h"
#include "holdfast/planner/sobol.h"
#include "least_squares.h"

namespace holdfast::planner {

namespace {

constexpr std::size_t kTerms = 6;  // bytes, keys and values, arithmetic, layers; further: flops, e
constexpr double kRowError = 0.03;
// Wide: what the class knows only splits what one model cannot tell apart.
constexpr std::array<double, kTerms> kMean{1.5, 1.3, 0.5, 1.0, 1.0, 1.0};
constexpr std::array<double, kTerms> kDeviation{0.6, 1.0, 0.8, 1.5, 1.5, 3.0};
// Units of the terms that are times: 50 us a layer, 100 us a sequence.
constexpr double kLayerUnit = 50e-6;
constexpr double kSequenceUnit = 100e-6;

std::array<double, kTerms> terms(const Device& device, const CalibrationPoint& p) {
  const BytesPerSecond bandwidth = device.data_bandwidth();
  const double flops = (decode_flops(p.model) / device.arithmetic_peak()).value();
  const double further = p.batch - 1;
  return {(weights_read(p.model, p.weights, p.batch, 1) / bandwidth).value(),
          p.batch * (kv_bytes(p.model, p.depth, p.kv_element_bytes) / bandwidth).value(),
          flops,
          p.model.layers * kLayerUnit,
          further * flops,
          further * kSequenceUnit};
}

DecodeEfficiency fit_decode_points(const Device& device,
                                   const std::vector<CalibrationPoint>& points) {
  std::array<double, kTerms> mean{};
  std::array<double, kTerms> one{};
  one.fill(1);
  for (std::size_t i = 0; i < kTerms; ++i) mean[i] = kMean[i] / kDeviation[i];
  LeastSquares problem(mean, one);
  for (const CalibrationPoint& p : points) {
    auto x = terms(device, p);
    for (std::size_t i = 0; i < kTerms; ++i) x[i] *= kDeviation[i] * p.tokens_per_s / p.batch;
    problem.add(x, 1, 1 / (kRowError * kRowError));
  }
  std::vector<double> theta = problem.solve_nonnegative();
  for (std::size_t i = 0; i < kTerms; ++i) theta[i] *= kDeviation[i];
  DecodeEfficiency e;
  e.bytes_cost = theta[0];
  e.kv_cost = theta[1];
  e.flops_cost = theta[2];
  e.layer = Seconds(theta[3] * kLayerUnit);
  e.batch_flops_cost = theta[4];
  e.sequence = Seconds(theta[5] * kSequenceUnit);
  return e;
}

// Weights of the layers that one token uses.
double layer_params(const ModelShape& s) {
  const double d = s.width;
  const double heads = static_cast<double>(s.heads) + s.kv_heads;
  const double experts = s.mixture() ? s.experts_used : 1;
  const double all = s.layers * (2 * d * heads * s.head_dim + 3 * d * s.ff_width * experts);
  return all > 0 ? std::min(all, s.active) : s.active;
}

double spread(const std::vector<double>& log_errors) {
  double sum = 0;
  for (const double e : log_errors) sum += e * e;
  const double rms =
      log_errors.empty() ? 0 : std::sqrt(sum / static_cast<double>(log_errors.size()));
  return std::clamp(rms, 0.05, 0.5);
}

}  // namespace

Seconds local_prefill_time(const ModelShape& shape, double tokens, const Device& device,
                           double eta) {
  ModelShape layers = shape;
  layers.active = layer_params(shape);
  return prefill_flops(layers, tokens) / (device.prefill_peak() * eta);
}

double LocalEfficiency::eta_at(double tokens) const {
  const double n = std::clamp(tokens, eta.front().first, eta.back().first);
  for (std::size_t i = 1; i < eta.size(); ++i) {
    if (n > eta[i].first) continue;
    const double at = std::log(n / eta[i - 1].first) / std::log(eta[i].first / eta[i - 1].first);
    return eta[i - 1].second * std::pow(eta[i].second / eta[i - 1].second, at);
  }
  return eta.back().second;
}

double predict_point(const LocalEfficiency& fit, const Device& device, const CalibrationPoint& p) {
  if (p.prefill) {
    const Seconds t = local_prefill_time(p.model, p.tokens, device, fit.eta_at(p.tokens));
    return p.tokens / t.value();
  }
  const Seconds t = decode_step(p.model, p.weights, {device, 1, 1}, p.batch, p.depth,
                                p.kv_element_bytes, fit.decode);
  return p.batch / t.value();
}

Result<LocalEfficiency> fit_local(const Device& device, std::span<const CalibrationPoint> points) {
  if (points.size() > kCalibrationPointsMax)
    return exhausted("calibration: more than " + std::to_string(kCalibrationPointsMax) + " points");
  std::vector<CalibrationPoint> decode;
  std::map<double, std::vector<double>> eta;
  for (const CalibrationPoint& p : points) {
    if (!(p.tokens_per_s > 0) || !std::isfinite(p.tokens_per_s) || !(p.batch >= 1))
      return invalid_argument("calibration: a speed or batch of " + p.model.id +
                              " is not positive");
    if (!p.prefill) {
      decode.push_back(p);
      continue;
    }
    const Seconds time(p.tokens / p.tokens_per_s);
    eta[p.tokens].push_back(local_prefill_time(p.model, p.tokens, device, 1) / time);
  }
  if (decode.empty() || eta.empty())
    return invalid_argument("calibration: needs at least one decode and one prefill point");
  LocalEfficiency out;
  out.decode = fit_decode_points(device, decode);
  for (auto& [tokens, values] : eta) out.eta.emplace_back(tokens, quantile(std::move(values), 0.5));
  out.points = points.size();
  std::vector<double> decode_errors;
  std::vector<double> prefill_errors;
  for (const CalibrationPoint& p : points) {
    const double error = std::log(predict_point(out, device, p) / p.tokens_per_s);
    (p.prefill ? prefill_errors : decode_errors).push_back(error);
  }
  out.decode_sigma = spread(decode_errors);
  out.prefill_sigma = spread(prefill_errors);
  return out;
}

}  // namespace holdfast::planner
