// Any bytes as text, under a pre-tokenizer that the first byte chooses. Every id is in the
// vocabulary; a valid text comes back whole, at once and as a stream; cutting it into pieces
// changes nothing.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/base/utf8.h"
#include "holdfast/tokenizer/tokenizer.h"

namespace {

using namespace holdfast;
using tokenizer::Tokenizer;
using tokenizer::TokenType;

constexpr std::array<std::string_view, 16> kNames = {
    "default",      "gpt-2",          "llama3",      "qwen35",
    "tekken",       "gpt-4o",         "bloom",       "falcon",
    "deepseek-llm", "deepseek-coder", "deepseek-v3", "exaone-moe",
    "youtu",        "afmoe",          "spark2_5",    "granite-embed-multi-97m"};

std::string spelling(int byte) {
  std::string out;
  char32_t next = 0x100;
  for (int b = 0; b < byte; ++b) next += b < 0x21 || (b > 0x7E && b < 0xA1) || b == 0xAD;
  const bool itself = !(byte < 0x21 || (byte > 0x7E && byte < 0xA1) || byte == 0xAD);
  append_utf8(out, itself ? static_cast<char32_t>(byte) : next);
  return out;
}

std::unique_ptr<Tokenizer> make(std::string_view pre) {
  tokenizer::Vocabulary v;
  v.pre = pre;
  for (int b = 0; b < 256; ++b) v.tokens.push_back(spelling(b));
  v.types.assign(256, TokenType::kNormal);
  for (const char* pair :
       {"t h", "th e", "\u0120 t", "\u0120 \u0120", "a a", "aa aa", "1 2", "\u00C3 \u00A9"}) {
    v.merges.emplace_back(pair);
    std::string joined(pair);
    joined.erase(joined.find(' '), 1);
    v.tokens.push_back(joined);
    v.types.push_back(TokenType::kNormal);
  }
  v.tokens.insert(v.tokens.end(), {"<|a|>", "<|", "  "});
  v.types.insert(v.types.end(),
                 {TokenType::kControl, TokenType::kControl, TokenType::kUserDefined});
  auto object = tokenizer::serialize(v);
  if (!object.ok()) std::abort();
  auto loaded = Tokenizer::load_owned(std::move(object).value());
  if (!loaded.ok()) std::abort();
  return std::move(loaded).value();
}

void check(bool good) {
  if (!good) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static std::array<std::unique_ptr<Tokenizer>, kNames.size()> tokenizers;
  if (size == 0 || size > 4096) return 0;
  auto& slot = tokenizers[data[0] % kNames.size()];
  if (!slot) slot = make(kNames[data[0] % kNames.size()]);
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (const bool parse : {false, true}) {
    const auto ids = slot->encode(text, {.parse_special = parse});
    check(ids.ok());
    const std::size_t middle = text.size() / 2;
    const tokenizer::TextPiece pieces[] = {{text.substr(0, middle), parse},
                                           {text.substr(middle), parse}};
    check(*slot->encode_pieces(pieces, false) == *ids);
    const auto decoded = slot->decode(*ids, {.unparse_special = true});
    check(decoded.ok());
    tokenizer::StreamDecoder stream(*slot, {.unparse_special = true});
    std::string streamed;
    for (const tokenizer::TokenId id : *ids) streamed += stream.push(id);
    check(streamed + stream.finish() == *decoded);
    if (is_valid_utf8(text)) check(*decoded == text);
  }
  return 0;
}
