// The tokenizer of a checkpoint: tokenizer.json and the files beside it, as the keys of a GGUF
// file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/checkpoint/checkpoint.h"
#include "holdfast/gguf/metadata.h"
#include "holdfast/json/json.h"

namespace holdfast::checkpoint {

struct TokenizerFiles {
  std::string tokenizer;                        // tokenizer.json
  std::optional<json::Value> tokenizer_config;  // objects, where the files are there
  std::optional<json::Value> generation_config;
  std::optional<json::Value> config;
  std::optional<std::string> chat_template;  // chat_template.jinja
};

// Adds tokenizer.* to `out` and what GGUF has no key for to `traits`. `rows` of the embedding: the
// vocabulary is filled up to them with unused tokens, and added tokens beyond them do not exist; 0
// where the model has no weights here. kUnsupported names a kind of tokenizer that we do not have;
// kCorrupt names the member.
Status read_tokenizer(const TokenizerFiles& files, std::uint32_t rows, gguf::Metadata& out,
                      VocabularyTraits& traits);

}  // namespace holdfast::checkpoint
