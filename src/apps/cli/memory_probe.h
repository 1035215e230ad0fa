// How fast this machine reads main memory: the limit of token generation.
#pragma once

#include <cstdint>

#include "holdfast/base/result.h"

namespace holdfast::cli {

// Bytes per second that `threads` threads read together from buffers that no cache holds; the best
// of several passes. Takes about 0.3 s. kExhausted where memory lacks.
Result<double> measure_read_bandwidth(unsigned threads);

}  // namespace holdfast::cli
