// Quantisation of model files: GGUF or safetensors to GGUF in another type. The side that the
// command line calls; the files are parsed and encoded in a jailed child.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::importer {

struct QuantizeOptions {
  std::string input;       // as ImportOptions::path
  std::string output;      // of one GGUF file
  std::string type;        // a name of quantize_type_names(), in any case
  std::string importance;  // an importance matrix; empty: none
  bool force = false;      // replace a file that is there
  unsigned threads = 1;
  std::string engine_program;  // as ImportOptions
  std::function<void(std::uint64_t done, std::uint64_t total)> on_progress;
  const std::atomic<bool>* cancel = nullptr;  // set from elsewhere to end with kCancelled
};

struct QuantizeResult {
  std::string type;  // as quantize_type_names() spells it
  std::uint64_t tensors = 0;
  std::uint64_t encoded = 0;      // tensors whose type changed
  std::uint64_t fallbacks = 0;    // whose rows do not divide into the blocks of the type's own
  std::uint64_t requantized = 0;  // that were quantised before: their loss adds up
  std::uint64_t weighted = 0;     // encoded with an importance
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
};

// The types that a file can be made of, best known first.
std::vector<std::string_view> quantize_type_names();

// Writes `output`, whole or not at all. The bytes depend on the input, the type and the importance
// matrix only. Errors: kInvalidArgument for the paths (input and output the same file) and the
// type, kNotFound, kConflict for an output that exists; what the files deserve (kCorrupt,
// kUnsupported, kInvalidArgument), with the input's name; kExhausted for disk or memory; kInternal
// where the child died.
Result<QuantizeResult> quantize_model(const QuantizeOptions& options);

}  // namespace holdfast::importer
