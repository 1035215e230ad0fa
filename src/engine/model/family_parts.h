// What the families share: reading metadata with one error at the end, and the parts of a usual
// decoder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/gguf/gguf.h"
#include "holdfast/model/hyperparameters.h"

namespace holdfast::model {

// Reads keys below "<architecture>."; after the first failure it answers with the fallbacks and
// status() tells. Thread-compatible; keeps a reference to the file.
class MetadataReader {
 public:
  MetadataReader(const gguf::GgufFile& file, std::string_view architecture);

  bool has(std::string_view key) const;
  bool has_tensor(std::string_view name) const;
  std::uint32_t u32(std::string_view key);
  std::uint32_t u32_or(std::string_view key, std::uint32_t fallback);
  float f32(std::string_view key);
  float f32_or(std::string_view key, float fallback);
  std::string text_or(std::string_view key, std::string_view fallback);
  // A number, or an array with one number per layer that are all alike. kUnsupported if they
  // differ.
  std::uint32_t uniform_u32(std::string_view key, std::optional<std::uint32_t> fallback);
  // Which layers have a window: every `period`-th has none, or what the key says (a period, or a
  // flag per layer).
  std::vector<bool> window_pattern(std::string_view key, std::uint32_t period,
                                   std::uint32_t n_layers);

  void fail(Error error);
  Status status() const;

 private:
  std::string full(std::string_view key) const;
  template <typename T>
  T take(Result<T> result, T fallback);
  template <typename T>
  T take_optional(Result<std::optional<T>> result, T fallback);

  const gguf::GgufFile& file_;
  std::string prefix_;
  std::optional<Error> error_;
};

// Sizes, norms, rotation and output head as every decoder here has them, with neither windows nor
// head norms; families change what differs. Biases and a tied output are recognised by their
// tensors. Not yet validated: the caller returns finish(reader, hyper).
Hyperparameters read_decoder(MetadataReader& reader, std::string_view architecture,
                             RopeLayout layout);
Result<Hyperparameters> finish(const MetadataReader& reader, Hyperparameters hyper);

// One per family, in the file of that name.
Result<Hyperparameters> read_llama(const gguf::GgufFile& file);
Result<Hyperparameters> read_qwen2(const gguf::GgufFile& file);
Result<Hyperparameters> read_qwen3(const gguf::GgufFile& file);
Result<Hyperparameters> read_gemma2(const gguf::GgufFile& file);
Result<Hyperparameters> read_gemma3(const gguf::GgufFile& file);
Result<Hyperparameters> read_phi3(const gguf::GgufFile& file);
Result<Hyperparameters> read_olmo2(const gguf::GgufFile& file);
Result<Hyperparameters> read_granite(const gguf::GgufFile& file);

}  // namespace holdfast::model
