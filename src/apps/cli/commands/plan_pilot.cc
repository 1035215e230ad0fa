// `holdfast plan pilot`: a trace on the live server, and the plan again with what was measured.
#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <utility>

#include "../interrupts.h"
#include "../machine_row.h"
#include "../output.h"
#include "../pilot_load.h"
#include "../plan_calibration.h"
#include "../plan_compare.h"
#include "../plan_models.h"
#include "../plan_text.h"
#include "../server_address.h"
#include "holdfast/planner/csv.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/filesystem.h"
#include "plan.h"

namespace holdfast::cli {

namespace {

// Before the load: prompts that have the server to themselves, then some together.
constexpr std::array<std::uint32_t, 3> kProbePrompts{32, 128, 512};
constexpr std::uint32_t kProbeAnswer = 32;
constexpr std::uint32_t kProbeTogether = 4;
constexpr int kProbeTurns = 2;

struct PilotFlags {
  std::string trace;
  std::string model;
  double rate = 0.2;
  double minutes = 2;
  double isl = 512;
  double osl = 128;
  std::int64_t workers = 64;
  std::string write;
};

struct Served {
  std::string name;
  std::uint32_t context = 4096;
  double params = 0;
  std::string quant;
};

bool is_this_machine(const http::Endpoint& e) {
  return !e.unix_path.empty() || e.host == "127.0.0.1" || e.host == "localhost" || e.host == "::1";
}

Result<Served> model_of_server(const Context& context, const std::string& asked) {
  HF_TRY_ASSIGN(const json::Value answer, call_server(context, "GET", "/v1/models"));
  const json::Value* data = answer.find("data");
  if (data == nullptr || !data->is_array()) return internal_error("the server answered no list");
  std::vector<std::string> names;
  for (const json::Value& m : data->as_array()) {
    const json::Value* id = m.find("id");
    if (id == nullptr || !id->is_string()) continue;
    names.push_back(id->as_string());
    const std::string bare = id->as_string().substr(0, id->as_string().find(':'));
    if (!asked.empty() && asked != id->as_string() && asked != bare) continue;
    Served out{id->as_string(), 4096, 0, ""};
    if (const json::Value* n = m.find("max_model_len"); n != nullptr && n->is_int())
      out.context = static_cast<std::uint32_t>(std::clamp<std::int64_t>(n->as_int(), 64, 1 << 20));
    if (const json::Value* n = m.find("parameters"); n != nullptr && n->is_number())
      out.params = n->as_double();
    if (const json::Value* q = m.find("quantization"); q != nullptr && q->is_string())
      out.quant = q->as_string();
    if (!asked.empty() || data->as_array().size() == 1) return out;
  }
  if (asked.empty())
    return invalid_argument("the server has " + std::to_string(names.size()) + " models")
        .with_hint("name one with --model");
  return not_found("the server has no model " + asked + planner::did_you_mean(asked, names));
}

// One kind of probe, as points of a calibration.
void add_points(const std::vector<PilotSeen>& seen, std::int64_t batch,
                std::vector<CalibrationPoint>& points) {
  double tpot = 0;
  double depth = 0;
  std::size_t n = 0;
  for (const PilotSeen& s : seen) {
    if (!s.ok || s.tpot_s <= 0) continue;
    ++n;
    tpot += s.tpot_s;
    depth += s.prompt_tokens;
    if (batch == 1 && s.ttft_s > 0)
      points.push_back({true, s.prompt_tokens, 1, 0, s.prompt_tokens / s.ttft_s});
  }
  if (n == 0) return;
  const auto count = static_cast<double>(n);
  points.push_back({false, kProbeAnswer, batch, static_cast<std::int64_t>(depth / count),
                    static_cast<double>(batch) * count / tpot});
}

Result<std::vector<CalibrationPoint>> probe_server(const PilotTarget& target,
                                                   std::uint32_t context) {
  std::vector<CalibrationPoint> points;
  const auto silent = [](std::size_t) {};
  // The first loads the model and warms it.
  HF_TRY(run_pilot(target, {{0, 8, 4}}, 1, silent));
  for (int turn = 0; turn < kProbeTurns; ++turn) {
    for (const std::uint32_t prompt : kProbePrompts) {
      if (prompt + kProbeAnswer + 16 > context) continue;
      HF_TRY_ASSIGN(const auto seen, run_pilot(target, {{0, prompt, kProbeAnswer}}, 1, silent));
      if (!seen[0].ok) return unavailable("the server did not answer: " + seen[0].error);
      add_points(seen, 1, points);
    }
    HF_TRY_ASSIGN(
        const auto seen,
        run_pilot(target, std::vector<PilotRequest>(kProbeTogether, {0, 32, kProbeAnswer}),
                  kProbeTogether, silent));
    add_points(seen, kProbeTogether, points);
  }
  return points;
}

CalibratedMachine machine_of(const MachineFacts& f) {
  return {f.cpu.empty() ? "unknown" : f.cpu,
          f.threads,
          f.isa,
          static_cast<std::int64_t>(f.memory_bytes),
          f.memory_bytes_per_second,
          f.int8_ops_per_second,
          f.f32_ops_per_second,
          f.disk_read_bytes_per_second};
}

Result<CalibratedModel> calibrated_model(const Context& context, const Served& served,
                                         std::vector<CalibrationPoint> points) {
  CalibratedModel out;
  out.name = served.name.substr(0, served.name.find(':'));
  out.quant = served.quant.empty() ? "Q4_K_M" : served.quant;
  out.kv_type = context.settings.text(config::Setting::engine_kv_type);
  out.start_s = 1;
  out.points = std::move(points);
  if (const auto stored = model_from_store(context, out.name); stored.ok() && stored->size) {
    out.params = static_cast<std::int64_t>(stored->shape.params);
    out.weights_bytes = static_cast<std::int64_t>(stored->size->weights_bytes);
    out.layers = stored->shape.layers;
    return out;
  }
  if (served.params < 1e6) return unsupported("the server does not say how large the model is");
  const planner::ModelShape shape =
      planner::shape_from_params(out.name, served.params, served.params);
  out.params = static_cast<std::int64_t>(served.params);
  out.layers = shape.layers;
  HF_TRY_ASSIGN(const planner::Quant quant, planner::find_quant(out.quant));
  out.weights_bytes = static_cast<std::int64_t>(served.params * quant.bits_per_weight / 8);
  return out;
}

// Without documents of the user: the requests that were sent, on this machine.
PlanSources sources_of_pilot(const Context& context, const PlanSources& base, const Served& served,
                             const std::vector<PilotRequest>& requests, const std::string& device) {
  PlanSources out = base;
  std::string csv = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
  for (const PilotRequest& r : requests)
    csv += std::to_string(r.at_s) + "," + std::to_string(r.prompt_tokens) + "," +
           std::to_string(r.answer_tokens) + "\n";
  out.inputs.trace_csv = std::move(csv);
  const std::string name = served.name.substr(0, served.name.find(':'));
  json::Object model{{"name", name}};
  if (served.params >= 1e5 && !model_from_store(context, name).ok())
    model.set("params", served.params);
  json::Object document{{"workload", json::Object{{"arrival", "trace"}}},
                        {"models", json::Array{std::move(model)}}};
  if (!device.empty())
    document.set("owned", json::Array{json::Object{{"device", device}, {"count", 1}}});
  out.inputs.document = std::move(document);
  return out;
}

json::Object summary_json(const PilotSummary& s) {
  return {{"requests", s.requests},       {"failed", s.failed},
          {"ttft_ms_p50", s.ttft_p50_ms}, {"ttft_ms_p99", s.ttft_p99_ms},
          {"tpot_ms_p50", s.tpot_p50_ms}, {"tpot_ms_p99", s.tpot_p99_ms},
          {"output_tps", s.output_tps},   {"running", s.running},
          {"late_s_p99", s.late_p99_s}};
}

void print_summary(const PilotSummary& s) {
  print(std::to_string(s.requests) + " requests, " + std::to_string(s.failed) + " failed; " +
        short_number(s.output_tps) + " tokens/s, " + short_number(s.running) +
        " at the same time\n");
  print("  first token " + short_number(s.ttft_p50_ms) + " ms, for 99 of 100 within " +
        short_number(s.ttft_p99_ms) + " ms\n");
  print("  each further token " + short_number(s.tpot_p50_ms) + " ms, for 99 of 100 within " +
        short_number(s.tpot_p99_ms) + " ms\n");
}

class Pilot {
 public:
  Pilot(Context& context, const PilotFlags& flags, const PlanCommand& command)
      : context_(context), flags_(flags), command_(command) {}

