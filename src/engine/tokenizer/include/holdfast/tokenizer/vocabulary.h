// Vocabulary: what a model file says about its tokenizer, checked and with every default already
// resolved, and the object that a model pack stores (docs/formats/tokenizer.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"

namespace holdfast::tokenizer {

using TokenId = std::int32_t;

enum class Model : std::uint8_t { kBpe = 1, kSpm = 2, kWordPiece = 3 };

// A set of bits: a file gives one of the first six, but a token such as "<|im_end|>" that the file
// calls normal is a control token too.
enum class TokenType : std::uint16_t {
  kUndefined = 0,
  kUnknown = 1,
  kUnused = 2,
  kNormal = 4,
  kControl = 8,
  kUserDefined = 16,
  kByte = 32,
  // White space before / after the token in the text belongs to the token and vanishes.
  kStripLeft = 128,
  kStripRight = 256,
};
constexpr TokenType operator|(TokenType a, TokenType b) {
  return static_cast<TokenType>(static_cast<std::uint16_t>(a) | static_cast<std::uint16_t>(b));
}
constexpr bool has_type(TokenType set, TokenType any_of) {
  return (static_cast<std::uint16_t>(set) & static_cast<std::uint16_t>(any_of)) != 0;
}

// Limits of a vocabulary. The largest in the wild have 262 k tokens, 450 k merges and tokens of 1
// KiB.
inline constexpr std::size_t kMaxTokens = 1u << 20;
inline constexpr std::size_t kMaxMerges = 1u << 21;
inline constexpr std::size_t kMaxTokenBytes = 4096;
inline constexpr std::size_t kMaxTextTotalBytes = 64u << 20;
inline constexpr std::size_t kMaxNameBytes = 64;

struct SpecialIds {
  std::optional<TokenId> bos{}, eos{}, eot{}, eom{}, unk{}, sep{}, pad{}, mask{};
  std::optional<TokenId> fim_pre{}, fim_suf{}, fim_mid{}, fim_pad{}, fim_rep{}, fim_sep{};
};

// Plain value; thread-compatible.
struct Vocabulary {
  Model model = Model::kBpe;
  std::string pre;  // name of the pre-tokenizer; empty for SPM and WordPiece
  std::vector<std::string>
      tokens;                 // as in the file: "\u0120the", "\u2581the"; never empty, no two equal
  std::vector<float> scores;  // empty, or one per token (SPM needs them)
  std::vector<TokenType> types;     // one per token
  std::vector<std::string> merges;  // "left right", best first (BPE needs them)
  SpecialIds special;
  std::vector<TokenId> end_of_generation;  // ascending
  bool add_bos = false;
  bool add_eos = false;
  bool add_sep = false;
  bool add_space_prefix = false;
  bool remove_extra_whitespaces = false;  // recorded; the three models do not use it
  bool clean_spaces = false;              // tidy " ." to "." and the like when decoding
  bool ignore_merges = false;             // a whole word that is a token is that token
  bool lowercase = true;                  // WordPiece
  bool strip_accents = true;              // WordPiece
};

// kInvalidArgument, naming the token or field, where sizes, ids, types, scores, byte tokens or
// limits do not fit together; kUnsupported for an unknown pre-tokenizer.
Status validate(const Vocabulary& vocabulary);

// The tokenizer object of a pack. The same vocabulary gives the same bytes. Errors as validate().
Result<Bytes> serialize(const Vocabulary& vocabulary);

// True for the names that serialize() accepts in Vocabulary::pre.
bool is_known_pre_tokenizer(std::string_view name);

}  // namespace holdfast::tokenizer
