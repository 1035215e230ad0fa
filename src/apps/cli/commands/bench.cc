// `holdfast bench`: speed of a model on this machine. The JSON lines are a contract:
// docs/reference/bench.md.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <numeric>

#include "../command.h"
#include "../engine_config.h"
#include "../local_model.h"
#include "../memory_probe.h"
#include "../output.h"
#include "holdfast/base/units.h"
#include "holdfast/crypto/sha256.h"

namespace holdfast::cli {

namespace {

using Clock = std::chrono::steady_clock;

struct BenchFlags {
  std::string model;
  std::int64_t prefill = 0;
  std::int64_t decode = 0;
  std::int64_t depth = 0;
  std::int64_t batch = 0;
  std::int64_t repetitions = 5;
};

struct Test {
  const char* name;
  std::int64_t prompt = 0;
  std::int64_t generate = 0;
  std::int64_t depth = 0;
  std::int64_t batch = 1;
};

struct Measured {
  std::vector<double> rates;  // tokens/s of each repetition
  double median = 0;
};

std::vector<Test> tests_of(const BenchFlags& f) {
  std::vector<Test> tests;
  const bool all = f.prefill == 0 && f.decode == 0;
  if (f.prefill > 0 || all) tests.push_back({"prefill", all ? 512 : f.prefill, 0, 0, 1});
  const std::int64_t steps = all ? 64 : f.decode;
  if (steps > 0 && (f.batch == 0 || all)) tests.push_back({"decode", 0, steps, f.depth, 1});
  if (steps > 0 && (f.batch > 0 || all))
    tests.push_back({"batch", 0, steps, f.depth, f.batch == 0 ? 4 : f.batch});
  return tests;
}

// Sequences that start while others are still read get ahead of them by at most this many tokens.
std::int64_t head_start(const Test& t, std::int64_t chunk) {
  return t.batch <= 1 ? 0 : t.batch * (t.depth / chunk + 2);
}

// Always the same tokens for the same place, and no two sequences alike.
std::vector<std::int32_t> test_tokens(std::int64_t count, std::uint64_t seed, std::int64_t vocab) {
  std::vector<std::int32_t> tokens;
  std::uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
  for (std::int64_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    tokens.push_back(static_cast<std::int32_t>((state >> 33) % static_cast<std::uint64_t>(vocab)));
  }
  return tokens;
}

// The sequences of one repetition. Counts tokens from the moment on which all are decoding.
class Window {
 public:
  Window(std::int64_t sequences, std::int64_t tokens) : waiting_(sequences), wanted_(tokens) {}

  void receive(bool& begun, const wire::Message& m) {
    const std::lock_guard lock(mutex_);
    if (const auto* token = std::get_if<wire::Token>(&m)) {
      const auto now = Clock::now();
      const auto count = static_cast<std::int64_t>(token->tokens.size());
      if (waiting_ == 0) seen_ += count;
      if (!begun && count > 0) {
        begun = true;
        if (--waiting_ == 0) from_ = now;
      }
      if (seen_ >= wanted_ && to_ == Clock::time_point()) to_ = now;
    } else if (const auto* error = std::get_if<wire::ErrorReply>(&m)) {
      error_ = wire::to_error(*error);
    } else if (std::holds_alternative<wire::Finished>(m)) {
      ++finished_;
    }
    changed_.notify_all();
  }
  // Tokens per second of the window.
  Result<double> wait(std::int64_t sequences) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock,
                  [&] { return error_ || to_ != Clock::time_point() || finished_ == sequences; });
    if (error_) return *error_;
    if (to_ == Clock::time_point()) return internal_error("the sequences ended too early");
    return static_cast<double>(seen_) / std::chrono::duration<double>(to_ - from_).count();
  }
  void wait_finished(std::int64_t sequences) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return error_ || finished_ == sequences; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t waiting_;  // sequences without a token yet
  const std::int64_t wanted_;
  std::int64_t seen_ = 0;
  std::int64_t finished_ = 0;
  Clock::time_point from_;
  Clock::time_point to_;
  std::optional<Error> error_;
};

class Bench {
 public:
  Bench(const Context& context, const BenchFlags& flags) : context_(context), flags_(flags) {}

