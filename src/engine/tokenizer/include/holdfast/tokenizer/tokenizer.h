// Tokenizer: text to tokens and back, from the tokenizer object of a model pack
// (docs/formats/tokenizer.md).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/tokenizer/vocabulary.h"

namespace holdfast::tokenizer {

// Longest text that one call encodes: some 4 M tokens, more than any context, for up to 30 bytes of
// memory each.
inline constexpr std::size_t kMaxEncodeBytes = 16u << 20;

struct EncodeOptions {
  bool add_special = false;    // the model's bos, eos and sep as its flags say
  bool parse_special = false;  // control tokens spelled in the text become those tokens
};

struct DecodeOptions {
  bool remove_special =
      false;  // drop a leading bos and a trailing eos that encode() would have added
  bool unparse_special = false;  // print control tokens as text instead of dropping them
};

// A stretch of a prompt. Control tokens are recognised only inside stretches with parse_special,
// everything else (merging, pre-tokenizing) goes on across the borders: a template's literals and a
// user's words read as one text.
struct TextPiece {
  std::string_view text;
  bool parse_special = false;
};

// Owner: whoever loaded it; immutable afterwards. Thread-safe.
class Tokenizer {
 public:
  // Checks every offset and id of the object. The bytes must outlive the tokenizer and start at an
  // address that is a multiple of 8. kCorrupt where they do not form a tokenizer object,
  // kUnsupported for a newer version or an unknown pre-tokenizer.
  static Result<std::unique_ptr<Tokenizer>> load(ByteView object);
  // As load(), and keeps the bytes.
  static Result<std::unique_ptr<Tokenizer>> load_owned(Bytes object);

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Any bytes are accepted; ill-formed UTF-8 is tokenised in some way. kInvalidArgument for more
  // than kMaxEncodeBytes. Time is linear in the text but for a logarithm.
  Result<std::vector<TokenId>> encode(std::string_view text, const EncodeOptions& options) const;
  Result<std::vector<TokenId>> encode_pieces(std::span<const TextPiece> pieces,
                                             bool add_special) const;
  // kInvalidArgument where an id is outside the vocabulary.
  Result<std::string> decode(std::span<const TokenId> ids, const DecodeOptions& options) const;

  // The bytes that a token stands for, control tokens as their text; empty for an id outside the
  // vocabulary. Valid as long as the tokenizer.
  std::string_view token_bytes(TokenId id) const;
  // The token that spells exactly `text` in the vocabulary's own notation.
  std::optional<TokenId> find_token(std::string_view text) const;
  bool is_end_of_generation(TokenId id) const;
  // Control or unknown: not part of an answer's text.
  bool is_control(TokenId id) const;
  std::span<const TokenId> end_of_generation_ids() const;
  std::int32_t vocab_size() const;
  const SpecialIds& special_ids() const;
  std::optional<TokenId> bos() const { return special_ids().bos; }
  std::optional<TokenId> eos() const { return special_ids().eos; }
  Model model() const;
  std::string_view pre_tokenizer() const;
  bool adds_bos() const;
  bool adds_eos() const;
  // encode() put a space before the text, which a decoder at the start of a text takes away.
  bool adds_space_prefix() const;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<State> state);
  static Result<std::unique_ptr<Tokenizer>> load_checked(Bytes owned, ByteView object);
  std::unique_ptr<State> state_;
};

// Turns the tokens of an answer into text as they come, and never hands out half a code point.
// Bytes that cannot become a character any more are handed out as they are: the caller that needs
// valid UTF-8 sanitizes. Control tokens give no text unless asked for. No space tidying: a stream
// cannot take text back. Owner: one per stream; keeps a reference to the tokenizer.
// Thread-compatible.
class StreamDecoder {
 public:
  struct Options {
    bool unparse_special = false;
    bool at_text_start =
        false;  // the tokens begin a text: drop the space that encode() put before it
  };
  StreamDecoder(const Tokenizer& tokenizer, Options options);
  explicit StreamDecoder(const Tokenizer& tokenizer) : StreamDecoder(tokenizer, Options{}) {}

  // Text that became complete with this token; often empty. An id outside the vocabulary adds
  // nothing.
  std::string push(TokenId id);
  // What is left at the end: an incomplete character, as its bytes.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  Options options_;
  std::string pending_;
  bool strip_space_;
};

}  // namespace holdfast::tokenizer
