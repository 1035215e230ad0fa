// `holdfast bench MODEL --kv-cost`: what the number formats of the KV cache save and cost.
#pragma once

#include <string>

#include "../context.h"
#include "holdfast/base/result.h"

namespace holdfast::cli {

// One line or row for every format that engine.kv_type offers: perplexity of the text in `file`, or
// of a short one that is built in, and bytes per token. The engine's own errors; kNotFound for a
// file that is not there.
Status bench_kv_cost(const Context& context, const std::string& model, const std::string& file);

}  // namespace holdfast::cli
