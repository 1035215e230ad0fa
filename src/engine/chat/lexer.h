// Template source to tokens: data, delimiters and the words of expressions, with white-space
// control applied as trim_blocks and lstrip_blocks ask.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::chat {

enum class TokenKind : std::uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text;  // data, name, decoded string, or the operator itself
  std::int64_t integer = 0;
  double real = 0;
};

// kInvalidArgument with the line for what is not a token; the last token is kEnd.
Result<std::vector<Token>> tokenize(std::string_view source);

// The error of a template that is not well-formed.
Error syntax_error(int line, std::string_view what);

}  // namespace holdfast::chat