  Status run() {
    HF_TRY(prepare());
    HF_TRY_ASSIGN(const std::unique_ptr<Interrupts> interrupts, Interrupts::create());
    interrupts->set_handler([this](int) { stop_ = true; });
    target_.stop = &stop_;
    const Status done = measure();
    interrupts->set_handler({});
    if (stop_ && interrupts->last() != 0) context_.exit_status = 128 + interrupts->last();
    HF_TRY(done);
    if (!local_) return report(nullptr, nullptr);
    HF_TRY(calibrate());
    return plan_again();
  }

 private:
  Status prepare() {
    HF_TRY_ASSIGN(target_.endpoint, server_endpoint(context_));
    local_ = is_this_machine(target_.endpoint);
    target_.key = std::string(config::lookup(context_.environment, "HOLDFAST_API_KEY"));
    HF_TRY_ASSIGN(served_, model_of_server(context_, flags_.model));
    target_.model = served_.name;
    PilotShape shape;
    shape.rate_rps = flags_.rate;
    shape.seconds = flags_.minutes * 60;
    shape.isl = flags_.isl;
    shape.osl = flags_.osl;
    shape.context = served_.context;
    shape.seed = command_.inputs.seed.value_or(1);
    std::string csv;
    if (!flags_.trace.starts_with("synthetic:")) {
      HF_TRY_ASSIGN(csv, read_text(flags_.trace, planner::kCsvBytesMax));
    }
    HF_TRY_ASSIGN(requests_, pilot_requests(flags_.trace, csv, shape));
    // What can be wrong with the inputs is said before minutes of load.
    HF_TRY_ASSIGN(base_, read_plan_sources(context_, command_.inputs));
    return ok_status();
  }

