// Most throughput: shares of bandwidth and arithmetic and a factor of communication, by a search
// for the least median-like error around a prior.
#include <algorithm>
#include <array>
#include <cmath>

#include "fits.h"

namespace holdfast::planner {

namespace {

constexpr std::size_t kTerms = 4;
constexpr double kSigmaPrior = 0.17;
constexpr double kErrorMax = 0.6;

// Engines of other vendors' data-centre parts reach about 0.7 of the share: in MLPerf inference
// v4.1 eight MI300X delivered what eight H100 did with three quarters of their arithmetic.
constexpr double kOtherVendorShare = 0.7;

std::vector<double> prior_of(const std::string& name) {
  if (const std::size_t at = name.find(", other vendor"); at != std::string::npos) {
    std::vector<double> theta = prior_of(name.substr(0, at));
    theta[1] *= kOtherVendorShare;
    theta[2] *= kOtherVendorShare;
    return theta;
  }
  // Section 9. Vendors' submissions: overall use of the arithmetic of 0.36 to 0.63.
  if (name.starts_with("trtllm")) return {0.85, 0.30, 0.45, 1.0};
  if (name.find("cpu") != std::string::npos) return {0.70, 0.25, 0.25, 1.0};
  if (name.find("edge") != std::string::npos) return {0.70, 0.30, 0.30, 1.0};
  if (name.find("offline") != std::string::npos) return {0.95, 0.55, 0.42, 1.0};
  return {0.95, 0.50, 0.38, 1.0};
}

// Rows that differ in nothing but who submitted them count as one.
std::string group_of(const Measurement& m) {
  return m.device.id + "/" + std::to_string(m.devices) + "/" + m.model.id + "/" +
         std::to_string(m.prompt_tokens) + "/" + std::to_string(m.output_tokens);
}

BatchProfile profile_of(const std::vector<double>& theta, const Device& device,
                        const Quant& quant) {
  BatchProfile p;
  p.bandwidth_share = theta[0];
  p.decode_flops_share = theta[1];
  p.prefill_flops_share = theta[2];
  p.communication_factor = theta[3];
  p.memory_share = device.usable_share();
  p.peak = compute_peak(device, quant);
  p.kv_element_bytes = quant.bits_per_weight >= 16 ? 2 : 1;
  return p;
}

double log_error(const std::vector<double>& theta, const Measurement& m) {
  const double predicted = best_throughput(m, profile_of(theta, m.device, m.quant));
  if (predicted <= 0) return kErrorMax;
  return std::log(predicted / *m.decode_tps);
}

class Search {
 public:
  Search(std::vector<double> prior, const Rows& rows) : prior_(std::move(prior)), rows_(rows) {
    for (const Measurement* m : rows_) count_[group_of(*m)] += 1;
  }

  // Coordinate descent with steps that halve; in the logarithms, so nothing turns negative.
  std::vector<double> run() const {
    std::vector<double> best = prior_;
    double least = loss(best);
    for (double step = 0.2; step > 0.01; step /= 2) {
      bool moved = true;
      for (int round = 0; moved && round < 20; ++round) {
        moved = false;
        for (std::size_t i = 0; i < kTerms; ++i) {
          for (const double factor : {std::exp(step), std::exp(-step)}) {
            std::vector<double> next = best;
            next[i] *= factor;
            if (i == 0) next[i] = std::min(next[i], 1.0);
            const double cost = loss(next);
            if (cost >= least - 1e-12) continue;
            least = cost;
            best = next;
            moved = true;
          }
        }
      }
    }
    return best;
  }

 private:
  double loss(const std::vector<double>& theta) const {
    double sum = 0;
    for (const Measurement* m : rows_)
      sum += std::min(std::abs(log_error(theta, *m)), kErrorMax) / count_.at(group_of(*m));
    for (std::size_t i = 0; i < kTerms; ++i) {
      const double off = std::log(theta[i] / prior_[i]);
      sum += 0.5 * off * off;
    }
    return sum;
  }

  std::vector<double> prior_;
  const Rows& rows_;
  std::map<std::string, double> count_;
};

}  // namespace

std::string throughput_class(ServerProfile profile, const Device& device) {
  std::string name = profile == ServerProfile::kTrtLlmDefault  ? "trtllm-default"
                     : profile == ServerProfile::kTunedOffline ? "tuned, offline"
                                                               : "tuned, server";
  if (device.device_class == DeviceClass::kCpu) name += ", cpu";
  if (device.device_class == DeviceClass::kEdge) name += ", edge";
  if (device.device_class == DeviceClass::kDatacentre && device.vendor != "NVIDIA")
    name += ", other vendor";
  return name;
}

std::map<std::string, Rows> throughput_rows(std::span<const Measurement> rows) {
  std::map<std::string, Rows> out;
  for (const Measurement& m : rows) {
    if (!m.decode_tps) continue;
    if (m.kind == MeasurementKind::kTrtLlm)
      out[throughput_class(ServerProfile::kTrtLlmDefault, m.device)].push_back(&m);
    if (m.kind == MeasurementKind::kMlperfOffline)
      out[throughput_class(ServerProfile::kTunedOffline, m.device)].push_back(&m);
    if (m.kind == MeasurementKind::kMlperfServer)
      out[throughput_class(ServerProfile::kTunedServer, m.device)].push_back(&m);
  }
  return out;
}

double best_throughput(const Measurement& m, const BatchProfile& profile) {
  constexpr std::uint32_t kTensorParallelMax = 8;
  double best = 0;
  for (std::uint32_t tp = 1; tp <= std::min(m.devices, kTensorParallelMax); tp *= 2) {
    const Placement place{m.device, tp, tp};
    const ThroughputCap cap = throughput_cap(m.model, m.weights, place, m.prompt_tokens,
                                             m.output_tokens, profile, Seconds(1e9), m.beams);
    best = std::max(best, cap.tokens.value() * (m.devices / tp));
  }
  return best;
}

BatchProfile batch_profile(const Efficiencies::ThroughputFit& fit, const Device& device,
                           const Quant& quant) {
  return profile_of(fit.theta, device, quant);
}

Efficiencies::ThroughputFit throughput_prior(const std::string& name) {
  return {prior_of(name), 1.5 * kSigmaPrior, 0};
}

Efficiencies::ThroughputFit fit_throughput(const std::string& name, const Rows& rows) {
  Efficiencies::ThroughputFit fit;
  fit.theta = Search(prior_of(name), rows).run();
  fit.devices = devices_of(rows).size();
  std::vector<LeftOut> left_out;
  for (const std::string& device : devices_of(rows)) {
    const Rows others = without(rows, device);
    const std::vector<double> theta = Search(prior_of(name), others).run();
    LeftOut out{device, {}};
    for (const Measurement* m : rows)
      if (m->device.id == device) out.errors.push_back(log_error(theta, *m));
    left_out.push_back(std::move(out));
  }
  fit.sigma = pooled_sigma(left_out, kSigmaPrior);
  return fit;
}

}  // namespace holdfast::planner
