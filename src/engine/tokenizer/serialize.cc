// Builds the tokenizer object: every lookup that encoding needs is resolved here, once, at import.
#include <algorithm>
#include <bit>
#include <string>
#include <unordered_map>

#include "alphabet.h"
#include "holdfast/base/checked.h"
#include "holdfast/tokenizer/vocabulary.h"
#include "object.h"
#include "special_list.h"
#include "unicode.h"

namespace holdfast::tokenizer {

namespace {

constexpr TokenType kTextual = TokenType::kControl | TokenType::kUnknown | TokenType::kUserDefined;
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581, the space of SentencePiece

std::string replace_space_marks(std::string_view text) {
  std::string out;
  for (std::size_t pos = 0; pos < text.size();) {
    const bool mark = text.substr(pos).starts_with(kSpaceMark);
    out += mark ? ' ' : text[pos];
    pos += mark ? kSpaceMark.size() : 1;
  }
  return out;
}

// A character that stands for no byte shows itself, and the whole token with it: that is how such
// tokens have always been printed.
std::string decode_alphabet_text(const std::string& text) {
  std::string out;
  for (const char32_t c : decode_lenient(text)) {
    if (const auto byte = alphabet_byte(c)) {
      out += *byte;
      continue;
    }
    std::string utf8;
    append_utf8(utf8, c);
    out += "[UNK_BYTE_0x" + to_hex(as_bytes_view(utf8)) + text + "]";
  }
  return out;
}

std::string piece_of(const Vocabulary& v, std::size_t id) {
  const std::string& text = v.tokens[id];
  const TokenType type = v.types[id];
  if (has_type(type, kTextual)) return text;
  if (has_type(type, TokenType::kNormal)) {
    return v.model == Model::kBpe ? decode_alphabet_text(text) : replace_space_marks(text);
  }
  if (has_type(type, TokenType::kByte)) {
    return std::string(1, static_cast<char>(std::stoi(text.substr(3, 2), nullptr, 16)));
  }
  return {};
}

// Texts laid end to end, with the end of each.
struct TextTable {
  std::string all;
  std::vector<std::uint32_t> ends;

  void add(std::string_view text) {
    all += text;
    ends.push_back(static_cast<std::uint32_t>(all.size()));
  }
};

class Builder {
 public:
  explicit Builder(const Vocabulary& v) : v_(v) {}

  Result<Bytes> build() {
    HF_TRY(add_tokens());
    if (v_.model == Model::kBpe) {
      add_byte_symbols();
      HF_TRY(add_merges());
      add_byte_fallback();
    } else if (v_.model == Model::kSpm) {
      add_byte_tokens();
    }
    order_specials();
    fill_text_slots();
    fill_merge_slots();
    return write();
  }

 private:
  Status add_tokens() {
    for (std::size_t i = 0; i < v_.tokens.size(); ++i) {
      const std::string& text = v_.tokens[i];
      std::optional<std::string> key = text;
      if (v_.model == Model::kBpe) key = alphabet_decode(text);
      auto bits = static_cast<std::uint16_t>(v_.types[i]);
      if (key) {
        by_text_.emplace(*key, static_cast<std::uint32_t>(i));
        longest_ = std::max(longest_, key->size());
      } else {
        bits |= kVerbatimBit;
      }
      texts_.add(key ? *key : text);
      pieces_.add(piece_of(v_, i));
      types_.push_back(bits);
      if (pieces_.all.size() > kMaxObjectBytes / 4) {
        return exhausted("the tokens of the vocabulary spell too much text");
      }
    }
    return ok_status();
  }

  // The symbol of a string; a new one if it is neither a token nor known from another merge.
  std::uint32_t symbol(const std::string& text) {
    const auto [it, added] = by_text_.emplace(text, static_cast<std::uint32_t>(texts_.ends.size()));
    if (added) texts_.add(text);
    return it->second;
  }

  void add_byte_symbols() {
    for (int b = 0; b < 256; ++b)
      byte_symbols_.push_back(symbol(std::string(1, static_cast<char>(b))));
  }

