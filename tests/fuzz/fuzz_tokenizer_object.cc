// A tokenizer object from anywhere: either an error, or a tokenizer that stays inside its bytes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "holdfast/tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast;
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  const auto loaded = tokenizer::Tokenizer::load_owned(Bytes(bytes, bytes + size));
  if (!loaded.ok()) return 0;
  const tokenizer::Tokenizer& t = **loaded;
  const std::string text = "the <|im_start|>  \xF0\x9F\x98 12345 \xC3\xA9";
  for (const bool special : {false, true}) {
    const auto ids = t.encode(text, {.add_special = special, .parse_special = special});
    if (!ids.ok() || !t.decode(*ids, {.remove_special = special}).ok()) std::abort();
  }
  tokenizer::StreamDecoder stream(t);
  for (tokenizer::TokenId id = -1; id <= t.vocab_size() && id < 64; ++id) stream.push(id);
  stream.finish();
  return 0;
}
