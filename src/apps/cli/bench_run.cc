#include "bench_run.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include "holdfast/crypto/sha256.h"

namespace holdfast::cli {

namespace {

using Clock = std::chrono::steady_clock;

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
      ++finished_;
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
  // All of them, failed ones too: their handlers refer to this object.
  void wait_finished(std::int64_t sequences) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return finished_ == sequences; });
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

std::int64_t vocabulary(const backend::EngineProcess& engine) {
  return engine.info().find("vocab")->as_int();
}

wire::Submit submit(std::vector<std::int32_t> tokens, std::int64_t max_tokens) {
  wire::Submit s;
  s.kind = wire::PromptKind::kTokens;
  s.tokens = std::move(tokens);
  s.sampling.temperature = 0;
  s.sampling.ignore_eos = true;
  s.sampling.max_tokens = static_cast<std::uint32_t>(max_tokens);
  return s;
}

Result<double> prefill_once(backend::EngineProcess& engine, const BenchTest& t,
                            std::int64_t repetition) {
  HF_TRY_ASSIGN(
      const wire::Message reply,
      engine.call(submit(
          test_tokens(t.prompt, static_cast<std::uint64_t>(repetition), vocabulary(engine)), 1)));
  const auto& finished = std::get<wire::Finished>(reply);
  return static_cast<double>(t.prompt) * 1e9 /
         static_cast<double>(std::max<std::uint64_t>(1, finished.timings.prefill_ns));
}

Result<double> decode_once(backend::EngineProcess& engine, const BenchTest& t,
                           std::int64_t repetition, std::int64_t chunk) {
  Window window(t.batch, t.generate * t.batch);
  const auto begun = std::make_unique<bool[]>(static_cast<std::size_t>(t.batch));
  std::vector<std::uint64_t> requests;
  for (std::int64_t s = 0; s < t.batch; ++s) {
    const auto seed = static_cast<std::uint64_t>(repetition * 1000 + s);
    requests.push_back(engine.send(
        submit(test_tokens(std::max<std::int64_t>(1, t.depth), seed, vocabulary(engine)),
               t.generate + bench_head_start(t, chunk) + 1),
        [&window, flag = &begun[static_cast<std::size_t>(s)]](const wire::Message& m) {
          window.receive(*flag, m);
        }));
  }
  const Result<double> rate = window.wait(t.batch);
  for (const std::uint64_t r : requests) engine.cancel(r);
  window.wait_finished(t.batch);
  return rate;
}

}  // namespace

std::int64_t bench_head_start(const BenchTest& t, std::int64_t chunk) {
  // Beside sequences that decode, a step reads a part of a chunk: the engine keeps their pace.
  constexpr std::int64_t kStepsPerChunk = 16;
  return t.batch <= 1 ? 0 : t.batch * (t.depth * kStepsPerChunk / chunk + 2);
}

std::int64_t bench_context(const BenchTest& t, std::int64_t chunk) {
  return t.prompt + t.depth + t.generate + bench_head_start(t, chunk) + 2;
}

Result<double> bench_once(backend::EngineProcess& engine, const BenchTest& test,
                          std::int64_t repetition, std::int64_t chunk) {
  return test.prompt > 0 ? prefill_once(engine, test, repetition)
                         : decode_once(engine, test, repetition, chunk);
}

Result<std::vector<double>> bench_repetitions(backend::EngineProcess& engine, const BenchTest& test,
                                              std::int64_t repetitions, std::int64_t chunk) {
  std::vector<double> rates;
  for (std::int64_t i = 0; i <= repetitions; ++i) {
    HF_TRY_ASSIGN(const double rate, bench_once(engine, test, i, chunk));
    if (i > 0) rates.push_back(rate);  // the first warms caches and clocks
  }
  return rates;
}

Result<std::string> bench_logits_hash(backend::EngineProcess& engine) {
  wire::Tokenize tokenize;
  tokenize.text = "The quick brown fox jumps over the lazy dog.";
  tokenize.add_special = true;
  HF_TRY_ASSIGN(const wire::Message tokens, engine.call(std::move(tokenize)));
  wire::Evaluate evaluate;
  evaluate.tokens = std::get<wire::Tokens>(tokens).tokens;
  crypto::Sha256 hash;
  std::optional<Error> error;
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  engine.send(std::move(evaluate), [&](const wire::Message& m) {
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

}  // namespace holdfast::cli
