// tokenizer.json, and where the input holds zero bytes, the files beside it: tokenizer.json \0
// tokenizer_config.json \0 generation_config.json \0 chat template.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "checkpoint_pieces.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast;
  std::string_view text = as_string_view(std::as_bytes(std::span(data, size)));
  std::vector<fuzzing::NamedText> files;
  for (const char* const name : {"tokenizer.json", "tokenizer_config.json",
                                 "generation_config.json", "chat_template.jinja"}) {
    const std::size_t end = std::min(text.find('\0'), text.size());
    files.push_back({name, text.substr(0, end)});
    text.remove_prefix(std::min(text.size(), end + 1));
    if (text.empty()) break;
  }
  fuzzing::open_folder(files, true);
  return 0;
}
