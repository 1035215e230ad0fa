// Timed repetitions of one test in a running engine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "holdfast/backend/engine_process.h"
#include "holdfast/base/result.h"
#include "holdfast/cli/bench_compare.h"

namespace holdfast::cli {

// Sequences that start while others are still read get ahead of them by at most this many tokens.
std::int64_t bench_head_start(const BenchTest& test, std::int64_t chunk);
// Positions that the context must have for it.
std::int64_t bench_context(const BenchTest& test, std::int64_t chunk);

// Tokens per second of one prefill, decode or batch test; its tokens depend on `repetition`. Errors
// as below.
Result<double> bench_once(backend::EngineProcess& engine, const BenchTest& test,
                          std::int64_t repetition, std::int64_t chunk);
// Tokens per second of each repetition of a prefill, decode or batch test, after one that is not
// timed. `chunk` is the engine's prefill chunk. The engine's own errors; kInternal where sequences
// end too early.
Result<std::vector<double>> bench_repetitions(backend::EngineProcess& engine, const BenchTest& test,
                                              std::int64_t repetitions, std::int64_t chunk);

// First 16 hexadecimal digits of the SHA-256 of the logits after a fixed text that every model can
// read: the same on any number of threads and with any chunk.
Result<std::string> bench_logits_hash(backend::EngineProcess& engine);

}  // namespace holdfast::cli
