// `holdfast bench`: speed of a model on this machine, beside what the machine could do at most. The
// JSON lines are a contract: docs/reference/bench.md.
#include <algorithm>
#include <chrono>

#include "../bench_run.h"
#include "../command.h"
#include "../engine_config.h"
#include "../local_model.h"
#include "../observation.h"
#include "../output.h"
#include "bench_calibrate.h"
#include "bench_kv.h"
#include "holdfast/base/units.h"
#include "holdfast/cli/bench_compare.h"
#include "holdfast/cli/work_share.h"
#include "holdfast/kernels/select.h"
#include "holdfast/platform/cpu.h"
#include "holdfast/platform/file.h"
#include "holdfast/quant/types.h"

namespace holdfast::cli {

namespace {

constexpr std::int64_t kPageTokens = 32;

struct BenchFlags {
  std::string model;
  std::int64_t prefill = 0;
  std::int64_t decode = 0;
  std::int64_t depth = 0;
  std::int64_t batch = 0;
  std::int64_t repetitions = 5;
  bool start = false;
  bool no_limits = false;
  bool kv_cost = false;
  std::string file;
  bool calibrate = false;
  std::string out;
  std::vector<std::string> compare;
};

// The start comes first: then no other engine takes memory beside it.
std::vector<BenchTest> tests_of(const BenchFlags& f) {
  std::vector<BenchTest> tests;
  const bool all = f.prefill == 0 && f.decode == 0 && !f.start;
  if (f.start || all) tests.push_back({"start", 0, 0, 0, 1});
  if (f.prefill > 0 || all) tests.push_back({"prefill", all ? 512 : f.prefill, 0, 0, 1});
  const std::int64_t steps = all ? 64 : f.decode;
  if (steps > 0 && (f.batch == 0 || all)) tests.push_back({"decode", 0, steps, f.depth, 1});
  if (steps > 0 && (f.batch > 0 || all))
    tests.push_back({"batch", 0, steps, f.depth, f.batch == 0 ? 4 : f.batch});
  return tests;
}

// Everything that is known of one test.
struct Measured {
  BenchTest test;
  std::vector<double> rates;  // tokens/s of each repetition
  std::optional<Observation> machine;
  std::optional<Share> share;
  platform::ProcessMemory memory;  // of the engine, after the test
  double kv_bytes = 0;             // that the engine may use
};

Result<TokenCost> token_cost(const LocalModel& model) {
  HF_TRY_ASSIGN(const vault::PackIndex index, model.read_index());
  const bool tied = index.find_tensor("output.weight") == nullptr;
  TokenCost cost;
  for (const vault::TensorEntry& t : index.tensors) {
    double elements = 1;
    for (const std::uint64_t d : t.shape()) elements *= static_cast<double>(d);
    const auto type = static_cast<quant::TensorType>(t.type);
    const bool is_float = type == quant::TensorType::kPF32 || type == quant::TensorType::kPF16 ||
                          type == quant::TensorType::kPBF16;
    cost.add_tensor(t.name, t.n_dims, elements, static_cast<double>(t.length), is_float, tied);
  }
  return cost;
}

std::string value_of(const Measured& m) {
  const double median = spread_of(m.rates).median;
  return m.test.name == "start" ? fixed(1 / median, 3) + " s" : fixed(median, 1);
}

std::string range_of(const Measured& m) {
  const Spread s = spread_of(m.rates);
  if (m.test.name == "start") return fixed(1 / s.high, 3) + " - " + fixed(1 / s.low, 3) + " s";
  return fixed(s.low, 1) + " - " + fixed(s.high, 1);
}

class Bench {
 public:
  Bench(const Context& context, const BenchFlags& flags) : context_(context), flags_(flags) {}

