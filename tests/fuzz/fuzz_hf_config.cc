// config.json, in a folder that is otherwise small and right.
#include <cstddef>
#include <cstdint>
#include <span>

#include "checkpoint_pieces.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast;
  const std::string_view text = as_string_view(std::as_bytes(std::span(data, size)));
  static const std::string weights = fuzzing::small_weights();
  fuzzing::open_folder({{"config.json", text},
                        {"tokenizer.json", fuzzing::kSmallTokenizer},
                        {"model.safetensors", weights}},
                       false);
  return 0;
}
