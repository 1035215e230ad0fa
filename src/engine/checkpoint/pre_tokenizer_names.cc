// Expressions as published tokenizer.json files spell them, and the splitting rules they are
// (engine/tokenizer, pre_tokenizers.def and rules.cc). An expression is never run: it is known, or
// the model is refused.
#include <algorithm>
#include <array>

#include "tokenizer_parts.h"

namespace holdfast::checkpoint {

namespace {

struct Known {
  std::string_view expression;
  std::string_view rule;
};

// Cased words of the o200k family.
#define HF_CASED R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
#define HF_CASED_UPPER \
  R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
#define HF_SHORT R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"
#define HF_SPACE R"(\s*[\r\n]+|\s+(?!\S)|\s+)"

constexpr std::array kKnown = {
    Known{HF_SHORT R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" HF_SPACE,
          "llama-bpe"},
    Known{HF_SHORT R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" HF_SPACE,
          "qwen2"},
    Known{HF_CASED "|" HF_CASED_UPPER R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" HF_SPACE, "tekken"},
    Known{HF_CASED HF_SHORT "?|" HF_CASED_UPPER HF_SHORT
                            R"(?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" HF_SPACE,
          "gpt-4o"},
    Known{R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", "gpt-2"},
    Known{R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", "gpt-2"},
};

}  // namespace

std::string_view rule_of_expression(std::string_view expression) {
  const auto it = std::find_if(kKnown.begin(), kKnown.end(),
                               [&](const Known& k) { return k.expression == expression; });
  return it == kKnown.end() ? std::string_view() : it->rule;
}

}  // namespace holdfast::checkpoint
