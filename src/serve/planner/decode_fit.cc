// Decoding: t = bytes_cost W/BW + flops_cost 2A/F + c L + kv_cost KV/BW.
#include <algorithm>
#include <array>
#include <cmath>

#include "fits.h"
#include "holdfast/planner/memory.h"
#include "least_squares.h"

namespace holdfast::planner {

namespace {

constexpr std::size_t kTerms = 4;  // bytes, arithmetic, layers, keys and values
constexpr double kSigmaPrior = 0.09;
// A row's weight is that of a relative error of 8 %; the rows of one device count as four at most,
// for they err together.
constexpr double kRowError = 0.08;
constexpr double kRowsPerDevice = 4;

struct Prior {
  std::array<double, kTerms> mean;
  std::array<double, kTerms> deviation;
};

// Where the numbers are from: bytes and layers are the starting values of the specification,
// rounded; keys and values its kappa (2 without flash attention, about 1.2 with); the term of
// arithmetic stands for kernels that multiply one column and are bound by instructions, which shows
// where bandwidth is large for the arithmetic (HBM) or instructions are dear (Metal).
Prior prior_of(MemoryFamily family, bool current) {
  switch (family) {
    case MemoryFamily::kCudaGddr:
      if (current) return {{1.05, 10, 45e-6, 1.2}, {0.08, 6, 20e-6, 0.4}};
      return {{1.05, 8, 80e-6, 2.2}, {0.08, 6, 30e-6, 0.5}};
    case MemoryFamily::kCudaHbm:
      if (current) return {{1.1, 40, 45e-6, 1.3}, {0.1, 40, 20e-6, 0.4}};
      return {{1.1, 60, 95e-6, 2.5}, {0.1, 60, 20e-6, 1.0}};
    case MemoryFamily::kMetal:
      if (current) return {{1.15, 3, 70e-6, 1.3}, {0.07, 1.5, 40e-6, 0.4}};
      return {{1.1, 5, 120e-6, 2.2}, {0.07, 2, 40e-6, 0.6}};
    case MemoryFamily::kUnified:
      return {{1.15, 8, 60e-6, 1.2}, {0.1, 8, 30e-6, 0.4}};
    case MemoryFamily::kOtherGpu:
      return {{1.25, 8, 60e-6, 1.3}, {0.15, 8, 30e-6, 0.4}};
    case MemoryFamily::kIntelGpu:
      // Operations bound by memory reach 0.48 of the bandwidth there (hardware.csv).
      return {{2.1, 8, 100e-6, 1.5}, {0.2, 8, 50e-6, 0.4}};
    case MemoryFamily::kCpu:
      return {{1.6, 0.5, 150e-6, 1.3}, {0.25, 0.5, 150e-6, 0.4}};
  }
  return {};
}

MemoryFamily family_of(const std::string& name) {
  for (std::size_t i = 0; i < kMemoryFamilies; ++i) {
    const auto f = static_cast<MemoryFamily>(i);
    if (name.starts_with(memory_family_name(f))) return f;
  }
  return MemoryFamily::kCpu;
}

bool is_current(const std::string& name) { return name.find("current") != std::string::npos; }

// Where a decode row has its middle: half of what it made stands before a token on average.
double mean_context(const Measurement& m) { return m.depth + m.output_tokens / 2; }

// Threads of a processor meet after every operation, and that takes the longer the more of them
// there are; rows do not give their number, but wide memory goes with many cores.
double layer_scale(const Device& device) {
  constexpr double kBandwidthOfUnit = 100e9;
  return device.family() == MemoryFamily::kCpu ? device.bandwidth.value() / kBandwidthOfUnit : 1;
}

std::array<double, kTerms> terms(const Measurement& m) {
  const BytesPerSecond bandwidth = m.device.data_bandwidth();
  return {weights_read(m.model, m.weights, 1, 1) / bandwidth / Seconds(1),
          decode_flops(m.model) / m.device.arithmetic_peak() / Seconds(1),
          m.model.layers * layer_scale(m.device),
          kv_bytes(m.model, mean_context(m), 2) / bandwidth / Seconds(1)};
}

double predict(const std::vector<double>& theta, const Measurement& m) {
  const auto x = terms(m);
  double t = 0;
  for (std::size_t i = 0; i < kTerms; ++i) t += theta[i] * x[i];
  return t;
}

std::vector<double> fit_theta(const Prior& prior, const Rows& rows) {
  // In units of the prior's deviations, for the terms differ by six orders of magnitude.
  std::array<double, kTerms> mean{};
  std::array<double, kTerms> one{};
  one.fill(1);
  for (std::size_t i = 0; i < kTerms; ++i) mean[i] = prior.mean[i] / prior.deviation[i];
  LeastSquares problem(mean, one);
  std::map<std::string, double> count;
  for (const Measurement* m : rows) count[m->device.id] += 1;
  for (const Measurement* m : rows) {
    auto x = terms(*m);
    for (std::size_t i = 0; i < kTerms; ++i) x[i] *= *m->decode_tps * prior.deviation[i];
    const double weight = std::min(1.0, kRowsPerDevice / count[m->device.id]);
    problem.add(x, 1, weight / (kRowError * kRowError));
  }
  std::vector<double> theta = problem.solve_nonnegative();
  for (std::size_t i = 0; i < kTerms; ++i) theta[i] *= prior.deviation[i];
  return theta;
}

}  // namespace

std::string decode_class(const Device& device, const Quant& quant, bool current_engine) {
  return std::string(memory_family_name(device.family())) +
         (quant.bits_per_weight >= 16 ? ", 16-bit" : ", quantised") +
         (current_engine ? ", current engine" : ", early engine");
}

std::map<std::string, Rows> decode_rows(std::span<const Measurement> rows) {
  std::map<std::string, Rows> out;
  for (const Measurement& m : rows) {
    if (!m.single_stream() || m.devices != 1 || !m.decode_tps) continue;
    out[decode_class(m.device, m.quant, m.current_engine)].push_back(&m);
  }
  return out;
}

Efficiencies::DecodeFit decode_prior(const std::string& name) {
  const Prior p = prior_of(family_of(name), is_current(name));
  return {{p.mean.begin(), p.mean.end()}, 2 * kSigmaPrior, 0};
}

Efficiencies::DecodeFit fit_decode(const std::string& name, const Rows& rows) {
  const Prior prior = prior_of(family_of(name), is_current(name));
  Efficiencies::DecodeFit fit{fit_theta(prior, rows), 0, devices_of(rows).size()};
  std::vector<LeftOut> left_out;
  for (const std::string& device : devices_of(rows)) {
    const std::vector<double> theta = fit_theta(prior, without(rows, device));
    LeftOut& out = left_out.emplace_back(LeftOut{device, {}});
    for (const Measurement* m : rows)
      if (m->device.id == device)
        out.errors.push_back(std::log(predict(theta, *m) * *m->decode_tps));
  }
  fit.sigma = pooled_sigma(left_out, kSigmaPrior);
  return fit;
}

DecodeEfficiency decode_efficiency(const Efficiencies::DecodeFit& fit, const Device& device) {
  DecodeEfficiency e;
  e.bytes_cost = fit.theta[0];
  e.flops_cost = fit.theta[1];
  e.layer = Seconds(fit.theta[2] * layer_scale(device));
  e.kv_cost = fit.theta[3];
  return e;
}

Seconds fit_split(const Rows& rows, const std::function<Seconds(const Measurement&)>& one_device) {
  // 0.3 ms counts as two devices' worth of rows; a copy takes neither less than nothing nor 2 ms.
  double sum = 2 * 0.3e-3;
  double weight = 2;
  std::map<std::string, double> count;
  for (const Measurement* m : rows) count[m->device.id] += 1;
  for (const Measurement* m : rows) {
    const double extra = 1 / *m->decode_tps - one_device(*m).value();
    const double share = 1 / count[m->device.id];
    sum += share * std::clamp(extra / (m->devices - 1), 0.0, 2e-3);
    weight += share;
  }
  return Seconds(sum / weight);
}

BatchFit fit_batches(const Rows& rows,
                     const std::function<Seconds(const Measurement&)>& free_step) {
  // Prior: a third of the peak, and 0.35 ms per sequence (specification, section 8, "Batch").
  const std::array<double, 2> mean{3, 3.5};
  const std::array<double, 2> deviation{1, 1};
  constexpr double kSequenceUnit = 1e-4;
  LeastSquares problem(mean, deviation);
  for (const Measurement* m : rows) {
    if (m->batch < 2) continue;
    const double step = m->batch / *m->decode_tps;
    const double further = m->batch - 1;
    const double flops = (decode_flops(m->model) / m->device.arithmetic_peak()).value();
    const std::array<double, 2> x{further * flops / step, further * kSequenceUnit / step};
    problem.add(x, 1 - free_step(*m).value() / step, 1 / (0.15 * 0.15) / 4);
  }
  const std::vector<double> theta = problem.solve_nonnegative();
  return {theta[0], Seconds(theta[1] * kSequenceUnit)};
}

}  // namespace holdfast::planner