  Status add_merges() {
    for (const std::string& merge : v_.merges) {
      const std::size_t space = merge.find(' ', 1);
      if (space == std::string::npos) continue;
      const auto left = alphabet_decode(std::string_view(merge).substr(0, space));
      const auto right = alphabet_decode(std::string_view(merge).substr(space + 1));
      // A side outside the alphabet never comes up in a text, and an empty one is no symbol.
      if (!left || !right || left->empty() || right->empty()) continue;
      const std::uint32_t l = symbol(*left);
      const std::uint32_t r = symbol(*right);
      merges_.push_back({l, r, symbol(*left + *right)});
      if (texts_.all.size() > kMaxObjectBytes / 4 || texts_.ends.size() > kMaxSymbols) {
        return exhausted("the merges of the vocabulary spell too much text");
      }
    }
    return ok_status();
  }

  // A symbol that is no token falls apart into the bytes of its spelling, of which only those count
  // that are tokens by themselves: in practice printable ASCII.
  void add_byte_fallback() {
    std::unordered_map<char, std::uint32_t> single;
    for (std::size_t i = 0; i < v_.tokens.size(); ++i) {
      if (v_.tokens[i].size() == 1) single.emplace(v_.tokens[i][0], static_cast<std::uint32_t>(i));
    }
    for (int b = 0; b < 256; ++b) {
      std::string spelling;
      append_utf8(spelling, kByteAlphabet[static_cast<std::size_t>(b)]);
      for (std::size_t k = 0; k < 2; ++k) {
        const auto found = k < spelling.size() ? single.find(spelling[k]) : single.end();
        byte_fallback_.push_back(found == single.end() ? kNone : found->second);
      }
    }
  }

  void add_byte_tokens() {
    static constexpr std::string_view kHex = "0123456789ABCDEF";
    for (unsigned b = 0; b < 256; ++b) {
      const std::string spelled = std::string("<0x") + kHex[b >> 4] + kHex[b & 15] + ">";
      auto found = by_text_.find(spelled);
      if (found == by_text_.end()) found = by_text_.find(std::string(1, static_cast<char>(b)));
      const std::uint32_t unknown =
          v_.special.unk ? static_cast<std::uint32_t>(*v_.special.unk) : kNone;
      byte_symbols_.push_back(found == by_text_.end() ? unknown : found->second);
    }
  }

  // Longer tokens are looked for first. Among equal lengths the order shows only where two of them
  // overlap in a text; it is the one of this very call on ids in ascending order, which is what the
  // reference does.
  void order_specials() {
    for (std::size_t i = 0; i < v_.tokens.size(); ++i) {
      if (has_type(v_.types[i], kTextual)) specials_.push_back(static_cast<std::uint32_t>(i));
    }
    std::sort(specials_.begin(), specials_.end(), [&](std::uint32_t a, std::uint32_t b) {
      return v_.tokens[a].size() > v_.tokens[b].size();
    });
  }

  void fill_text_slots() {
    text_slots_.resize(std::bit_ceil(2 * v_.tokens.size() + 1));
    const std::size_t mask = text_slots_.size() - 1;
    for (std::size_t i = 0; i < v_.tokens.size(); ++i) {
      if ((types_[i] & kVerbatimBit) != 0) continue;
      const std::uint32_t begin = i == 0 ? 0 : texts_.ends[i - 1];
      const std::uint64_t hash =
          hash_text(std::string_view(texts_.all).substr(begin, texts_.ends[i] - begin));
      std::size_t slot = hash & mask;
      while (text_slots_[slot].id_plus_one != 0) slot = (slot + 1) & mask;
      text_slots_[slot] = {static_cast<std::uint32_t>(hash >> 32),
                           static_cast<std::uint32_t>(i) + 1};
    }
  }

  void fill_merge_slots() {
    if (merges_.empty()) return;
    merge_slots_.resize(std::bit_ceil(2 * merges_.size() + 1));
    const std::size_t mask = merge_slots_.size() - 1;
    for (std::size_t i = 0; i < merges_.size(); ++i) {
      const Merge& m = merges_[i];
      std::size_t slot = hash_merge(m.left, m.right) & mask;
      bool repeated = false;
      for (; merge_slots_[slot] != 0 && !repeated; slot = (slot + 1) & mask) {
        const Merge& other = merges_[merge_slots_[slot] - 1];
        repeated = other.left == m.left && other.right == m.right;
      }
      if (!repeated) merge_slots_[slot] = static_cast<std::uint32_t>(i) + 1;
    }
  }