  Status run() {
    const std::vector<Test> tests = tests_of(flags_);
    HF_TRY(start(tests));
    HF_TRY_ASSIGN(bandwidth_, measure_read_bandwidth(threads_));
    HF_TRY_ASSIGN(hash_, logits_hash());
    Table table({"TEST", "TOKENS/S", "RANGE", "MEMORY BUS"});
    for (const Test& t : tests) {
      if (context_.progress()) notice(context_, "measuring " + std::string(t.name) + " ...");
      HF_TRY_ASSIGN(const Measured m, measure(t));
      if (context_.json()) {
        print_line(t, m);
      } else {
        add_row(table, t, m);
      }
    }
    if (context_.json()) return ok_status();
    print(table.render(terminal_width()));
    print("\n" + model_->record().name.shown() + ", " + engine_->info().find("isa")->as_string() +
          ", " + std::to_string(threads_) + (threads_ == 1 ? " thread" : " threads") +
          "; memory is read at " + fixed(bandwidth_ / 1e9, 1) + " GB/s; logits " + hash_ + "\n");
    return ok_status();
  }

 private:
  Status start(const std::vector<Test>& tests) {
    json::Object config = engine_config(context_);
    threads_ = static_cast<unsigned>(config.find("threads")->as_int());
    const std::int64_t chunk = config.find("prefill_chunk")->as_int();
    std::int64_t context = 64;
    std::int64_t batch = 1;
    for (const Test& t : tests) {
      context = std::max(context, t.prompt + t.depth + t.generate + head_start(t, chunk) + 2);
      batch = std::max(batch, t.batch);
    }
    config.set("context", context);
    config.set("batch_max", batch);
    chunk_ = chunk;
    HF_TRY_ASSIGN(LocalModel model, LocalModel::open(context_, flags_.model));
    model_ = std::make_unique<LocalModel>(std::move(model));
    HF_TRY_ASSIGN(engine_, model_->start_engine(context_, std::move(config)));
    vocab_ = engine_->info().find("vocab")->as_int();
    const double pages = static_cast<double>((context + 31) / 32 * batch);
    weights_bytes_ = engine_->info().find("weights_bytes")->as_double();
    kv_bytes_per_token_ = engine_->info().find("kv_bytes")->as_double() / (pages * 32);
    return ok_status();
  }

