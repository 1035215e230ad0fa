// Sizes of models for the planner: of GGUF files, config.json files and models of the store.
#pragma once

#include <optional>
#include <string>

#include "context.h"
#include "holdfast/base/result.h"
#include "holdfast/enginehost/plan.h"
#include "holdfast/gguf/gguf.h"
#include "holdfast/model/hyperparameters.h"
#include "holdfast/planner/model_shape.h"
#include "holdfast/registry/store.h"

namespace holdfast::cli {

// From a parsed header: parameters and bytes are sums over the tensors, `active` leaves out the
// share of expert tensors that a token does not use. Weights in a format that the planner's table
// lacks have the one of the nearest size. kInvalidArgument names the key that is missing or absurd.
Result<planner::ModelShape> shape_from_gguf(const gguf::GgufFile& file, std::string_view name);

// What imported models say of themselves. `weights_bytes` is the sum over the tensors.
Result<planner::ModelShape> shape_from_hyperparameters(const model::Hyperparameters& hyper,
                                                       const registry::ModelFacts& facts,
                                                       std::uint64_t weights_bytes,
                                                       std::string_view name);

// A model with what our own engine needs to know of it to plan its memory.
struct SizedModel {
  planner::ModelShape shape;
  std::optional<enginehost::ModelSize> size;  // none: our engine does not run it
};

// Sizes as our engine has them, of a model that is known by the planner's table alone. nullopt for
// models that it does not run: experts, latent attention, state spaces.
std::optional<enginehost::ModelSize> size_from_shape(const planner::ModelShape& shape,
                                                     const planner::Quant& quant);

// Of a GGUF file (all parts of a split one, whichever is named) or a config.json. Reads headers
// only. kNotFound, kIo, kInvalidArgument, kCorrupt; the message names the file.
Result<SizedModel> model_from_file(const std::string& path, const std::string& name);

// A model of the store by name. Where a sealed pack's keys are not to be had, the sizes are
// estimated from the number of parameters. kNotFound.
Result<SizedModel> model_from_store(const Context& context, const std::string& name);

}  // namespace holdfast::cli