  std::uint16_t flags() const {
    const auto bit = [](bool set, ObjectFlag f) { return set ? static_cast<unsigned>(f) : 0u; };
    return static_cast<std::uint16_t>(
        bit(v_.add_bos, kFlagAddBos) | bit(v_.add_eos, kFlagAddEos) | bit(v_.add_sep, kFlagAddSep) |
        bit(v_.add_space_prefix, kFlagSpacePrefix) |
        bit(v_.remove_extra_whitespaces, kFlagRemoveExtraSpaces) |
        bit(v_.clean_spaces, kFlagCleanSpaces) | bit(v_.ignore_merges, kFlagIgnoreMerges) |
        bit(v_.lowercase, kFlagLowercase) | bit(v_.strip_accents, kFlagStripAccents) |
        bit(!v_.scores.empty(), kFlagScores));
  }

  ObjectHeader header() const {
    ObjectHeader h{};
    h.magic = kObjectMagic;
    h.version = kObjectVersion;
    h.header_bytes = sizeof(ObjectHeader);
    h.model = static_cast<std::uint8_t>(v_.model);
    h.flags = flags();
    h.tokens = static_cast<std::uint32_t>(v_.tokens.size());
    h.symbols = static_cast<std::uint32_t>(texts_.ends.size());
    h.merges = static_cast<std::uint32_t>(merges_.size());
    h.specials = static_cast<std::uint32_t>(specials_.size());
    h.end_of_generation = static_cast<std::uint32_t>(v_.end_of_generation.size());
    h.text_slots = static_cast<std::uint32_t>(text_slots_.size());
    h.merge_slots = static_cast<std::uint32_t>(merge_slots_.size());
    h.longest_text = static_cast<std::uint32_t>(longest_);
    h.text_bytes = static_cast<std::uint32_t>(texts_.all.size());
    h.piece_bytes = static_cast<std::uint32_t>(pieces_.all.size());
    const auto special = special_list(v_.special);
    for (std::size_t i = 0; i < special.size(); ++i) h.special_ids[i] = special[i].value_or(-1);
    std::copy(v_.pre.begin(), v_.pre.end(), h.pre.begin());
    h.object_bytes = layout_of(h).end;
    return h;
  }

  Bytes write() const {
    ByteWriter out;
    const auto put = [&](const auto& items) {
      out.raw(ByteView(reinterpret_cast<const std::byte*>(items.data()),
                       items.size() * sizeof(items[0])));
      out.align(8);
    };
    const ObjectHeader h = header();
    out.raw(ByteView(reinterpret_cast<const std::byte*>(&h), sizeof h));
    put(texts_.ends);
    put(pieces_.ends);
    put(types_);
    put(v_.scores);
    put(specials_);
    put(v_.end_of_generation);
    put(text_slots_);
    put(merges_);
    put(merge_slots_);
    put(byte_symbols_);
    put(byte_fallback_);
    put(texts_.all);
    put(pieces_.all);
    HF_CHECK(out.size() == h.object_bytes);
    return std::move(out).take();
  }

  const Vocabulary& v_;
  std::unordered_map<std::string, std::uint32_t> by_text_;
  TextTable texts_;
  TextTable pieces_;
  std::vector<std::uint16_t> types_;
  std::vector<std::uint32_t> specials_;
  std::vector<Merge> merges_;
  std::vector<std::uint32_t> byte_symbols_, byte_fallback_, merge_slots_;
  std::vector<TextSlot> text_slots_;
  std::size_t longest_ = 0;
};

}  // namespace

Result<Bytes> serialize(const Vocabulary& vocabulary) {
  HF_TRY(validate(vocabulary));
  return Builder(vocabulary).build();
}

}  // namespace holdfast::tokenizer
