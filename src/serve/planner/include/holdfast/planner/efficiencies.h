// What share of its limits a class of devices reaches, fitted on measured rows. No constant belongs
// to a device: only to classes, so that a device without a row is predicted as well as one with.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "holdfast/planner/measurements.h"
#include "holdfast/planner/rates.h"
#include "holdfast/planner/throughput.h"

namespace holdfast::planner {

// A positive quantity of which the logarithm is known up to sigma: 80 % of the cases lie between
// p10 and p90.
struct Band {
  double p10 = 0;
  double p50 = 0;
  double p90 = 0;
};
Band band(double median, double sigma);
// The quotient of z at 90 %: exp(1.2816 sigma) is p90 over p50.
inline constexpr double kZ90 = 1.2815515655446004;

// A fitted value with what is known of its error.
struct DecodeClass {
  std::string name;  // "cuda-gddr, quantised, early engine"
  DecodeEfficiency efficiency;
  double sigma = 0;
  std::size_t devices = 0;  // that it was fitted on; 0: the prior alone
};

struct PrefillClass {
  std::string name;
  double eta = 0;  // at the number of tokens asked for
  double sigma = 0;
  std::size_t devices = 0;
};

// Servers whose most is known from published runs.
enum class ServerProfile : std::uint8_t {
  kTrtLlmDefault,  // as it comes
  kTunedOffline,   // a vendor's submission to a benchmark, without a limit on latency
  kTunedServer,    // the same under the benchmark's limits
};

struct ThroughputClass {
  std::string name;
  BatchProfile profile;
  double sigma = 0;
  std::size_t devices = 0;
};

// Immutable after fit(); thread-safe.
class Efficiencies {
 public:
  // Least squares on relative errors, each device with the same weight, around priors from the
  // specification (sections 7 and 8); robust against rows that are far off. The spread of a class
  // is its error on devices left out of the fit, one after the other.
  static Efficiencies fit(std::span<const Measurement> rows);
  // On all shipped rows; made once.
  static const Efficiencies& shipped();
  // On the shipped rows of other devices.
  static Efficiencies without_device(std::string_view id);

  DecodeClass decode(const Device& device, const Quant& quant, bool current_engine) const;
  PrefillClass prefill(const Device& device, const Quant& quant, bool mixture, double tokens) const;
  ThroughputClass throughput(ServerProfile profile, const Device& device, const Quant& quant) const;

  struct DecodeFit {
    std::vector<double> theta;  // costs of bytes, arithmetic, layers, keys and values
    double sigma = 0;
    std::size_t devices = 0;
  };
  struct PrefillFit {
    std::vector<double> theta;
    std::map<std::string, double> sigma;         // by architecture
    std::map<std::string, std::size_t> devices;  // by architecture
    double sigma_other = 0;
  };
  struct ThroughputFit {
    std::vector<double> theta;  // shares of bandwidth, decode, prefill; factor of communication
    double sigma = 0;
    std::size_t devices = 0;
  };

 private:
  std::map<std::string, DecodeFit> decode_;  // by the name of the class
  PrefillFit prefill_;
  std::map<std::string, ThroughputFit> throughput_;
  Seconds split_;
  double batch_flops_cost_ = 0;
  Seconds sequence_;
};

}  // namespace holdfast::planner
