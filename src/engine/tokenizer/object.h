// The tokenizer object in memory: its layout (docs/formats/tokenizer.md), its checked view, its
// hashes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/tokenizer/vocabulary.h"

namespace holdfast::tokenizer {

inline constexpr std::uint64_t kObjectMagic = 0x004E454B4F544648;  // "HFTOKEN\0"
inline constexpr std::uint32_t kObjectVersion = 1;
inline constexpr std::uint32_t kNone = 0xFFFFFFFF;
inline constexpr std::size_t kSpecialIdCount = 14;
inline constexpr std::size_t kMaxSymbols = std::size_t{1} << 23;
inline constexpr std::size_t kMaxObjectBytes = std::size_t{1} << 30;

// Besides the bits of TokenType: the text is not in the index of texts, because it is not made of
// the alphabet of byte-level BPE and so never comes out of a merge.
inline constexpr std::uint16_t kVerbatimBit = 0x8000;

enum ObjectFlag : std::uint16_t {
  kFlagAddBos = 1,
  kFlagAddEos = 2,
  kFlagAddSep = 4,
  kFlagSpacePrefix = 8,
  kFlagRemoveExtraSpaces = 16,
  kFlagCleanSpaces = 32,
  kFlagIgnoreMerges = 64,
  kFlagLowercase = 128,
  kFlagStripAccents = 256,
  kFlagScores = 512,
};

struct ObjectHeader {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t header_bytes;
  std::uint64_t object_bytes;
  std::uint8_t model;
  std::uint8_t reserved;
  std::uint16_t flags;
  std::uint32_t tokens;   // ids of the vocabulary
  std::uint32_t symbols;  // tokens and the strings that merges pass through without being tokens
  std::uint32_t merges;
  std::uint32_t specials;
  std::uint32_t end_of_generation;
  std::uint32_t text_slots;   // a power of two
  std::uint32_t merge_slots;  // a power of two, or 0
  std::uint32_t longest_text;
  std::uint32_t text_bytes;
  std::uint32_t piece_bytes;
  std::uint32_t zero;
  std::array<std::int32_t, kSpecialIdCount> special_ids;  // -1: none
  std::array<char, kMaxNameBytes> pre;                    // padded with zeros
};
static_assert(sizeof(ObjectHeader) ==
              8 + 4 + 4 + 8 + 1 + 1 + 2 + 11 * 4 + kSpecialIdCount * 4 + 64);
static_assert(sizeof(ObjectHeader) % 8 == 0);

struct TextSlot {
  std::uint32_t tag;          // upper half of the hash
  std::uint32_t id_plus_one;  // 0: empty
};
struct Merge {
  std::uint32_t left, right, result;  // symbols
};

// Byte offset of each section; all are multiples of 8.
struct ObjectLayout {
  std::uint64_t text_ends, piece_ends, types, scores, specials, end_of_generation, text_slots;
  std::uint64_t merges, merge_slots, byte_symbols, byte_fallback, texts, pieces, end;
};
ObjectLayout layout_of(const ObjectHeader& header);

// FNV-1a over the bytes, finished so that both halves are usable.
std::uint64_t hash_start();
std::uint64_t hash_byte(std::uint64_t hash, char byte);
std::uint64_t hash_finish(std::uint64_t hash);
std::uint64_t hash_text(std::string_view text);
std::uint64_t hash_merge(std::uint32_t left, std::uint32_t right);

// Borrowed view of an object whose offsets, ids and sizes were all checked. Thread-safe.
class ObjectView {
 public:
  // kCorrupt or kUnsupported as Tokenizer::load says. `object` starts at a multiple of 8.
  static Result<ObjectView> open(ByteView object);

  const ObjectHeader& header() const { return *header_; }
  bool flag(ObjectFlag f) const { return (header_->flags & f) != 0; }
  std::string_view pre() const;

  // The text of a symbol as merging sees it: bytes for byte-level BPE, else the text of the file.
  std::string_view text(std::uint32_t symbol) const { return slice(texts_, text_ends_, symbol); }
  // What a token stands for in decoded text.
  std::string_view piece(std::uint32_t token) const { return slice(pieces_, piece_ends_, token); }
  std::uint16_t type_bits(std::uint32_t token) const { return types_[token]; }
  bool has_type(std::uint32_t token, TokenType any_of) const {
    return (types_[token] & static_cast<std::uint16_t>(any_of)) != 0;
  }
  float score(std::uint32_t token) const { return scores_[token]; }

  // The token with this text, or kNone.
  std::uint32_t find(std::string_view text) const { return find(text, hash_text(text)); }
  std::uint32_t find(std::string_view text, std::uint64_t hash) const;
  // The rank of the merge of two symbols, or kNone.
  std::uint32_t find_merge(std::uint32_t left, std::uint32_t right) const;

  std::span<const Merge> merges() const { return merges_; }
  std::span<const std::uint32_t> specials() const { return specials_; }
  std::span<const TokenId> end_of_generation() const { return end_of_generation_; }
  // Byte-level BPE: the symbol of each byte. SPM: the token that stands for it, or kNone.
  std::uint32_t byte_symbol(std::uint8_t byte) const { return byte_symbols_[byte]; }
  // Byte-level BPE: up to two tokens for a byte of a symbol that is no token, or kNone.
  std::span<const std::uint32_t> byte_fallback(std::uint8_t byte) const {
    return byte_fallback_.subspan(std::size_t{byte} * 2, 2);
  }

 private:
  static std::string_view slice(std::string_view all, std::span<const std::uint32_t> ends,
                                std::uint32_t i) {
    const std::uint32_t begin = i == 0 ? 0 : ends[i - 1];
    return {all.data() + begin, ends[i] - begin};
  }
  Status check() const;

  const ObjectHeader* header_ = nullptr;
  std::span<const std::uint32_t> text_ends_, piece_ends_;
  std::span<const std::uint16_t> types_;
  std::span<const float> scores_;
  std::span<const std::uint32_t> specials_;
  std::span<const TokenId> end_of_generation_;
  std::span<const TextSlot> text_slots_;
  std::span<const Merge> merges_;
  std::span<const std::uint32_t> merge_slots_, byte_symbols_, byte_fallback_;
  std::string_view texts_, pieces_;
};

}  // namespace holdfast::tokenizer