  Status run() {
    const std::vector<BenchTest> tests = tests_of(flags_);
    HF_TRY(open(tests));
    std::vector<Measured> all;
    for (const BenchTest& t : tests) {
      if (context_.progress()) notice(context_, "measuring " + t.name + " ...");
      if (t.name != "start" && !engine_) HF_TRY(start_engine());
      HF_TRY_ASSIGN(Measured m, t.name == "start" ? measure_start(t) : measure(t));
      if (context_.json()) print_line(m);
      all.push_back(std::move(m));
    }
    if (!context_.json()) print_table(all);
    return ok_status();
  }

 private:
  // Everything but the engine: model, configuration, probe.
  Status open(const std::vector<BenchTest>& tests) {
    config_ = engine_config(context_);
    threads_ = static_cast<unsigned>(config_.find("threads")->as_int());
    chunk_ = config_.find("prefill_chunk")->as_int();
    for (const BenchTest& t : tests) {
      context_tokens_ = std::max(context_tokens_, bench_context(t, chunk_));
      batch_ = std::max(batch_, t.batch);
    }
    config_.set("context", context_tokens_);
    config_.set("batch_max", batch_);
    // The tests' tokens are no text, and what a model makes of them goes round in circles: guessing
    // ahead would be measured at its best. Who wants it measured says so.
    if (context_.settings.source(config::Setting::engine_speculation) == "default")
      config_.set("speculation", "off");
    HF_TRY_ASSIGN(LocalModel model, LocalModel::open(context_, flags_.model));
    model_ = std::make_unique<LocalModel>(std::move(model));
    HF_TRY_ASSIGN(cost_, token_cost(*model_));
    HF_TRY_ASSIGN(
        const kernels::KernelTable* table,
        kernels::select_kernels(platform::CpuFeatures::detect(), config_.find("isa")->as_string()));
    isa_ = table->isa;
    if (flags_.no_limits) return ok_status();
    HF_TRY_ASSIGN(platform::MachineProbe probe, open_probe(*table, threads_));
    probe_.emplace(std::move(probe));
    observer_.emplace(*probe_);
    return ok_status();
  }

  Status start_engine() {
    HF_TRY_ASSIGN(engine_, model_->start_engine(context_, config_));
    const std::int64_t pages = (context_tokens_ + kPageTokens - 1) / kPageTokens * batch_;
    cost_.kv_bytes =
        engine_->info().find("kv_bytes")->as_double() / static_cast<double>(pages * kPageTokens);
    HF_TRY_ASSIGN(hash_, bench_logits_hash(*engine_));
    return ok_status();
  }

  Result<Measured> measure(const BenchTest& t) {
    Measured m;
    m.test = t;
    if (observer_) HF_TRY(observer_->begin(engine_->pid()));
    HF_TRY_ASSIGN(m.rates, bench_repetitions(*engine_, t, flags_.repetitions, chunk_));
    m.memory = platform::ProcessMemory::read(engine_->pid());
    m.kv_bytes = engine_->info().find("kv_bytes")->as_double();
    if (!observer_) return m;
    HF_TRY_ASSIGN(m.machine, observer_->finish());
    const double rate = spread_of(m.rates).median;
    const double positions = static_cast<double>(t.depth) + static_cast<double>(t.generate) / 2;
    m.share = t.prompt > 0 ? prefill_share(cost_, rate, m.machine->work_limits())
                           : decode_share(cost_, rate, static_cast<double>(t.batch), positions,
                                          m.machine->work_limits());
    return m;
  }

  // From starting the process to the first token of a short prompt.
  Result<Measured> measure_start(const BenchTest& t) {
    Measured m;
    m.test = t;
    if (observer_) HF_TRY(observer_->begin(0));
    for (std::int64_t i = 0; i <= flags_.repetitions; ++i) {
      HF_TRY_ASSIGN(const double seconds, start_once(m));
      if (i > 0) m.rates.push_back(1 / seconds);  // the first brings the file into memory
    }
    if (observer_) {
      HF_TRY_ASSIGN(m.machine, observer_->finish());
    }
    return m;
  }