  Status measure() {
    if (local_) {
      HF_TRY_ASSIGN(const MachineFacts facts, probe_machine(context_));
      calibration_.machine = machine_of(facts);
    }
    HF_TRY_ASSIGN(points_, probe_server(target_, served_.context));
    std::atomic<std::size_t> tenths = 0;
    HF_TRY_ASSIGN(const auto seen,
                  run_pilot(target_, requests_, static_cast<std::size_t>(flags_.workers),
                            [&](std::size_t done) { tell(done, tenths); }));
    summary_ = summarize_pilot(seen);
    for (const PilotSeen& s : seen) {
      if (s.ok) continue;
      notice(context_, "note: a request failed: " + without_controls(s.error));
      break;
    }
    if (summary_.failed == summary_.requests)
      return unavailable("no request of the pilot was answered");
    return ok_status();
  }

  // One line for each tenth; from any thread.
  void tell(std::size_t done, std::atomic<std::size_t>& tenths) const {
    const std::size_t now = 10 * done / requests_.size();
    std::size_t last = tenths;
    if (now <= last || !tenths.compare_exchange_strong(last, now) || !context_.progress()) return;
    notice(context_, "replayed " + std::to_string(done) + " of " +
                         std::to_string(requests_.size()) + " requests");
  }

  Status calibrate() {
    HF_TRY_ASSIGN(CalibratedModel model, calibrated_model(context_, served_, points_));
    calibration_.date = now_rfc3339();
    calibration_.models = {std::move(model)};
    platform::PosixFileSystem fs;
    const std::string folder = context_.data_dir + "/planner";
    std::string path = flags_.write;
    if (path.empty() && !fs.exists(folder + "/calibration.json")) {
      HF_TRY(fs.make_dirs(folder, 0700));
      path = folder + "/calibration.json";
    }
    if (path.empty()) return ok_status();
    HF_TRY(write_text(path, write_calibration(calibration_)));
    notice(context_, "calibration written to " + path);
    return ok_status();
  }

