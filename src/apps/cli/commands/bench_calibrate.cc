#include "bench_calibrate.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "../bench_run.h"
#include "../engine_config.h"
#include "../local_model.h"
#include "../observation.h"
#include "../output.h"
#include "holdfast/cli/calibration.h"
#include "holdfast/kernels/select.h"
#include "holdfast/model/hyperparameters.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/cpu.h"
#include "holdfast/platform/disk_probe.h"
#include "holdfast/platform/filesystem.h"

namespace holdfast::cli {

namespace {

using Clock = std::chrono::steady_clock;

// Of a minute, what is left for the last probe and the file.
constexpr double kBudgetSeconds = 55;
// All points are measured in turns, so that what others do for a while spoils few repetitions of
// each: as many turns as there shall be repetitions, or as begin in that time.
constexpr double kTurnsSeconds = 40;
// A short text, as most answers begin after; and one that is long for keys and values to count.
constexpr std::int64_t kShortDepth = 16;
constexpr std::int64_t kLongDepth = 2000;
constexpr std::int64_t kSteps = 32;

// The most telling first: who runs out of time lacks the last ones.
std::vector<BenchTest> calibration_tests() {
  return {{"prefill", 128, 0, 0, 1},
          {"decode", 0, kSteps, kShortDepth, 1},
          {"prefill", 512, 0, 0, 1},
          {"batch", 0, kSteps, kShortDepth, 4},
          {"batch", 0, kSteps, kShortDepth, 8},
          {"batch", 0, kSteps, kShortDepth, 2},
          {"decode", 0, kSteps, kLongDepth, 1},
          {"prefill", 2048, 0, 0, 1}};
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

CalibrationPoint point_of(const BenchTest& t, double rate) {
  return {.prefill = t.prompt > 0,
          .tokens = t.prompt > 0 ? t.prompt : t.generate,
          .batch = t.batch,
          .depth = t.depth,
          .tokens_per_s = rate};
}

// nullopt where there is no file yet.
Result<std::optional<Calibration>> read_known(platform::FileSystem& fs, const std::string& path) {
  if (!fs.exists(path)) return std::optional<Calibration>();
  HF_TRY_ASSIGN(const Bytes bytes, platform::read_file(fs, path, kCalibrationBytesMax));
  auto parsed = parse_calibration(as_string_view(bytes));
  if (parsed.ok()) return std::optional(std::move(*parsed));
  return invalid_argument(path + ": " + parsed.error().client_message())
      .with_hint("remove the file, or name another with --out");
}

class Calibrator {
 public:
  Calibrator(const Context& context, std::string model_name, std::int64_t repetitions)
      : context_(context), model_name_(std::move(model_name)), repetitions_(repetitions) {}

  Status measure() {
    HF_TRY(open());
    HF_TRY(measure_disk());
    begin_ = Clock::now();
    HF_TRY_ASSIGN(platform::MachineProbe probe,
                  open_probe(*table_, static_cast<unsigned>(machine_.threads)));
    Observer observer(probe);
    HF_TRY(observer.begin(0));
    HF_TRY(measure_start());
    HF_TRY(measure_points());
    engine_.reset();
    HF_TRY_ASSIGN(const Observation seen, observer.finish());
    if (seen.others_share > kOthersShareMax) {
      notice(context_, "note: other programs took " + fixed(seen.others_share * 100, 0) +
                           " % of the processors: calibrate again when they are quiet");
    }
    const platform::MachineLimits limits = seen.limits();
    machine_.bandwidth_bytes_per_s = limits.memory_bytes_per_second;
    machine_.int8_ops_per_s = limits.int8_ops_per_second;
    machine_.f32_ops_per_s = limits.f32_ops_per_second;
    std::ranges::sort(result_.points, {}, [](const CalibrationPoint& p) {
      return std::tuple(!p.prefill, p.depth, p.batch, p.tokens);
    });
    return ok_status();
  }

  const CalibratedMachine& machine() const { return machine_; }
  const CalibratedModel& model() const { return result_; }

 private:
  // Everything but the engine.
  Status open() {
    config_ = engine_config(context_);
    chunk_ = config_.find("prefill_chunk")->as_int();
    std::int64_t context_tokens = 0;
    std::int64_t batch = 1;
    for (const BenchTest& t : tests_) {
      context_tokens = std::max(context_tokens, bench_context(t, chunk_));
      batch = std::max(batch, t.batch);
    }
    config_.set("context", context_tokens);
    config_.set("batch_max", batch);
    // What guesses bring depends on the text; the planner counts it by itself.
    config_.set("speculation", "off");
    HF_TRY_ASSIGN(LocalModel model, LocalModel::open(context_, model_name_));
    model_ = std::make_unique<LocalModel>(std::move(model));
    HF_TRY_ASSIGN(table_, kernels::select_kernels(platform::CpuFeatures::detect(),
                                                  config_.find("isa")->as_string()));
    machine_.cpu = platform::CpuFeatures::detect().model;
    if (machine_.cpu.empty()) machine_.cpu = "unknown";
    machine_.threads = config_.find("threads")->as_int();
    machine_.isa = std::string(table_->isa);
    machine_.memory_bytes =
        static_cast<std::int64_t>(platform::MemoryLimits::detect().limit_bytes());
    return describe_model();
  }

  Status describe_model() {
    const registry::ModelRecord& record = model_->record();
    result_.name = record.name.shown();
    result_.params = static_cast<std::int64_t>(record.facts.parameters);
    result_.quant = record.facts.quantization;
    result_.kv_type = config_.find("kv_type")->as_string();
    HF_TRY_ASSIGN(const vault::PackIndex index, model_->read_index());
    for (const vault::TensorEntry& t : index.tensors)
      result_.weights_bytes += static_cast<std::int64_t>(t.length);
    HF_TRY_ASSIGN(const Bytes object, model_->read_object(vault::ObjectKind::kConfig));
    HF_TRY_ASSIGN(const model::Hyperparameters hyper, model::from_json(as_string_view(object)));
    result_.layers = hyper.n_layers;
    return ok_status();
  }

  // Of the model's own file, before any engine has it mapped.
  Status measure_disk() {
    HF_TRY_ASSIGN(platform::UniqueFd fd, model_->open_pack());
    HF_TRY_ASSIGN(const platform::File file, platform::File::from_fd(std::move(fd)));
    HF_TRY_ASSIGN(machine_.disk_read_bytes_per_s, platform::measure_disk_read(file));
    return ok_status();
  }

  // The first start brings the file into memory; the second is timed, and its engine stays.
  Status measure_start() {
    say("start");
    for (int i = 0; i < 2; ++i) {
      engine_.reset();
      const auto begin = Clock::now();
      HF_TRY_ASSIGN(engine_, model_->start_engine(context_, config_));
      wire::Submit submit;
      submit.text = "Hello";
      submit.sampling.temperature = 0;
      submit.sampling.max_tokens = 1;
      HF_TRY(engine_->call(std::move(submit)));
      result_.start_s = seconds_since(begin);
    }
    return ok_status();
  }

  // At most so long: prompts as fast as the slowest seen, answers no faster together than alone.
  double expected_seconds(const BenchTest& t) const {
    const auto read = static_cast<double>((t.prompt + t.depth) * t.batch);
    const auto made = static_cast<double>(t.generate * t.batch);
    return (prefill_rate_ > 0 ? read / prefill_rate_ : 0) +
           (decode_rate_ > 0 ? made / decode_rate_ : 0);
  }

  // One more repetition, if there is time; before the first of each kind one that is not counted,
  // which warms caches and clocks.
  Status repeat(const BenchTest& t, std::vector<double>& rates, double until_seconds) {
    if (seconds_since(begin_) + expected_seconds(t) > until_seconds) return ok_status();
    double& known = t.prompt > 0 ? prefill_rate_ : decode_rate_;
    if (known == 0) {
      HF_TRY_ASSIGN(known, bench_once(*engine_, t, 0, chunk_));
    }
    const auto number = static_cast<std::int64_t>(rates.size()) + 1;
    HF_TRY_ASSIGN(const double rate, bench_once(*engine_, t, number, chunk_));
    known = std::min(known, rate);
    rates.push_back(rate);
    return ok_status();
  }

  Status measure_points() {
    std::vector<std::vector<double>> rates(tests_.size());
    for (std::int64_t turn = 0; turn < repetitions_; ++turn) {
      for (std::size_t i = 0; i < tests_.size(); ++i) {
        if (turn == 0) say(tests_[i].label());
        HF_TRY(repeat(tests_[i], rates[i], turn == 0 ? kBudgetSeconds : kTurnsSeconds));
      }
    }
    for (std::size_t i = 0; i < tests_.size(); ++i) {
      if (rates[i].empty()) {
        notice(context_, "note: no time for " + tests_[i].label() + " on this machine");
      } else {
        result_.points.push_back(point_of(tests_[i], spread_of(rates[i]).median));
      }
    }
    return ok_status();
  }

  void say(const std::string& what) const {
    if (context_.progress()) notice(context_, "measuring " + what + " ...");
  }

  const Context& context_;
  const std::string model_name_;
  const std::int64_t repetitions_;
  const std::vector<BenchTest> tests_ = calibration_tests();
  json::Object config_;
  std::int64_t chunk_ = 0;
  std::unique_ptr<LocalModel> model_;
  const kernels::KernelTable* table_ = nullptr;
  std::unique_ptr<backend::EngineProcess> engine_;
  Clock::time_point begin_;
  double prefill_rate_ = 0;  // tokens/s, the slowest seen
  double decode_rate_ = 0;
  CalibratedMachine machine_;
  CalibratedModel result_;
};

std::string table_of(const CalibratedModel& model) {
  Table table({"KIND", "TOKENS", "BATCH", "DEPTH", "TOKENS/S"});
  for (const CalibrationPoint& p : model.points) {
    table.add({p.prefill ? "prefill" : "decode", std::to_string(p.tokens), std::to_string(p.batch),
               std::to_string(p.depth), fixed(p.tokens_per_s, 1)});
  }
  return table.render(terminal_width());
}

}  // namespace

Status bench_calibrate(const Context& context, const CalibrateFlags& flags) {
  const std::string& out = flags.out;
  platform::PosixFileSystem fs;
  const std::string path = out.empty() ? context.data_dir + "/planner/calibration.json" : out;
  HF_TRY_ASSIGN(const std::optional<Calibration> known, read_known(fs, path));
  Calibrator calibrator(context, flags.model, flags.repetitions);
  HF_TRY(calibrator.measure());
  if (known && !known->machine.same_as(calibrator.machine()))
    notice(context, "note: " + path + " was of another machine; it is begun anew");
  const std::string date = now_rfc3339();
  const std::string text =
      write_calibration(with_model(known, calibrator.machine(), date, calibrator.model()));
  if (out.empty()) HF_TRY(fs.make_dirs(context.data_dir + "/planner", 0700));
  HF_TRY(platform::write_file_atomic(fs, path, as_bytes_view(text), 0644));
  if (!flags.print) return ok_status();
  if (context.json()) {
    print(text);
  } else {
    print(table_of(calibrator.model()));
    print("\n" + calibrator.model().name + ", start " + fixed(calibrator.model().start_s, 2) +
          " s; written to " + path + "\n");
  }
  return ok_status();
}

}  // namespace holdfast::cli
