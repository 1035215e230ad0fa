#include "holdfast/planner/throughput.h"

#include <algorithm>

#include "holdfast/planner/memory.h"

namespace holdfast::planner {

namespace {

// t(b) and its parts.
class StepModel {
 public:
  StepModel(const ModelShape& shape, Bytes weights, const Placement& place, double isl, double osl,
            const BatchProfile& profile)
      : shape_(shape), place_(place), profile_(profile) {
    const double n = place.devices;
    bandwidth_ = place.device.data_bandwidth() * (n * profile.bandwidth_share);
    peak_ = profile.peak.value() > 0 ? profile.peak : place.device.eight_bit_peak();
    flops_ = peak_ * (n * profile.decode_flops_share);
    weights_time_ = weights / bandwidth_;
    kv_ = kv_bytes(shape, isl + osl / 2, profile.kv_element_bytes);
  }

  Seconds compute(double batch) const {
    return std::max(weights_time_, decode_flops(shape_) * batch / flops_);
  }
  Seconds kv(double batch) const { return kv_ * batch / bandwidth_; }
  Seconds total(double batch) const {
    Seconds t = compute(batch) + kv(batch);
    if (profile_.communication_factor > 0)
      t += communication(shape_, place_, batch) * profile_.communication_factor;
    return t;
  }
  Bytes kv_of_one() const { return kv_; }
  Seconds prefill(double isl) const {
    const double share = place_.devices * profile_.prefill_flops_share;
    Seconds t = decode_flops(shape_) * isl / (peak_ * share);
    if (profile_.communication_factor > 0)
      t += communication(shape_, place_, isl) * profile_.communication_factor;
    return t;
  }

 private:
  const ModelShape& shape_;
  const Placement& place_;
  const BatchProfile& profile_;
  BytesPerSecond bandwidth_;
  FlopsPerSecond peak_;
  FlopsPerSecond flops_;
  Seconds weights_time_;
  Bytes kv_;
};

}  // namespace

BatchProfile trtllm_default() { return {}; }

FlopsPerSecond compute_peak(const Device& device, const Quant& quant) {
  if (!quant.eight_bit_compute) return device.fp16;
  if (quant.bits_per_weight < 8 && device.fp4) return *device.fp4;
  return device.eight_bit_peak();
}

ThroughputCap throughput_cap(const ModelShape& shape, Bytes weights, const Placement& place,
                             double isl, double osl, const BatchProfile& profile, Seconds step_max,
                             double beams) {
  ThroughputCap cap;
  const double n = place.devices;
  const StepModel step(shape, weights, place, isl, osl, profile);
  const Bytes room =
      place.device.memory * (profile.memory_share * n) - weights - profile.workspace * n;
  double most = std::min(profile.batch_max, room / step.kv_of_one());
  if (most < beams) return cap;
  if (step.total(most) > step_max) {
    double low = 0;
    double high = most;
    for (int i = 0; i < 60; ++i) {
      const double middle = (low + high) / 2;
      (step.total(middle) <= step_max ? low : high) = middle;
    }
    most = low;
  }
  if (most < beams) return cap;
  cap.batch = most;
  cap.step = step.total(most);
  cap.step_compute = step.compute(most);
  cap.step_kv = step.kv(most);
  cap.prefill = step.prefill(isl);
  const double requests = most / beams;
  cap.requests = PerSecond(requests / (cap.step * osl + cap.prefill * requests).value());
  cap.tokens = TokensPerSecond(osl * cap.requests.value());
  return cap;
}

}  // namespace holdfast::planner
