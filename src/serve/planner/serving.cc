#include "holdfast/planner/serving.h"

#include <algorithm>
#include <cmath>

#include "holdfast/planner/queueing.h"
#include "holdfast/planner/sobol.h"

namespace holdfast::planner {

namespace {

// engine.batch_max of our own engine, and what batching servers run.
constexpr double kOwnBatchMax = 32;
constexpr double kServerBatchMax = 512;
constexpr int kServerChunk = 4096;
constexpr int kOwnChunk = 512;

bool in_data_centre(const Device& d) { return d.device_class == DeviceClass::kDatacentre; }

double p99_of(const LengthSpec& spec) {
  if (spec.p99 > 0) return spec.p99;
  const Lognormal l = lognormal_from_mean_cv(spec.mean, spec.cv);
  return l.median * std::exp(2.3263478740408408 * l.sigma);
}

}  // namespace

RequestShape request_shape(const WorkloadClass& c, double prefix_share) {
  const double p50 = c.osl.p50;
  // Of percentiles: the lognormal through the median and the 90th.
  const double sigma = p50 > 0 ? std::log(std::max(1.0, c.osl.p90 / p50)) / 1.2815515655446004 : 0;
  const double cv = p50 > 0 ? std::sqrt(std::expm1(sigma * sigma)) : c.osl.cv;
  return {c.isl.mean, c.osl.mean, p99_of(c.isl), p99_of(c.osl), prefix_share, std::min(cv, 3.0)};
}

Lengths simulation_lengths(const LengthSpec& spec) {
  Lengths out;
  out.mean = spec.mean;
  out.cv = spec.cv;
  out.p50 = spec.p50;
  out.p90 = spec.p90;
  out.p99 = spec.p99;
  return out;
}

ServedModel::ServedModel(const ModelNeed& model, const Quant& quant, const Placement& place,
                         EngineProfile profile, const Efficiencies& efficiencies,
                         const std::vector<Calibration>& calibrations)
    : model_(&model), quant_(quant), place_(place) {
  const Device& device = place.device;
  weights_ = weights_bytes(model.shape, quant);
  kv_element_ = planner::kv_element_bytes(model.kv_type).value_or(2);
  batching_ = profile == EngineProfile::kTrtLlm || profile == EngineProfile::kTuned ||
              (profile == EngineProfile::kHoldfast && in_data_centre(device));
  const auto server = profile == EngineProfile::kTuned ? ServerProfile::kTunedServer
                                                       : ServerProfile::kTrtLlmDefault;
  const DecodeClass d = efficiencies.decode(device, quant, true);
  const PrefillClass near = efficiencies.prefill(device, quant, model.shape.mixture(), 512);
  const PrefillClass far = efficiencies.prefill(device, quant, model.shape.mixture(), 2048);
  const ThroughputClass t = efficiencies.throughput(server, device, quant);
  decode_ = d.efficiency;
  eta_slope_ = std::log(far.eta / near.eta) / std::log(4.0);
  eta_ = near.eta * std::pow(2.0, eta_slope_);
  profile_ = t.profile;
  profile_.kv_element_bytes =
      batching_ ? std::min(kv_element_, quant.bits_per_weight >= 16 ? 2.0 : 1.0) : kv_element_;
  if (batching_) kv_element_ = profile_.kv_element_bytes;
  class_ = batching_ ? t.name : d.name;
  decode_sigma_ = batching_ ? t.sigma : d.sigma;
  prefill_sigma_ = batching_ ? t.sigma : near.sigma;
  throughput_sigma_ = batching_ ? t.sigma : std::hypot(d.sigma, 0.15);
  batch_limit_ = batching_ ? kServerBatchMax : kOwnBatchMax;
  place_.tensor_parallel = batching_ ? place_.devices : 1;
  for (const Calibration& c : calibrations) {
    const bool mine =
        c.device == device.id || (c.device.empty() && device.device_class == DeviceClass::kCpu);
    if (!mine) continue;
    if (c.local && !batching_) {
      local_ = c.local;
      decode_ = c.local->decode;
      decode_sigma_ = c.local->decode_sigma;
      prefill_sigma_ = c.local->prefill_sigma;
      throughput_sigma_ = std::hypot(c.local->decode_sigma, 0.10);
      class_ += ", calibrated";
      continue;
    }
    decode_factor_ = c.decode_factor;
    prefill_factor_ = c.prefill_factor;
    decode_sigma_ = prefill_sigma_ = c.sigma;
    throughput_sigma_ = std::hypot(c.sigma, 0.10);
    class_ += ", calibrated";
  }
}

double ServedModel::eta_at(double tokens) const {
  if (local_) return local_->eta_at(tokens);
  return eta_ * std::pow(std::clamp(tokens, 128.0, 32768.0) / 1024, eta_slope_);
}

Seconds ServedModel::step(double batch, double context, double speed) const {
  Seconds t;
  if (batching_) {
    const double n = place_.devices;
    const BytesPerSecond bandwidth =
        place_.device.data_bandwidth() * (n * profile_.bandwidth_share);
    const FlopsPerSecond flops = profile_.peak * (n * profile_.decode_flops_share);
    const Bytes read = weights_read(shape(), weights_, batch, decode_.expert_reuse);
    t = std::max(read / bandwidth, decode_flops(shape()) * batch / flops) +
        kv_bytes(shape(), context, profile_.kv_element_bytes) * batch / bandwidth +
        communication(shape(), place_, batch) * profile_.communication_factor;
  } else {
    t = decode_step(shape(), weights_, place_, batch, context, kv_element_, decode_);
  }
  return t / (speed * decode_factor_);
}

Seconds ServedModel::prefill(double tokens, double speed) const {
  if (tokens <= 0) return Seconds(0);
  Seconds t;
  if (batching_) {
    const double n = place_.devices;
    t = prefill_flops(shape(), tokens) / (profile_.peak * (n * profile_.prefill_flops_share)) +
        communication(shape(), place_, tokens) * profile_.communication_factor;
  } else if (local_ && place_.devices == 1) {
    t = local_prefill_time(shape(), tokens, place_.device, eta_at(tokens));
  } else {
    const double eta = eta_at(tokens);
    t = prefill_time(shape(), tokens, place_, eta, 0, kOwnChunk,
                     pipeline_exponent(shape(), quant_));
  }
  return t / (speed * prefill_factor_);
}

double ServedModel::batch_max(const RequestShape& request) const {
  const double longest = std::max(model_->context, request.isl_p99 + request.osl_p99);
  const double usual = std::max(1.0, request.isl + request.osl / 2);
  const std::uint32_t chunk = batching_ ? kServerChunk : kOwnChunk;
  const double of_longest =
      sequences_max(shape(), quant_, place_.device, place_.devices, longest, kv_element_, chunk);
  if (of_longest < 1) return 0;
  const double of_usual =
      sequences_max(shape(), quant_, place_.device, place_.devices, usual, kv_element_, chunk);
  return std::floor(std::min(of_usual, batch_limit_));
}

MemoryNeed ServedModel::memory(const RequestShape& request, double batch) const {
  return memory_need(shape(), quant_, place_.device, place_.devices, batch,
                     request.isl + request.osl / 2, kv_element_,
                     batching_ ? kServerChunk : kOwnChunk);
}

ServedModel::Cap ServedModel::cap(const RequestShape& request, double tpot_max_ms,
                                  double speed) const {
  Cap out;
  const double most = batch_max(request);
  if (most < 1) return out;
  const double context = request.isl + request.osl / 2;
  const Seconds prompt = prefill(request.work_isl(), speed);
  const auto token_time = [&](double b) {
    return step(b, context, speed) + prompt * (b / request.osl);
  };
  double low = 1;
  double high = most;
  const Seconds limit = milliseconds(tpot_max_ms);
  if (tpot_max_ms > 0 && token_time(1) > limit) return out;
  if (tpot_max_ms > 0 && token_time(most) > limit) {
    while (high - low > 0.5) {
      const double middle = std::floor((low + high) / 2);
      if (middle <= low) break;
      (token_time(middle) <= limit ? low : high) = middle;
    }
    out.batch = low;
  } else {
    out.batch = most;
  }
  const Seconds each = step(out.batch, context, speed) * request.osl + prompt * out.batch;
  out.requests = PerSecond(out.batch / each.value());
  out.tokens = TokensPerSecond(out.requests.value() * request.osl);
  return out;
}

StepCoefficients ServedModel::coefficients(const RequestShape& request, double speed) const {
  StepCoefficients c;
  const double context = std::max(1.0, request.isl + request.osl / 2);
  const double tp = place_.tensor_parallel;
  const ModelShape& s = shape();
  // Weights that every token reads, and those of experts.
  const Bytes all = weights_read(s, weights_, 1e9, 1);
  const Bytes one = weights_read(s, weights_, 1, 1);
  if (s.mixture() && one < all) {
    c.expert_share = static_cast<double>(s.experts_used) / s.experts;
    const double experts = (all - one).value() / (1 - c.expert_share);
    c.experts = Bytes(experts);
    c.weights = all - c.experts;
    c.expert_rho = decode_.expert_reuse;
  } else {
    c.weights = all;
  }
  c.kv_per_token = BytesPerToken(kv_bytes(s, context, kv_element_).value() / context);
  c.flops_per_token = FlopsPerToken(decode_flops(s).value());
  const double dense_attention = s.attention == Attention::kStateSpace ? 0 : 2.0 * s.layers;
  c.attention_flops = dense_attention * s.heads * s.head_dim;
  if (batching_) {
    const double n = place_.devices;
    c.bandwidth = place_.device.data_bandwidth() * (n * profile_.bandwidth_share);
    c.decode_speed = profile_.peak * (n * profile_.decode_flops_share);
    c.prefill_speed = profile_.peak * (n * profile_.prefill_flops_share);
    c.form = StepForm::kWeightsUnderArithmetic;
    const Seconds fixed = communication(s, place_, 0);
    c.overhead = fixed * profile_.communication_factor;
    c.per_token_sent = (communication(s, place_, 1) - fixed) * profile_.communication_factor;
  } else {
    c.bandwidth = place_.device.data_bandwidth() * (tp / decode_.bytes_cost);
    c.kv_factor = decode_.kv_cost / decode_.bytes_cost;
    const FlopsPerSecond peak = place_.device.arithmetic_peak() * tp;
    c.decode_speed = peak / std::max(decode_.batch_flops_cost, 1e-3);
    const double eta = eta_at(request.isl);
    c.prefill_speed = place_.device.prefill_peak() * (eta * tp);
    // The simulation counts all active parameters: the same time by a higher speed.
    if (local_ && place_.devices == 1) {
      const Seconds whole = prefill_time(s, request.isl, place_, eta);
      c.prefill_speed =
          c.prefill_speed * (whole / local_prefill_time(s, request.isl, place_.device, eta));
    }
    const Seconds flops = decode_flops(s) / peak;
    c.overhead = decode_.layer * static_cast<double>(s.layers) +
                 flops * std::max(0.0, decode_.flops_cost - decode_.batch_flops_cost) +
                 decode_.split * (place_.devices - 1.0);
    c.per_row = decode_.sequence;
  }
  c.bandwidth = c.bandwidth * (speed * decode_factor_);
  c.decode_speed = c.decode_speed * (speed * decode_factor_);
  c.prefill_speed = c.prefill_speed * (speed * prefill_factor_);
  c.overhead = c.overhead / (speed * decode_factor_);
  c.per_row = c.per_row / (speed * decode_factor_);
  c.per_token_sent = c.per_token_sent / (speed * decode_factor_);
  return c;
}

StepCoefficients ServedModel::loaded_coefficients(const RequestShape& request,
                                                  double batch_cap) const {
  StepCoefficients c = coefficients(request);
  if (!batching_) return c;
  const Seconds whole = step(batch_cap, request.running_context()) +
                        prefill(request.work_isl()) * (batch_cap / request.osl);
  const double rest = 1 - kFixedShare;
  c.bandwidth = c.bandwidth * (1 / rest);
  c.decode_speed = c.decode_speed * (1 / rest);
  c.prefill_speed = c.prefill_speed * (1 / rest);
  c.per_row = c.per_row * rest;
  c.per_token_sent = c.per_token_sent * rest;
  c.overhead = c.overhead * rest + whole * kFixedShare;
  return c;
}

EngineLimits ServedModel::limits(const RequestShape& request, double batch) const {
  EngineLimits l;
  l.batch_max = static_cast<int>(std::clamp(batch, 1.0, static_cast<double>(kSimulatedBatchMax)));
  const MemoryNeed fixed = memory(request, 0);
  const double context = std::max(1.0, request.isl + request.osl / 2);
  const double per_token = kv_bytes(shape(), context, kv_element_).value() / context;
  const double tokens = per_token > 0 ? fixed.free().value() / per_token : 1e12;
  l.kv_tokens_max = static_cast<std::int64_t>(std::clamp(tokens, 1.0, 1e12));
  l.chunk_tokens = batching_ ? kServerChunk : kOwnChunk;
  return l;
}

Latency chain_latency(const ServedModel& replica, const RequestShape& request, double batch,
                      PerSecond rate, double c2a, double speed) {
  Latency out;
  out.tier = "processor-sharing chain";
  const double context = request.running_context();
  const Seconds prompt = replica.prefill(request.work_isl(), speed);
  SharedProcessor system;
  system.arrivals = rate;
  system.output = Tokens(request.osl);
  system.batch_max = static_cast<int>(std::clamp(batch, 1.0, static_cast<double>(kBatchMax)));
  system.step = [&](int running) {
    return replica.step(running, context, speed) + prompt * (running / request.osl);
  };
  const auto result = shared_processor(system);
  if (!result.ok() || result->unstable) {
    out.unstable = true;
    return out;
  }
  const double stretch = (c2a + 1) / 2;
  const Seconds step_now = replica.step(std::max(1.0, result->running), context, speed);
  const Seconds base = prompt + step_now;
  const double waits = std::min(1.0, result->waits * stretch);
  const Seconds wait = waits > 1e-9 ? result->queue * (stretch / waits) : Seconds(0);
  out.ttft_p50 = base + (waits > 0.5 ? wait * std::log(waits / 0.5) : Seconds(0));
  // Prompts of the 99th percentile, and the tail of the wait.
  out.ttft_p99 = replica.prefill(request.isl_p99 * (1 - request.prefix_share), speed) + step_now +
                 (waits > 0.01 ? wait * std::log(waits / 0.01) : Seconds(0));
  out.tpot_p50 = result->tpot_p50;
  out.tpot_p99 = result->tpot_p99;
  out.e2e_p99 = out.ttft_p99 + out.tpot_p99 * request.osl_p99;
  out.utilisation = result->busy;
  return out;
}

}  // namespace holdfast::planner