  Status plan_again() {
    HF_TRY_ASSIGN(const planner::Device device, device_of(calibration_.machine));
    PlanSources before = base_;
    if (!command_.inputs.any_document()) {
      before = sources_of_pilot(context_, base_, served_, requests_, device.id);
      HF_TRY(expand_plan_models(context_, before));
    }
    const auto& known = before.inputs.extra_devices;
    if (std::none_of(known.begin(), known.end(), [&](const auto& d) { return d.id == device.id; }))
      before.inputs.extra_devices.push_back(device);
    PlanSources after = before;
    after.inputs.calibrations.clear();
    HF_TRY(add_calibration(write_calibration(calibration_), "the pilot", shapes_of_store(context_),
                           after.inputs));
    HF_TRY_ASSIGN(const planner::Plan a, plan_of(before, false));
    HF_TRY_ASSIGN(const planner::Plan b, plan_of(after, false));
    factors_ = after.inputs.calibrations.front();
    if (!command_.out.empty()) HF_TRY(write_text(command_.out, plan_json_text(b)));
    return report(&a, &b);
  }

  Status report(const planner::Plan* before, const planner::Plan* after) const {
    std::vector<Difference> rows;
    if (before != nullptr) rows = compare_plans(*before, *after);
    if (!context_.json()) {
      print_summary(summary_);
      if (before == nullptr) {
        notice(context_, "note: the server is on another machine, so this one is not calibrated");
        return ok_status();
      }
      print("  this machine decodes at " + short_number(factors_.decode_factor) +
            " times what its class does, and reads prompts at " +
            short_number(factors_.prefill_factor) + " times\n\n");
      print(comparison_text(rows, terminal_width()));
      return ok_status();
    }
    json::Object out{{"model", served_.name}, {"measured", summary_json(summary_)}};
    if (before != nullptr) {
      out.set("calibration", json::Object{{"device", factors_.device},
                                          {"decode_factor", factors_.decode_factor},
                                          {"prefill_factor", factors_.prefill_factor},
                                          {"sigma", factors_.sigma},
                                          {"points", factors_.points}});
      out.set("before", before->recommended ? json::Value(*before->recommended) : json::Value());
      out.set("after", after->recommended ? json::Value(*after->recommended) : json::Value());
      out.set("compared", differences_json(rows));
    }
    print_json(std::move(out));
    return ok_status();
  }

  Context& context_;
  const PilotFlags& flags_;
  const PlanCommand& command_;
  PilotTarget target_;
  Served served_;
  bool local_ = false;
  std::atomic<bool> stop_ = false;
  std::vector<PilotRequest> requests_;
  PlanSources base_;
  std::vector<CalibrationPoint> points_;
  PilotSummary summary_;
  Calibration calibration_;
  planner::Calibration factors_;
};

}  // namespace

void add_plan_pilot(Registrar& r, CLI::App& plan, const PlanCommandPtr& command) {
  CLI::App& c = add_plan_leaf(plan, "pilot",
                              "Replay requests on the running server, measure, calibrate, and "
                              "plan again; --host names another server");
  auto flags = std::make_shared<PilotFlags>();
  c.add_option("TRACE", flags->trace,
               "CSV TIMESTAMP,ContextTokens,GeneratedTokens, or synthetic:poisson, "
               "synthetic:burst, synthetic:diurnal")
      ->required();
  c.add_option("--model", flags->model, "Model to ask; without it the server's only one");
  c.add_option("--minutes", flags->minutes, "How much of it to replay")
      ->check(CLI::Range(0.05, kPilotMinutesMax))
      ->capture_default_str();
  c.add_option("--rate", flags->rate, "Requests a second of a synthetic load")
      ->check(CLI::Range(0.001, kPilotRateMax))
      ->capture_default_str();
  c.add_option("--isl", flags->isl, "Mean tokens of its prompts")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  c.add_option("--osl", flags->osl, "Mean tokens of its answers")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  c.add_option("--workers", flags->workers, "Requests at the same time at most")
      ->check(CLI::Range(std::int64_t{1}, static_cast<std::int64_t>(kPilotWorkersMax)))
      ->capture_default_str();
  c.add_option("--write", flags->write,
               "Write the calibration there; without it planner/calibration.json, unless there is "
               "one")
      ->type_name("FILE");
  r.bind(c, [flags, command](Context& context) { return Pilot(context, *flags, *command).run(); });
}

}  // namespace holdfast::cli
