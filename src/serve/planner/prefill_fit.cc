// Prefill: ln eta = base[architecture] - slope[architecture] ln(n / 512) + terms for 16-bit
// weights, mixtures of experts and the size of the device.
#include <algorithm>
#include <array>
#include <cmath>

#include "fits.h"
#include "least_squares.h"

namespace holdfast::planner {

namespace {

constexpr double kSigmaPrior = 0.20;
constexpr double kRowError = 0.15;
constexpr double kRowsPerDevice = 4;
constexpr int kReweightings = 6;
constexpr double kHuber = 2;  // in units of kRowError

// The order of the parameters: two for each architecture, then three common ones.
const std::vector<std::string>& architectures() {
  static const std::vector<std::string> names{
      "volta-hbm",    "turing-gpu",        "turing-ws",      "ampere-gpu",
      "ampere-hbm",   "ampere-ws",         "ampere-unified", "ada-gpu",
      "ada-ws",       "hopper-hbm",        "blackwell-gpu",  "blackwell-hbm",
      "blackwell-ws", "blackwell-unified", "cuda-hbm",       "metal",
      "unified",      "other-gpu",         "intel-gpu",      "cpu"};
  return names;
}
constexpr std::size_t kCommon = 3;  // 16-bit weights, mixture, size

struct Point {
  const Measurement* row;
  double tokens;
  double log_eta;
};

// What a row says of eta; nothing for rows of many devices.
std::vector<Point> points_of(std::span<const Measurement> rows) {
  std::vector<Point> out;
  for (const Measurement& m : rows) {
    const bool kind = m.single_stream() && m.kind != MeasurementKind::kOllama;
    if (!kind || m.devices != 1 || !m.prefill_tps) continue;
    const Flops flops = prefill_flops(m.model, m.prompt_tokens, m.depth);
    const Seconds time(m.prompt_tokens / *m.prefill_tps);
    const double eta = flops / time / m.device.prefill_peak();
    out.push_back({&m, m.prompt_tokens, std::log(eta)});
  }
  return out;
}

std::vector<double> design(const Device& device, const Quant& quant, bool mixture, double tokens) {
  const auto& names = architectures();
  std::vector<double> x(2 * names.size() + kCommon, 0.0);
  const std::string architecture = device.architecture();
  const auto at = std::find(names.begin(), names.end(), architecture);
  if (at != names.end()) {
    const auto i = static_cast<std::size_t>(at - names.begin());
    x[i] = 1;
    x[names.size() + i] = -std::log(std::clamp(tokens, 128.0, 32768.0) / 512);
  }
  x[2 * names.size()] = quant.bits_per_weight >= 16 ? 1 : 0;
  x[2 * names.size() + 1] = mixture ? 1 : 0;
  x[2 * names.size() + 2] = std::log(device.prefill_peak().value() / 2e14);
  return x;
}

// Section 7: 0.40 at 512 tokens up to a factor of 1.4, falling by the power 0.12; 16-bit weights
// need no unpacking; experts see a part of the tokens each; larger devices are harder to fill.
std::vector<double> fit_theta(const std::vector<Point>& points) {
  const std::size_t n = architectures().size();
  std::vector<double> mean(2 * n + kCommon);
  std::vector<double> deviation(2 * n + kCommon);
  for (std::size_t i = 0; i < n; ++i) {
    mean[i] = std::log(0.40);
    deviation[i] = 0.35;
    mean[n + i] = 0.12;
    deviation[n + i] = 0.06;
  }
  const std::array<double, kCommon> common{0.10, -0.5, -0.10};
  const std::array<double, kCommon> spread{0.08, 0.2, 0.15};
  std::copy(common.begin(), common.end(), mean.begin() + static_cast<std::ptrdiff_t>(2 * n));
  std::copy(spread.begin(), spread.end(), deviation.begin() + static_cast<std::ptrdiff_t>(2 * n));

  std::map<std::string, double> count;
  for (const Point& p : points) count[p.row->device.id] += 1;
  std::vector<std::vector<double>> x;
  for (const Point& p : points)
    x.push_back(design(p.row->device, p.row->quant, p.row->model.mixture(), p.tokens));
  std::vector<double> theta;
  for (int round = 0; round <= kReweightings; ++round) {
    LeastSquares problem(mean, deviation);
    for (std::size_t i = 0; i < points.size(); ++i) {
      double weight = std::min(1.0, kRowsPerDevice / count[points[i].row->device.id]);
      if (round > 0) {
        double predicted = 0;
        for (std::size_t j = 0; j < theta.size(); ++j) predicted += theta[j] * x[i][j];
        const double off = std::abs(predicted - points[i].log_eta) / kRowError;
        if (off > kHuber) weight *= kHuber / off;
      }
      problem.add(x[i], points[i].log_eta, weight / (kRowError * kRowError));
    }
    theta = problem.solve();
  }
  return theta;
}

double log_eta(const std::vector<double>& theta, const Device& device, const Quant& quant,
               bool mixture, double tokens) {
  const std::vector<double> x = design(device, quant, mixture, tokens);
  const std::string architecture = device.architecture();
  const auto& names = architectures();
  double out =
      std::find(names.begin(), names.end(), architecture) == names.end() ? std::log(0.40) : 0;
  for (std::size_t j = 0; j < x.size(); ++j) out += theta[j] * x[j];
  return out;
}

}  // namespace

Efficiencies::PrefillFit fit_prefill(std::span<const Measurement> rows) {
  const std::vector<Point> points = points_of(rows);
  Efficiencies::PrefillFit fit;
  fit.theta = fit_theta(points);
  Rows all;
  for (const Point& p : points) all.push_back(p.row);
  std::map<std::string, std::vector<LeftOut>> left_out;
  std::vector<LeftOut> everything;
  for (const std::string& device : devices_of(all)) {
    std::vector<Point> others;
    for (const Point& p : points)
      if (p.row->device.id != device) others.push_back(p);
    const std::vector<double> theta = fit_theta(others);
    LeftOut out{device, {}};
    std::string architecture;
    for (const Point& p : points) {
      if (p.row->device.id != device) continue;
      architecture = p.row->device.architecture();
      out.errors.push_back(
          log_eta(theta, p.row->device, p.row->quant, p.row->model.mixture(), p.tokens) -
          p.log_eta);
    }
    left_out[architecture].push_back(out);
    everything.push_back(std::move(out));
  }
  for (const auto& [architecture, errors] : left_out) {
    fit.sigma[architecture] = pooled_sigma(errors, kSigmaPrior);
    fit.devices[architecture] = errors.size();
  }
  // An architecture nobody measured errs more than one that somebody did.
  fit.sigma_other = 1.5 * pooled_sigma(everything, kSigmaPrior);
  return fit;
}

double prefill_eta(const Efficiencies::PrefillFit& fit, const Device& device, const Quant& quant,
                   bool mixture, double tokens) {
  return std::exp(log_eta(fit.theta, device, quant, mixture, tokens));
}

}  // namespace holdfast::planner
