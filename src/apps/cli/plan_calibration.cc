#include "plan_calibration.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "holdfast/planner/efficiencies.h"
#include "holdfast/planner/local_efficiency.h"
#include "holdfast/planner/model_shape.h"
#include "holdfast/planner/serving.h"
#include "holdfast/planner/shipped.h"
#include "holdfast/planner/sobol.h"
#include "machine_row.h"

namespace holdfast::cli {

namespace {

constexpr double kSigmaMin = 0.05;
constexpr double kSigmaMax = 0.5;
constexpr double kParamsMin = 1e6;
constexpr double kParamsMax = 1e13;

// What the file tells of the weights; the rest as the model has it, or as so many parameters do.
std::optional<planner::ModelNeed> need_of(const CalibratedModel& m, const ShapeOf& shape_of) {
  const auto params = static_cast<double>(m.params);
  if (params < kParamsMin || params > kParamsMax) return std::nullopt;
  planner::ModelNeed need;
  if (auto exact = shape_of(m.name); exact && exact->layers == m.layers) {
    need.shape = std::move(*exact);
  } else {
    need.shape = planner::shape_from_params(m.name, params, params);
    // A known model of these sizes tells its heads and windows too.
    constexpr double kSameParams = 0.02;
    for (const planner::ModelShape& known : planner::shipped_models()) {
      if (known.layers == m.layers && std::abs(known.params / params - 1) < kSameParams)
        need.shape = known;
    }
    need.shape.layers = static_cast<std::uint32_t>(std::clamp<std::int64_t>(m.layers, 1, 10'000));
  }
  need.shape.file_bytes = planner::Bytes(static_cast<double>(m.weights_bytes));
  const auto quant = planner::find_quant(m.quant);
  need.shape.quant = quant.ok() ? std::string(quant->name) : "Q4_K_M";
  need.kv_type = m.kv_type;
  return need;
}

planner::CalibrationPoint local_point(const planner::ModelNeed& need, const CalibrationPoint& p) {
  planner::CalibrationPoint out;
  out.model = need.shape;
  out.weights = *need.shape.file_bytes;
  out.kv_element_bytes = planner::kv_element_bytes(need.kv_type).value_or(2);
  out.prefill = p.prefill;
  out.tokens = static_cast<double>(p.tokens);
  out.batch = static_cast<double>(p.batch);
  out.depth = static_cast<double>(p.depth) + (p.prefill ? 0 : out.tokens / 2);
  out.tokens_per_s = p.tokens_per_s;
  return out;
}

// Root mean square distance of the logarithms from that of the factor.
double spread(const std::vector<double>& ratios, double factor) {
  double sum = 0;
  for (const double r : ratios) sum += std::pow(std::log(r / factor), 2);
  return ratios.empty() ? 0 : std::sqrt(sum / static_cast<double>(ratios.size()));
}

double predicted_rate(const planner::ServedModel& served, const CalibrationPoint& p) {
  const auto tokens = static_cast<double>(p.tokens);
  if (p.prefill) return tokens / served.prefill(tokens).value();
  const auto batch = static_cast<double>(p.batch);
  return batch / served.step(batch, static_cast<double>(p.depth) + tokens / 2).value();
}

}  // namespace

Result<planner::Device> device_of(const CalibratedMachine& machine) {
  MachineFacts facts;
  facts.cpu = machine.cpu;
  facts.threads = machine.threads;
  facts.isa = machine.isa;
  facts.memory_bytes = static_cast<std::uint64_t>(machine.memory_bytes);
  facts.memory_bytes_per_second = machine.bandwidth_bytes_per_s;
  facts.int8_ops_per_second = machine.int8_ops_per_s;
  facts.f32_ops_per_second = machine.f32_ops_per_s;
  HF_TRY_ASSIGN(std::vector<planner::Device> devices,
                planner::parse_devices(machine_row_csv(facts), "calibration", true));
  return std::move(devices.front());
}

planner::Calibration calibration_of(const Calibration& measured, const planner::Device& device,
                                    const ShapeOf& shape_of) {
  planner::Calibration out;
  out.device = device.id;
  std::vector<double> decode;
  std::vector<double> prefill;
  std::vector<planner::CalibrationPoint> points;
  for (const CalibratedModel& m : measured.models) {
    const auto need = need_of(m, shape_of);
    if (!need) continue;
    const planner::ServedModel served(*need, *planner::find_quant(need->shape.quant),
                                      {device, 1, 1}, planner::EngineProfile::kHoldfast,
                                      planner::Efficiencies::shipped(), {});
    for (const CalibrationPoint& p : m.points) {
      (p.prefill ? prefill : decode).push_back(p.tokens_per_s / predicted_rate(served, p));
      points.push_back(local_point(*need, p));
    }
  }
  out.points = points.size();
  if (out.points == 0) return out;
  if (!decode.empty()) out.decode_factor = planner::quantile(decode, 0.5);
  if (!prefill.empty()) out.prefill_factor = planner::quantile(prefill, 0.5);
  out.sigma =
      std::clamp(std::max(spread(decode, out.decode_factor), spread(prefill, out.prefill_factor)),
                 kSigmaMin, kSigmaMax);
  if (auto local = planner::fit_local(device, points); local.ok()) out.local = std::move(*local);
  return out;
}

Status add_calibration(std::string_view text, const std::string& name, const ShapeOf& shape_of,
                       planner::ProblemInputs& inputs) {
  const auto measured = parse_calibration(text);
  if (!measured.ok()) return invalid_argument(name + ": " + measured.error().client_message());
  auto device = device_of(measured->machine);
  if (!device.ok()) return invalid_argument(name + ": " + device.error().client_message());
  const auto known = std::find_if(inputs.extra_devices.begin(), inputs.extra_devices.end(),
                                  [&](const planner::Device& d) { return d.id == device->id; });
  if (known != inputs.extra_devices.end()) {
    *device = *known;
  } else {
    inputs.extra_devices.push_back(*device);
  }
  inputs.calibrations.push_back(calibration_of(*measured, *device, shape_of));
  return ok_status();
}

}  // namespace holdfast::cli
