// What an engine would do with a model under a configuration, without loading it: the arithmetic
// that an engine child itself uses at load.
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

#include "holdfast/base/result.h"
#include "holdfast/footprint/fit.h"
#include "holdfast/footprint/resident.h"
#include "holdfast/model/hyperparameters.h"

namespace holdfast::enginehost {

// Of a model pack.
struct ModelSize {
  model::Hyperparameters hyper;
  std::uint64_t weights_bytes = 0;  // sum over the tensors
  std::uint64_t kept_bytes = 0;     // that are held beside them: vocabulary, texts, padding
};

// What the engine process had to do: so many sequences at the same time, each of so many tokens.
struct EngineUse {
  std::uint32_t sequences = 1;
  std::uint32_t tokens = 0;
  bool huge_pages = true;  // whether the system gives them where they are asked for
};

struct EnginePlan {
  footprint::Fit fit;            // with process_bytes
  footprint::Resident resident;  // the peak, once it was used like that
};

// `config_json` is the configuration of wire::Load, as for a child; a draft model is not counted.
// NoFit as the child would refuse; kInvalidArgument, in NoFit too, for a wrong configuration.
std::variant<EnginePlan, footprint::NoFit> plan_engine(std::string_view config_json,
                                                       const ModelSize& model,
                                                       const EngineUse& use);

}  // namespace holdfast::enginehost