  Result<double> start_once(Measured& m) {
    const auto begun = std::chrono::steady_clock::now();
    HF_TRY_ASSIGN(const std::unique_ptr<backend::EngineProcess> engine,
                  model_->start_engine(context_, config_));
    wire::Submit submit;
    submit.text = "Hello";
    submit.sampling.temperature = 0;
    submit.sampling.max_tokens = 1;
    HF_TRY(engine->call(std::move(submit)));
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    m.memory = platform::ProcessMemory::read(engine->pid());
    m.kv_bytes = engine->info().find("kv_bytes")->as_double();
    return seconds;
  }

  void print_line(const Measured& m) const {
    const BenchTest& t = m.test;
    const double median = spread_of(m.rates).median;
    json::Object line{{"test", t.name},
                      {"n_prompt", t.prompt},
                      {"n_gen", t.generate},
                      {"depth", t.depth},
                      {"batch", t.batch},
                      {"tokens_per_second", median},
                      {"repetitions", json::Array(m.rates.begin(), m.rates.end())},
                      {"threads", threads_},
                      {"isa", isa_},
                      {"model", model_->record().name.shown()},
                      {"cpu", platform::CpuFeatures::detect().model},
                      {"kv_type", config_.find("kv_type")->as_string()}};
    if (t.name == "start") line.set("seconds", 1 / median);
    if (!hash_.empty()) line.set("logits_sha256", hash_);
    if (m.machine) {
      line.set("memory_bytes_per_second", m.machine->limits().memory_bytes_per_second);
      line.set("limits", m.machine->to_json());
    }
    if (m.share) {
      line.set("share", m.share->share);
      line.set("share_of", limit_name(m.share->limit));
      if (m.share->limit == Limit::kMemory) line.set("memory_share", m.share->share);
    }
    add_memory(m, line);
    print_json_line(std::move(line));
  }

  void add_memory(const Measured& m, json::Object& line) const {
    line.set("file_bytes", model_->record().size_bytes);
    line.set("kv_bytes", m.kv_bytes);
    if (m.memory.resident_peak_bytes) line.set("peak_rss_bytes", *m.memory.resident_peak_bytes);
    if (m.memory.resident_bytes) line.set("resident_bytes", *m.memory.resident_bytes);
    if (m.memory.huge_page_bytes) line.set("huge_page_bytes", *m.memory.huge_page_bytes);
  }

  void print_table(const std::vector<Measured>& all) const {
    Table table({"TEST", "TOKENS/S", "RANGE", "OF LIMIT", "PLACEMENT", "OTHERS"});
    for (const Measured& m : all) {
      table.add({m.test.label(), value_of(m), range_of(m),
                 m.share ? fixed(m.share->share * 100, 0) + " % of " +
                               std::string(limit_name(m.share->limit))
                         : "-",
                 m.machine ? m.machine->placement() : "-",
                 m.machine ? fixed(m.machine->others_share * 100, 0) + " %" : "-"});
    }
    print(table.render(terminal_width()));
    print("\n" + facts(all.back()) + "\n");
  }

  std::string facts(const Measured& last) const {
    std::string out = model_->record().name.shown() + ", " + isa_ + ", " +
                      std::to_string(threads_) + (threads_ == 1 ? " thread" : " threads");
    if (last.machine)
      out += "; " + describe(last.machine->limits(), last.machine->placement()) + ", steal " +
             fixed(last.machine->steal_share * 100, 0) + " %";
    if (last.memory.resident_peak_bytes) {
      out += "; peak memory " + format_bytes(*last.memory.resident_peak_bytes) + " for file " +
             format_bytes(model_->record().size_bytes) + " and KV " +
             format_bytes(static_cast<std::uint64_t>(last.kv_bytes));
    }
    if (last.memory.huge_page_bytes && last.memory.resident_bytes) {
      out += ", " +
             fixed(100.0 * static_cast<double>(*last.memory.huge_page_bytes) /
                       static_cast<double>(std::max<std::uint64_t>(1, *last.memory.resident_bytes)),
                   0) +
             " % in huge pages";
    }
    if (last.machine && !last.machine->clock.governor.empty())
      out += "; governor " + last.machine->clock.governor;
    if (!hash_.empty()) out += "; logits " + hash_;
    return out;
  }

