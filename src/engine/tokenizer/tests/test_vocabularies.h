// Vocabularies for the tests: the small files of data/, and some made by hand.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "alphabet.h"
#include "holdfast/gguf/gguf.h"
#include "holdfast/platform/file.h"
#include "holdfast/tokenizer/tokenizer.h"
#include "holdfast/tokenizer/vocabulary_gguf.h"

namespace holdfast::tokenizer {

inline std::string data_path(const std::string& name) {
  return std::string(HOLDFAST_SOURCE_DIR) + "/src/engine/tokenizer/tests/data/" + name;
}

inline Result<gguf::GgufFile> open_gguf(const std::string& path) {
  HF_TRY_ASSIGN(const platform::File file, platform::File::open_read(path));
  const platform::ByteSource* part = &file;
  return gguf::parse({&part, 1});
}

// `pre` replaces what the file says; empty keeps it.
inline Result<std::unique_ptr<Tokenizer>> open_tokenizer(const std::string& path,
                                                         const std::string& pre = {}) {
  HF_TRY_ASSIGN(const gguf::GgufFile file, open_gguf(path));
  if (pre.empty()) {
    HF_TRY_ASSIGN(const Vocabulary vocabulary, vocabulary_from_gguf(file));
    HF_TRY_ASSIGN(Bytes object, serialize(vocabulary));
    return Tokenizer::load_owned(std::move(object));
  }
  gguf::GgufFile changed;
  for (std::size_t i = 0; i < file.metadata.size(); ++i) {
    const std::string key(file.metadata.key(i));
    gguf::Value value =
        key == "tokenizer.ggml.pre" ? gguf::make_string(pre) : *file.metadata.find(key);
    HF_TRY(changed.metadata.insert(key, std::move(value)));
  }
  HF_TRY_ASSIGN(const Vocabulary vocabulary, vocabulary_from_gguf(changed));
  HF_TRY_ASSIGN(Bytes object, serialize(vocabulary));
  return Tokenizer::load_owned(std::move(object));
}

inline std::string alphabet_text(std::string_view bytes) {
  std::string out;
  for (const char b : bytes) append_utf8(out, kByteAlphabet[static_cast<std::uint8_t>(b)]);
  return out;
}

// All bytes, a few merges, two control tokens (256: bos, 257) and a user-defined one (258).
inline Vocabulary small_bpe() {
  Vocabulary v;
  v.model = Model::kBpe;
  v.pre = "gpt-2";
  for (int b = 0; b < 256; ++b)
    v.tokens.push_back(alphabet_text(std::string(1, static_cast<char>(b))));
  v.types.assign(256, TokenType::kNormal);
  for (const char* special : {"<|bos|>", "<|end|>"}) {
    v.tokens.emplace_back(special);
    v.types.push_back(TokenType::kControl);
  }
  v.tokens.emplace_back("<tag>");
  v.types.push_back(TokenType::kUserDefined);
  for (const char* piece : {"th", "the", " the", "aa", "aaaa"}) {
    v.tokens.push_back(alphabet_text(piece));
    v.types.push_back(TokenType::kNormal);
  }
  v.merges = {"t h", "th e", "\u0120 the", "a a", "aa aa"};
  v.special.bos = 256;
  v.special.eos = 257;
  v.end_of_generation = {257};
  v.add_bos = true;
  return v;
}

inline std::unique_ptr<Tokenizer> make_tokenizer(const Vocabulary& vocabulary) {
  Result<Bytes> object = serialize(vocabulary);
  HF_CHECK(object.ok());
  auto tokenizer = Tokenizer::load_owned(std::move(object).value());
  HF_CHECK(tokenizer.ok());
  return std::move(tokenizer).value();
}

}  // namespace holdfast::tokenizer
