// The three fits behind Efficiencies, one file each.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "holdfast/planner/efficiencies.h"

namespace holdfast::planner {

using Rows = std::vector<const Measurement*>;

// Decoding one sequence -----------------------------------------------------------------------

// The class of a device, a format and a generation of engines.
std::string decode_class(const Device& device, const Quant& quant, bool current_engine);
Efficiencies::DecodeFit fit_decode(const std::string& name, const Rows& rows);
// The prior of a class, for devices nobody measured.
Efficiencies::DecodeFit decode_prior(const std::string& name);
DecodeEfficiency decode_efficiency(const Efficiencies::DecodeFit& fit, const Device& device);
std::map<std::string, Rows> decode_rows(std::span<const Measurement> rows);

// What further devices that hold layers add to a step, given the step of one.
Seconds fit_split(const Rows& rows, const std::function<Seconds(const Measurement&)>& one_device);

// Cost of further sequences: a factor of 2 A / F and seconds, given a step without these.
struct BatchFit {
  double flops_cost = 0;
  Seconds sequence;
};
BatchFit fit_batches(const Rows& rows, const std::function<Seconds(const Measurement&)>& free_step);

// Prefill ---------------------------------------------------------------------------------------

Efficiencies::PrefillFit fit_prefill(std::span<const Measurement> rows);
double prefill_eta(const Efficiencies::PrefillFit& fit, const Device& device, const Quant& quant,
                   bool mixture, double tokens);

// Most throughput -------------------------------------------------------------------------------

std::string throughput_class(ServerProfile profile, const Device& device);
std::map<std::string, Rows> throughput_rows(std::span<const Measurement> rows);
Efficiencies::ThroughputFit fit_throughput(const std::string& name, const Rows& rows);
Efficiencies::ThroughputFit throughput_prior(const std::string& name);
BatchProfile batch_profile(const Efficiencies::ThroughputFit& fit, const Device& device,
                           const Quant& quant);
// Of all its devices, in the best tensor parallelism.
double best_throughput(const Measurement& row, const BatchProfile& profile);

// Shared -----------------------------------------------------------------------------------------

// Names of the devices, in order, each once.
std::vector<std::string> devices_of(const Rows& rows);
Rows without(const Rows& rows, const std::string& device);

// Errors (of logarithms) on devices that were left out.
struct LeftOut {
  std::string device;
  std::vector<double> errors;
};
// sigma of a class: its mean square over devices, with `prior` counting as three of them. Errors
// beyond 0.6 are counted as that: one broken run says little of the next device.
double pooled_sigma(const std::vector<LeftOut>& left_out, double prior);

}  // namespace holdfast::planner
