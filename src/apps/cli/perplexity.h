// Perplexity of a text: how surprised the model is by it, the measure of what a number format
// costs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/backend/engine_process.h"
#include "holdfast/base/result.h"

namespace holdfast::cli {

struct Perplexity {
  double nll = 0;  // mean negative logarithm of the probability of a token
  std::uint64_t tokens = 0;
  std::vector<double> windows;  // the same mean, of each window
  double value() const;
};

// What another computation of the same text adds to nll: mean of the differences of the windows,
// and its standard error; nothing where they are fewer than kWindowsMin or not the same windows.
// Rounding makes every change look random, so a difference below twice the error says nothing.
struct NllChange {
  double mean = 0;
  double error = 0;
};
inline constexpr std::size_t kWindowsMin = 5;
std::optional<NllChange> nll_change(const std::vector<double>& before,
                                    const std::vector<double>& after);

// Windows of `window` tokens, of which the second half is scored; `batch` windows are computed
// together. kInvalidArgument for a text of less than one window; else the engine's own errors.
Result<Perplexity> measure_perplexity(backend::EngineProcess& engine, const std::string& text,
                                      std::size_t window, std::size_t batch);

}  // namespace holdfast::cli
