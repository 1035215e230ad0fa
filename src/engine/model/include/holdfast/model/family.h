// The registry of model families: from a GGUF file's metadata to hyper-parameters and the list of
// tensors.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/gguf/gguf.h"
#include "holdfast/model/hyperparameters.h"

namespace holdfast::model {

enum class TensorRole : std::uint8_t {
  kMatrix,   // packed by its type
  kVector,   // stored as F32, row-major
  kIgnored,  // in the file, but not part of the graph: not stored
};

// A tensor by its GGUF name. dims of the file: {cols, rows}; vectors have rows = 1.
struct TensorSpec {
  std::string name;
  TensorRole role = TensorRole::kMatrix;
  std::uint64_t rows = 1;
  std::uint64_t cols = 0;
};

struct Inspection {
  Hyperparameters hyper;
  std::vector<TensorSpec>
      tensors;  // every tensor of the file, each once: the graph's first, ignored ones last
};

// What one family knows. The functions are pure; metadata is hostile.
struct ModelFamily {
  std::string_view architecture;  // general.architecture
  // Hyper-parameters from the metadata; tensors are looked up only for what the metadata does not
  // say (tied output, optional biases). kCorrupt for missing or impossible values, kUnsupported for
  // variants that we do not compute.
  Result<Hyperparameters> (*read)(const gguf::GgufFile& file);
};

// Every family, in the order of the registry.
std::span<const ModelFamily> families();
// nullptr if there is none.
const ModelFamily* find_family(std::string_view architecture);
// "llama, qwen2, ...": for messages and documents.
std::string supported_architectures();

// The tensors that the graph of `hyper` reads, in graph order.
std::vector<TensorSpec> required_tensors(const Hyperparameters& hyper);

// Reads and checks a whole file's description: hyper-parameters within limits, every required
// tensor there with the right shape and a type that can be packed, nothing there that the graph
// would leave out unnoticed. kUnsupported: `unsupported architecture "X"; supported: ...`, or a
// tensor that this family does not know. kCorrupt: missing tensor, wrong shape, impossible
// hyper-parameters.
Result<Inspection> inspect(const gguf::GgufFile& file);

}  // namespace holdfast::model
