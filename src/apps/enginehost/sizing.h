// From a configuration and a model's hyper-parameters to what admission asks of footprint.
#pragma once

#include <cstdint>

#include "holdfast/base/result.h"
#include "holdfast/footprint/fit.h"
#include "holdfast/model/hyperparameters.h"
#include "holdfast/model/model.h"
#include "load.h"

namespace holdfast::enginehost {

// What a draft model takes beside the model.
struct Beside {
  std::uint64_t fixed_bytes = 0;
  std::uint64_t page_bytes = 0;  // for each page of the model's KV cache
};
Beside beside(const LoadedModel* draft);

// What a model is loaded for, where its sequences have so many tokens.
model::LoadOptions load_options(const LoadConfig& config, std::uint32_t context);

// The arguments of footprint::fit(). The second refers to both of its arguments.
footprint::FitRequest fit_request(const LoadConfig& config, const model::Hyperparameters& hyper,
                                  std::uint64_t weights_bytes, const Beside& beside);
footprint::ScratchBytes scratch_of(const LoadConfig& config, const model::Hyperparameters& hyper);

// Of the process that was started for this; `kept_bytes` of the pack stay beside its tensors.
std::uint64_t process_bytes(const LoadConfig& config, const footprint::Fit& fit,
                            std::uint64_t kept_bytes);

// For a draft model: the model that it guesses for decides about pages. kExhausted with both
// numbers.
Result<footprint::MemoryPlan> draft_plan(const LoadConfig& config,
                                         const model::Hyperparameters& hyper,
                                         std::uint64_t weights_bytes);

}  // namespace holdfast::enginehost
