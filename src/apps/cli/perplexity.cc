#include "perplexity.h"

#include <cmath>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <vector>

namespace holdfast::cli {

namespace {

struct ScoreSum {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<wire::Scores> windows;  // [window]
  std::size_t left = 0;
  std::optional<Error> error;
};

wire::Evaluate window_of(const std::vector<std::int32_t>& tokens, std::size_t index,
                         std::size_t window, const json::Value& info) {
  wire::Evaluate m;
  m.kind = wire::EvaluateKind::kScore;
  m.tokens.assign(tokens.begin() + static_cast<std::ptrdiff_t>(index * window),
                  tokens.begin() + static_cast<std::ptrdiff_t>((index + 1) * window));
  const std::int64_t bos = info.find("bos")->as_int();
  if (info.find("adds_bos")->as_bool() && bos >= 0) m.tokens[0] = static_cast<std::int32_t>(bos);
  m.score_from = static_cast<std::uint32_t>(window / 2 + 1);
  return m;
}

Perplexity mean_of(const std::vector<wire::Scores>& windows) {
  Perplexity out;
  for (const wire::Scores& s : windows) {
    out.nll += s.nll_sum;
    out.tokens += s.count;
    out.windows.push_back(s.nll_sum / static_cast<double>(s.count));
  }
  out.nll /= static_cast<double>(out.tokens);
  return out;
}

}  // namespace

double Perplexity::value() const { return std::exp(nll); }

std::optional<NllChange> nll_change(const std::vector<double>& before,
                                    const std::vector<double>& after) {
  const std::size_t n = before.size();
  if (n < kWindowsMin || after.size() != n) return std::nullopt;
  NllChange out;
  for (std::size_t i = 0; i < n; ++i) out.mean += (after[i] - before[i]) / static_cast<double>(n);
  double squares = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double d = after[i] - before[i] - out.mean;
    squares += d * d;
  }
  out.error = std::sqrt(squares / static_cast<double>(n * (n - 1)));
  return out;
}

Result<Perplexity> measure_perplexity(backend::EngineProcess& engine, const std::string& text,
                                      std::size_t window, std::size_t batch) {
  HF_TRY_ASSIGN(const wire::Message reply,
                engine.call(wire::Tokenize{0, text, true, false, false}));
  const std::vector<std::int32_t>& tokens = std::get<wire::Tokens>(reply).tokens;
  const std::size_t windows = tokens.size() / window;
  if (windows < 1) {
    return invalid_argument("the text has " + std::to_string(tokens.size()) +
                            " tokens, less than one window of " + std::to_string(window));
  }
  ScoreSum sum;
  sum.windows.resize(windows);
  sum.left = windows;
  for (std::size_t i = 0; i < windows; ++i) {
    {
      // As many as the engine computes together, and one that waits.
      std::unique_lock lock(sum.mutex);
      sum.changed.wait(lock, [&] { return sum.left + i - windows <= batch; });
    }
    engine.send(window_of(tokens, i, window, engine.info()), [&sum, i](const wire::Message& m) {
      const std::lock_guard lock(sum.mutex);
      if (const auto* scores = std::get_if<wire::Scores>(&m)) sum.windows[i] = *scores;
      if (const auto* error = std::get_if<wire::ErrorReply>(&m)) sum.error = wire::to_error(*error);
      if (!std::holds_alternative<wire::Scores>(m)) --sum.left;
      sum.changed.notify_all();
    });
  }
  std::unique_lock lock(sum.mutex);
  sum.changed.wait(lock, [&] { return sum.left == 0; });
  if (sum.error) return std::move(*sum.error);
  return mean_of(sum.windows);
}

}  // namespace holdfast::cli
