#include "plan_fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "engine_config.h"
#include "holdfast/base/units.h"
#include "holdfast/enginehost/plan.h"
#include "holdfast/footprint/kv_types.h"
#include "holdfast/planner/memory.h"
#include "holdfast/planner/serving.h"
#include "holdfast/planner/shipped.h"
#include "holdfast/platform/cpu.h"
#include "local_model.h"
#include "machine_row.h"
#include "output.h"
#include "plan_documents.h"
#include "plan_models.h"

namespace holdfast::cli {

namespace {

using planner::ModelShape;
using planner::Quant;

constexpr std::uint32_t kContextAssumed = 4096;
constexpr std::uint32_t kContextMax = 1u << 27;
constexpr std::uint32_t kParallelMax = 1024;
constexpr std::uint32_t kStep = footprint::kPageTokens;
constexpr double kPromptTokens = 512;
constexpr std::array<const char*, 7> kOtherQuants{"F16",    "Q8_0", "Q6_K",  "Q5_K_M",
                                                  "Q4_K_M", "Q4_0", "Q3_K_M"};

// What memory is needed, and how much is there.
struct Fitting {
  bool fits = false;
  std::uint32_t context = 0;
  std::string reason;  // why not
  double weights = 0;
  double kv = 0;
  double workspace = 0;
  double process = 0;
  double limit = 0;
  double peak = 0;  // resident, once used like that; 0: not known
};

// One way of deciding.
class Memory {
 public:
  virtual ~Memory() = default;
  virtual Fitting at(std::uint32_t context, std::uint32_t parallel) const = 0;
};

// As our engine decides when it loads a model.
class EngineMemory final : public Memory {
 public:
  EngineMemory(const Context& context, enginehost::ModelSize size)
      : config_(engine_config(context)), size_(std::move(size)) {}

  Fitting at(std::uint32_t context, std::uint32_t parallel) const override {
    json::Object config = config_;
    config.set("context", context);
    config.set("batch_max", parallel);
    config.set("kv_tokens", std::uint64_t{context} * parallel);
    const auto decided = enginehost::plan_engine(json::write(std::move(config)), size_,
                                                 {.sequences = parallel, .tokens = context});
    Fitting out;
    out.context = context;
    out.limit = static_cast<double>(config_.find("memory_limit_bytes")->as_int());
    if (const auto* no = std::get_if<footprint::NoFit>(&decided)) {
      out.reason = no->error.client_message();
      out.weights = static_cast<double>(size_.weights_bytes);
      return out;
    }
    const auto& plan = std::get<enginehost::EnginePlan>(decided);
    out.weights = static_cast<double>(plan.fit.plan.weights_bytes);
    out.kv = static_cast<double>(plan.fit.plan.kv_bytes);
    out.workspace = static_cast<double>(plan.fit.plan.scratch_bytes);
    out.process = static_cast<double>(plan.fit.plan.process_bytes);
    out.peak = static_cast<double>(plan.resident.total_bytes());
    out.context = plan.fit.context;
    const double held = static_cast<double>(plan.fit.pages) * kStep;
    out.fits = held >= static_cast<double>(out.context) * parallel;
    if (!out.fits)
      out.reason = "keys and values of " + std::to_string(parallel) +
                   " sequences do not fit: " + fixed(held, 0) + " tokens do";
    return out;
  }

 private:
  json::Object config_;
  enginehost::ModelSize size_;
};

// By the formulas of the specification, section 6.
class FormulaMemory final : public Memory {
 public:
  FormulaMemory(const ModelShape& shape, const Quant& quant, const planner::Device& device,
                double element_bytes)
      : shape_(shape), quant_(quant), device_(device), element_bytes_(element_bytes) {}

  Fitting at(std::uint32_t context, std::uint32_t parallel) const override {
    const planner::MemoryNeed need =
        planner::memory_need(shape_, quant_, device_, 1, parallel, context, element_bytes_);
    Fitting out;
    out.fits = need.fits();
    out.context = context;
    out.weights = need.weights.value();
    out.kv = need.kv.value();
    out.workspace = need.workspace.value();
    out.limit = need.usable.value();
    if (!out.fits)
      out.reason = format_bytes(static_cast<std::uint64_t>(need.total().value())) + " needed, " +
                   format_bytes(static_cast<std::uint64_t>(need.usable.value())) + " available";
    return out;
  }

