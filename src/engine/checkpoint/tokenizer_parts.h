// What the parts of a tokenizer.json around its vocabulary say: normaliser, splitting, framing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/json/json.h"

namespace holdfast::checkpoint {

enum class TokenizerKind : std::uint8_t { kByteLevel, kSentencePiece };

struct TokenizerParts {
  TokenizerKind kind = TokenizerKind::kByteLevel;
  std::string pre;                 // name of the splitting rule, byte-level only
  bool space_in_front = false;     // SentencePiece only
  std::optional<std::string> bos;  // texts that the post-processor puts around a text
  std::optional<std::string> eos;
};

// `root` is the tokenizer.json, `byte_fallback` the model's. kUnsupported names the part.
Result<TokenizerParts> read_parts(const json::Value& root, bool byte_fallback);

// The rule that a splitting expression of tokenizer.json stands for; empty if we have none.
std::string_view rule_of_expression(std::string_view expression);

}  // namespace holdfast::checkpoint