  const Context& context_;
  const BenchFlags& flags_;
  json::Object config_;
  std::unique_ptr<LocalModel> model_;
  std::optional<platform::MachineProbe> probe_;
  std::optional<Observer> observer_;
  std::unique_ptr<backend::EngineProcess> engine_;
  TokenCost cost_;
  std::string isa_;
  unsigned threads_ = 1;
  std::int64_t chunk_ = 512;
  std::int64_t context_tokens_ = 64;
  std::int64_t batch_ = 1;
  std::string hash_;
};

// ---- --compare

Result<BenchFile> read_bench_file(const std::string& path) {
  HF_TRY_ASSIGN(const auto file, platform::File::open_read(path));
  const auto bytes = platform::read_all(file, kBenchFileBytesMax);
  if (!bytes.ok() && bytes.error().code() == ErrorCode::kExhausted)
    return invalid_argument(path + ": the file is too large");
  if (!bytes.ok()) return bytes.error();
  auto parsed = parse_bench_file(as_string_view(*bytes));
  if (!parsed.ok()) {
    return invalid_argument(path + ": " + parsed.error().client_message())
        .with_hint("files of `holdfast bench MODEL --json > FILE` can be compared");
  }
  return parsed;
}

json::Object spread_json(const Spread& s) {
  return json::Object{{"median", s.median}, {"low", s.low}, {"high", s.high}};
}

json::Object ratio_json(const BenchRatio& r) {
  json::Object out{
      {"test", r.test.name},   {"n_prompt", r.test.prompt}, {"n_gen", r.test.generate},
      {"depth", r.test.depth}, {"batch", r.test.batch},     {"a", spread_json(r.a)},
      {"b", spread_json(r.b)}, {"ratio", r.ratio},          {"verdict", verdict_name(r.verdict)}};
  if (r.low) out.set("low", *r.low);
  if (r.high) out.set("high", *r.high);
  return out;
}

void print_comparison_json(const BenchComparison& c) {
  for (const BenchRatio& r : c.ratios) print_json_line(ratio_json(r));
  json::Object differences;
  for (const BenchDifference& d : c.differences)
    differences.set(d.fact, json::Object{{"a", d.a}, {"b", d.b}});
  json::Array only_a;
  json::Array only_b;
  for (const BenchTest& t : c.only_a) only_a.emplace_back(t.label());
  for (const BenchTest& t : c.only_b) only_b.emplace_back(t.label());
  print_json_line(json::Object{{"test", "comparison"},
                               {"differences", std::move(differences)},
                               {"only_a", std::move(only_a)},
                               {"only_b", std::move(only_b)}});
}

std::string spread_text(const Spread& s) {
  return fixed(s.median, 1) + " (" + fixed(s.low, 1) + " - " + fixed(s.high, 1) + ")";
}

void print_comparison(const BenchComparison& c) {
  Table table({"TEST", "A TOKENS/S", "B TOKENS/S", "B / A", "90 % INTERVAL", "B IS"});
  for (const BenchRatio& r : c.ratios) {
    table.add({r.test.label(), spread_text(r.a), spread_text(r.b), fixed(r.ratio, 3),
               r.low ? fixed(*r.low, 3) + " - " + fixed(*r.high, 3) : "too few repetitions",
               std::string(verdict_name(r.verdict))});
  }
  print(table.render(terminal_width()));
  std::string notes;
  for (const BenchTest& t : c.only_a) notes += "only in A: " + t.label() + "\n";
  for (const BenchTest& t : c.only_b) notes += "only in B: " + t.label() + "\n";
  for (const BenchDifference& d : c.differences) {
    notes += "differs: " + d.fact + ": " + (d.a.empty() ? "not told" : d.a) + " / " +
             (d.b.empty() ? "not told" : d.b) + "\n";
  }
  // Names in the files are somebody else's text.
  if (!notes.empty()) print("\n" + without_controls(notes));
}

Status compare(const Context& context, const std::vector<std::string>& files) {
  HF_TRY_ASSIGN(const BenchFile a, read_bench_file(files[0]));
  HF_TRY_ASSIGN(const BenchFile b, read_bench_file(files[1]));
  const BenchComparison c = compare_benches(a, b);
  if (context.json()) {
    print_comparison_json(c);
  } else {
    print_comparison(c);
  }
  return ok_status();
}

Status run_calibrate(const Context& context, const BenchFlags& flags) {
  if (flags.prefill > 0 || flags.decode > 0 || flags.start || flags.kv_cost || flags.no_limits)
    return invalid_argument("--calibrate measures what the planner needs: it takes no other test");
  return bench_calibrate(
      context, {.model = flags.model, .out = flags.out, .repetitions = flags.repetitions});
}

Status run_bench(const Context& context, const BenchFlags& flags) {
  if (!flags.compare.empty()) {
    if (!flags.model.empty()) return invalid_argument("--compare takes two files and no MODEL");
    return compare(context, flags.compare);
  }
  if (flags.model.empty()) {
    return invalid_argument("MODEL is required")
        .with_hint("`holdfast bench --help` shows its arguments");
  }
  if (!flags.calibrate && !flags.out.empty())
    return invalid_argument("--out is the file of --calibrate");
  if (flags.calibrate) return run_calibrate(context, flags);
  if (flags.kv_cost) return bench_kv_cost(context, flags.model, flags.file);
  if (!flags.file.empty()) return invalid_argument("--file is the text of --kv-cost");
  return Bench(context, flags).run();
}

}  // namespace

void add_bench(Registrar& r) {
  CLI::App& c = r.add("bench", "Measure the speed of a model on this machine");
  auto flags = std::make_shared<BenchFlags>();
  c.add_option("MODEL", flags->model, "Name of a model, or a GGUF file (imported first)");
  r.setting_flag(c, "--threads", "engine.threads", "Compute threads");
  r.setting_flag(c, "--kv-type", "engine.kv_type", "Number format of the KV cache");
  r.setting_flag(c, "--isa", "engine.force_isa", "Instruction set");
  r.setting_flag(c, "--draft", "engine.speculation",
                 "Smaller model of the same family to guess ahead", "draft:");
  c.add_option("--prefill", flags->prefill, "Read a prompt of N tokens")
      ->check(CLI::Range(1, 1 << 24));
  c.add_option("--decode", flags->decode, "Make N tokens")->check(CLI::Range(1, 1 << 24));
  c.add_option("--depth", flags->depth, "Tokens that stand before those of --decode")
      ->check(CLI::Range(0, 1 << 24));
  c.add_option("--batch", flags->batch, "Sequences that decode together")->check(CLI::Range(1, 64));
  c.add_flag("--start", flags->start, "Start engines and time them to their first token");
  c.add_option("--repetitions", flags->repetitions, "Timed repetitions, after one that is not")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  c.add_flag("--no-limits", flags->no_limits,
             "Do not measure the machine's limits around each test (0.3 s and 256 MiB)");
  c.add_flag("--kv-cost", flags->kv_cost,
             "Instead: perplexity and size of every number format of the KV cache");
  c.add_option("--file", flags->file, "Text for --kv-cost; without it a short one that is built in")
      ->type_name("FILE");
  c.add_flag("--calibrate", flags->calibrate,
             "Instead: measure what the planner needs of this machine and model (a minute)");
  c.add_option("--out", flags->out,
               "File for --calibrate; without it planner/calibration.json in the data directory")
      ->type_name("FILE");
  c.add_option("--compare", flags->compare, "Instead: two files of --json output side by side")
      ->expected(2)
      ->type_name("A.json B.json");
  c.footer(
      "Without --prefill, --decode and --start: start, prefill 512, decode 64, and 4 sequences "
      "together.");
  r.bind(c, [flags](Context& context) { return run_bench(context, *flags); });
}

}  // namespace holdfast::cli