 private:
  ModelShape shape_;
  Quant quant_;
  planner::Device device_;
  double element_bytes_;
};

// The largest of 1..most (in steps) for which `fits`, 0 for none.
template <typename Fits>
std::uint32_t largest(std::uint32_t step, std::uint32_t most, const Fits& fits) {
  std::uint32_t low = 0;
  std::uint32_t high = most / step;
  while (low < high) {
    const std::uint32_t middle = high - (high - low) / 2;
    if (fits(middle * step)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low * step;
}

std::uint32_t context_limit(const ModelShape& shape) {
  return shape.context_max > 0 ? std::min(shape.context_max, kContextMax) : kContextMax / 1024;
}

std::uint32_t largest_context(const Memory& memory, const ModelShape& shape,
                              std::uint32_t parallel) {
  const std::uint32_t most = context_limit(shape);
  if (memory.at(most, parallel).fits) return most;
  return largest(kStep, most,
                 [&](std::uint32_t tokens) { return memory.at(tokens, parallel).fits; });
}

Result<planner::DeviceTable> known_devices(const Context& context, PlanSources& sources) {
  HF_TRY(add_user_files(context, sources));
  planner::DeviceTable devices = planner::shipped_devices();
  devices.merge(sources.inputs.extra_devices);
  return devices;
}

Result<SizedModel> model_of(const Context& context, const PlanSources& sources,
                            const FitQuestion& q) {
  if (q.files && (looks_like_path(q.model) || q.model.ends_with(".json"))) {
    std::string name = q.model.substr(q.model.rfind('/') + 1);
    return model_from_file(q.model, name.substr(0, std::min(name.rfind('.'), name.size())));
  }
  auto stored = model_from_store(context, q.model);
  if (stored.ok() || (stored.error().code() != ErrorCode::kNotFound &&
                      stored.error().code() != ErrorCode::kInvalidArgument))
    return stored;
  SizedModel out;
  const auto extra = planner::find_model(sources.inputs.extra_models, q.model);
  if (extra.ok()) {
    out.shape = *extra;
    return out;
  }
  auto known = planner::find_model(planner::shipped_models(), q.model);
  if (!known.ok()) {
    return not_found("model: " + known.error().client_message())
        .with_hint("`holdfast ls` lists the models that are here; a GGUF file works as well");
  }
  out.shape = std::move(*known);
  return out;
}

json::Value band_json(double rate, double sigma) {
  const planner::Band b = planner::band(rate, sigma);
  return json::Object{{"p10", b.p10}, {"p50", b.p50}, {"p90", b.p90}};
}

json::Object speed_json(const ModelShape& shape, const Quant& quant, const planner::Device& device,
                        const std::string& kv_type,
                        const std::vector<planner::Calibration>& calibrations,
                        std::uint32_t context, std::uint32_t parallel) {
  planner::ModelNeed need;
  need.shape = shape;
  need.kv_type = kv_type;
  const planner::ServedModel served(need, quant, {device, 1, 1}, planner::EngineProfile::kHoldfast,
                                    planner::Efficiencies::shipped(), calibrations);
  const double prompt = std::min(kPromptTokens, std::max(1.0, context / 2.0));
  const double depth = context / 2.0;
  const double step_of_one = served.step(1, depth).value();
  const double step_of_all = served.step(parallel, depth).value();
  return {
      {"class", served.rate_class()},
      {"prompt_tokens", prompt},
      {"depth_tokens", depth},
      {"prefill_tps", band_json(prompt / served.prefill(prompt).value(), served.prefill_sigma())},
      {"decode_tps", band_json(1 / step_of_one, served.decode_sigma())},
      {"total_decode_tps", band_json(parallel / step_of_all, served.throughput_sigma())}};
}

json::Object memory_json(const Fitting& f) {
  json::Object out{{"weights_bytes", f.weights},
                   {"kv_bytes", f.kv},
                   {"workspace_bytes", f.workspace},
                   {"process_bytes", f.process},
                   {"limit_bytes", f.limit}};
  if (f.peak > 0) out.set("peak_bytes", f.peak);
  return out;
}

// Everything that is known of the question.
struct Case {
  const Context& context;
  const FitQuestion& question;
  SizedModel model;
  planner::Device device;
  bool here = false;  // this machine
  std::string kv_type;
  double element_bytes = 2;

  std::unique_ptr<Memory> memory(const Quant& quant, bool own_file) const {
    if (here) {
      auto size = own_file && model.size ? model.size : size_from_shape(model.shape, quant);
      if (!own_file && model.size) {
        size = model.size;
        size->weights_bytes =
            static_cast<std::uint64_t>(planner::weights_bytes(model.shape, quant).value());
      }
      if (size) return std::make_unique<EngineMemory>(context, std::move(*size));
    }
    return std::make_unique<FormulaMemory>(model.shape, quant, device, element_bytes);
  }
};

// A model without a file: as most people run it.
Result<Quant> quant_of(const ModelShape& shape) {
  return planner::find_quant(shape.quant.empty() ? "Q4_K_M" : shape.quant);
}

json::Array quants_json(const Case& c, std::uint32_t context) {
  json::Array out;
  for (const char* name : kOtherQuants) {
    const auto quant = planner::find_quant(name);
    if (!quant.ok() || name == c.model.shape.quant) continue;
    const auto memory = c.memory(*quant, false);
    const Fitting f = memory->at(context, c.question.parallel);
    out.emplace_back(json::Object{
        {"quant", name},
        {"weights_bytes", f.weights},
        {"fits", f.fits},
        {"largest_context", largest_context(*memory, c.model.shape, c.question.parallel)}});
  }
  return out;
}

Result<Case> case_of(const Context& context, const FitQuestion& q, PlanSources& sources) {
  HF_TRY_ASSIGN(const planner::DeviceTable devices, known_devices(context, sources));
  Case c{context, q, {}, {}, false, context.settings.text(config::Setting::engine_kv_type), 2};
  c.element_bytes = planner::kv_element_bytes(c.kv_type).value_or(4);
  HF_TRY_ASSIGN(c.model, model_of(context, sources, q));
  if (q.device.empty()) {
    c.here = true;
    HF_TRY_ASSIGN(c.device, this_machine(context));
    return c;
  }
  auto device = devices.find(q.device);
  if (!device.ok()) return not_found("device: " + device.error().client_message());
  c.device = std::move(*device);
  return c;
}

}  // namespace

Result<planner::Device> this_machine(const Context& context) {
  const std::string id = machine_id(platform::CpuFeatures::detect().model,
                                    engine_config(context).find("threads")->as_int());
  PlanSources sources;
  HF_TRY(add_user_files(context, sources));
  for (const planner::Device& d : sources.inputs.extra_devices)
    if (d.id == id) return d;
  HF_TRY_ASSIGN(const MachineFacts facts, probe_machine(context));
  HF_TRY_ASSIGN(auto devices, planner::parse_devices(machine_row_csv(facts), "this machine", true));
  return std::move(devices.front());
}

Result<json::Object> answer_fit(const Context& context, const FitQuestion& q) {
  if (q.model.empty()) return invalid_argument("model: is missing");
  if (q.parallel < 1 || q.parallel > kParallelMax)
    return invalid_argument("parallel: must be from 1 to " + std::to_string(kParallelMax));
  if (q.context > kContextMax)
    return invalid_argument("context: must be at most " + std::to_string(kContextMax));
  PlanSources sources;
  HF_TRY_ASSIGN(const Case c, case_of(context, q, sources));
  const ModelShape& shape = c.model.shape;
  if (q.context > 0 && shape.context_max > 0 && q.context > shape.context_max)
    return invalid_argument("context: the model reads at most " +
                            std::to_string(shape.context_max) + " tokens");
  HF_TRY_ASSIGN(const Quant quant, quant_of(shape));
  const auto memory = c.memory(quant, true);
  const std::uint32_t most = largest_context(*memory, shape, q.parallel);
  std::uint32_t tokens = q.context;
  if (tokens == 0) tokens = most > 0 ? most : std::min(kContextAssumed, context_limit(shape));
  const Fitting f = memory->at(tokens, q.parallel);
  json::Object out{
      {"model", shape.id},       {"quant", quant.name},
      {"params", shape.params},  {"estimated", shape.estimated || (c.here && !c.model.size)},
      {"device", c.device.id},   {"here", c.here},
      {"context", tokens},       {"parallel", q.parallel},
      {"fits", f.fits},          {"reason", f.fits ? json::Value() : json::Value(f.reason)},
      {"memory", memory_json(f)}};
  out.set("largest", json::Object{{"context", most},
                                  {"parallel", largest(1, kParallelMax, [&](std::uint32_t n) {
                                     return memory->at(tokens, n).fits;
                                   })}});
  out.set("quants", quants_json(c, tokens));
  out.set("speed", speed_json(shape, quant, c.device, c.kv_type, sources.inputs.calibrations,
                              tokens, q.parallel));
  return out;
}

}  // namespace holdfast::cli