  // Of one prompt that every model can read; the same build gives the same hash on any number of
  // threads.
  Result<std::string> logits_hash() {
    wire::Tokenize tokenize;
    tokenize.text = "The quick brown fox jumps over the lazy dog.";
    tokenize.add_special = true;
    HF_TRY_ASSIGN(const wire::Message tokens, engine_->call(std::move(tokenize)));
    wire::Evaluate evaluate;
    evaluate.tokens = std::get<wire::Tokens>(tokens).tokens;
    crypto::Sha256 hash;
    std::optional<Error> error;
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    engine_->send(std::move(evaluate), [&](const wire::Message& m) {
      const std::lock_guard lock(mutex);
      if (const auto* rows = std::get_if<wire::Rows>(&m)) {
        hash.update(std::as_bytes(std::span(rows->values)));
        return;
      }
      if (const auto* e = std::get_if<wire::ErrorReply>(&m)) error = wire::to_error(*e);
      done = true;
      changed.notify_all();
    });
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return done; });
    if (error) return *error;
    return to_hex(hash.finish()).substr(0, 16);
  }

  Result<Measured> measure(const Test& t) {
    Measured m;
    for (std::int64_t i = 0; i <= flags_.repetitions; ++i) {
      HF_TRY_ASSIGN(const double rate, t.prompt > 0 ? prefill_once(t, i) : decode_once(t, i));
      if (i > 0) m.rates.push_back(rate);  // the first warms caches and clocks
    }
    std::vector<double> sorted = m.rates;
    std::sort(sorted.begin(), sorted.end());
    const std::size_t n = sorted.size();
    m.median = n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    return m;
  }

  wire::Submit submit(std::vector<std::int32_t> tokens, std::int64_t max_tokens) const {
    wire::Submit s;
    s.kind = wire::PromptKind::kTokens;
    s.tokens = std::move(tokens);
    s.sampling.temperature = 0;
    s.sampling.ignore_eos = true;
    s.sampling.max_tokens = static_cast<std::uint32_t>(max_tokens);
    return s;
  }

  Result<double> prefill_once(const Test& t, std::int64_t repetition) {
    HF_TRY_ASSIGN(const wire::Message reply,
                  engine_->call(submit(
                      test_tokens(t.prompt, static_cast<std::uint64_t>(repetition), vocab_), 1)));
    const auto& finished = std::get<wire::Finished>(reply);
    return static_cast<double>(t.prompt) * 1e9 /
           static_cast<double>(std::max<std::uint64_t>(1, finished.timings.prefill_ns));
  }

  Result<double> decode_once(const Test& t, std::int64_t repetition) {
    Window window(t.batch, t.generate * t.batch);
    const auto begun = std::make_unique<bool[]>(static_cast<std::size_t>(t.batch));
    std::vector<std::uint64_t> requests;
    for (std::int64_t s = 0; s < t.batch; ++s) {
      const auto seed = static_cast<std::uint64_t>(repetition * 1000 + s);
      requests.push_back(engine_->send(
          submit(test_tokens(std::max<std::int64_t>(1, t.depth), seed, vocab_),
                 t.generate + head_start(t, chunk_) + 1),
          [&window, flag = &begun[static_cast<std::size_t>(s)]](const wire::Message& m) {
            window.receive(*flag, m);
          }));
    }
    const Result<double> rate = window.wait(t.batch);
    for (const std::uint64_t r : requests) engine_->cancel(r);
    window.wait_finished(t.batch);
    return rate;
  }

  // Bytes of weights, keys and values that one step must read, as a share of what the memory gives.
  // Nothing for prefill, which computes more than it reads.
  std::optional<double> bus_share(const Test& t, const Measured& m) const {
    if (t.generate == 0 || bandwidth_ <= 0) return std::nullopt;
    const double batch = static_cast<double>(t.batch);
    const double kv = kv_bytes_per_token_ *
                      (static_cast<double>(t.depth) + static_cast<double>(t.generate) / 2) * batch;
    return (weights_bytes_ + kv) * (m.median / batch) / bandwidth_;
  }

  void print_line(const Test& t, const Measured& m) const {
    json::Object line{{"test", t.name},
                      {"n_prompt", t.prompt},
                      {"n_gen", t.generate},
                      {"depth", t.depth},
                      {"batch", t.batch},
                      {"tokens_per_second", m.median},
                      {"repetitions", json::Array(m.rates.begin(), m.rates.end())},
                      {"threads", threads_},
                      {"isa", engine_->info().find("isa")->as_string()},
                      {"memory_bytes_per_second", bandwidth_},
                      {"logits_sha256", hash_}};
    if (const auto share = bus_share(t, m)) line.set("memory_share", *share);
    print_json_line(std::move(line));
  }

  void add_row(Table& table, const Test& t, const Measured& m) const {
    std::string name = t.name;
    name += " " + std::to_string(t.prompt > 0 ? t.prompt : t.generate);
    if (t.batch > 1) name += " x " + std::to_string(t.batch);
    if (t.depth > 0) name += " after " + std::to_string(t.depth);
    const auto [low, high] = std::minmax_element(m.rates.begin(), m.rates.end());
    const auto share = bus_share(t, m);
    table.add({name, fixed(m.median, 1), fixed(*low, 1) + " - " + fixed(*high, 1),
               share ? fixed(*share * 100, 0) + " %" : "-"});
  }

  const Context& context_;
  const BenchFlags& flags_;
  std::unique_ptr<LocalModel> model_;
  std::unique_ptr<backend::EngineProcess> engine_;
  unsigned threads_ = 1;
  std::int64_t chunk_ = 512;
  std::int64_t vocab_ = 1;
  double weights_bytes_ = 0;
  double kv_bytes_per_token_ = 0;
  double bandwidth_ = 0;
  std::string hash_;
};

}  // namespace

void add_bench(Registrar& r) {
  CLI::App& c = r.add("bench", "Measure the speed of a model on this machine");
  auto flags = std::make_shared<BenchFlags>();
  c.add_option("MODEL", flags->model, "Name of a model, or a GGUF file (imported first)")
      ->required();
  r.setting_flag(c, "--threads", "engine.threads", "Compute threads");
  c.add_option("--prefill", flags->prefill, "Read a prompt of N tokens")
      ->check(CLI::Range(1, 1 << 24));
  c.add_option("--decode", flags->decode, "Make N tokens")->check(CLI::Range(1, 1 << 24));
  c.add_option("--depth", flags->depth, "Tokens that stand before those of --decode")
      ->check(CLI::Range(0, 1 << 24));
  c.add_option("--batch", flags->batch, "Sequences that decode together")->check(CLI::Range(1, 64));
  c.add_option("--repetitions", flags->repetitions, "Timed repetitions, after one that is not")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  c.footer("Without --prefill and --decode: prefill 512, decode 64, and 4 sequences together.");
  r.bind(c, [flags](Context& context) { return Bench(context, *flags).run(); });
}

}  // namespace holdfast::cli
