#include "wordpiece.h"

#include <algorithm>
#include <bit>
#include <string>

#include "holdfast/base/utf8.h"
#include "unicode.h"

namespace holdfast::tokenizer {

namespace {

constexpr std::string_view kWordStart = "\xE2\x96\x81";  // U+2581 begins a word in the vocabulary

// The blocks that BERT's own tokenizer calls Chinese; the fifth starts where its code has it, not
// where Unicode does.
bool is_ideograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

// Longest match from the left; a word with a part that is in no token is the unknown token as a
// whole.
class WordEncoder {
 public:
  WordEncoder(const ObjectView& object, const PrefixFilter& prefixes, std::vector<TokenId>& out)
      : object_(&object), prefixes_(&prefixes), out_(&out) {}

  void encode(std::string_view word) {
    const std::size_t before = out_->size();
    text_.assign(kWordStart);
    text_ += word;
    for (std::size_t pos = 0; pos < text_.size();) {
      const std::size_t matched = match(pos);
      if (matched == 0) {
        out_->resize(before);
        break;
      }
      pos += matched;
    }
    if (out_->size() == before) out_->push_back(object_->header().special_ids[4]);
  }

 private:
  // Length of the longest token at `pos`, which it appends; 0 if there is none.
  std::size_t match(std::size_t pos) {
    const std::size_t longest =
        std::min<std::size_t>(text_.size() - pos, object_->header().longest_text);
    hashes_.clear();
    std::uint64_t hash = hash_start();
    for (std::size_t i = 0; i < longest; ++i) {
      hash = hash_byte(hash, text_[pos + i]);
      if (!prefixes_->may_begin(hash)) break;
      hashes_.push_back(hash);
    }
    for (std::size_t n = hashes_.size(); n > 0; --n) {
      const std::string_view part = std::string_view(text_).substr(pos, n);
      const std::uint32_t token = object_->find(part, hash_finish(hashes_[n - 1]));
      if (token == kNone) continue;
      out_->push_back(static_cast<TokenId>(token));
      return n;
    }
    return 0;
  }

  const ObjectView* object_;
  const PrefixFilter* prefixes_;
  std::vector<TokenId>* out_;
  std::string text_;
  std::vector<std::uint64_t> hashes_;
};

}  // namespace

PrefixFilter::PrefixFilter(const ObjectView& object) {
  constexpr std::size_t kBitsPerPrefix = 16;  // one wrong yes in sixteen
  const ObjectHeader& h = object.header();
  bits_.resize(std::bit_ceil(kBitsPerPrefix * std::size_t{h.text_bytes} + 1));
  for (std::uint32_t id = 0; id < h.tokens; ++id) {
    std::uint64_t hash = hash_start();
    for (const char c : object.text(id)) {
      hash = hash_byte(hash, c);
      bits_[slot(hash)] = true;
    }
  }
}

void encode_word_piece(const ObjectView& object, const PrefixFilter& prefixes,
                       std::string_view text, std::vector<TokenId>& out) {
  const bool lowercase = object.flag(kFlagLowercase);
  const bool strip_accents = object.flag(kFlagStripAccents);
  WordEncoder encoder(object, prefixes, out);
  std::string word;
  const auto flush = [&] {
    if (!word.empty()) encoder.encode(word);
    word.clear();
  };
  for (char32_t c : decode_lenient(text)) {
    if (strip_accents) c = base_of(c);
    const std::uint8_t group = group_of(c);
    if ((group & kSpace) != 0) {
      flush();
      continue;
    }
    if (c == 0 || c == 0xFFFD || (group & kControl) != 0) continue;
    if (strip_accents && (group & kMark) != 0) continue;
    const bool alone =
        (group & kPunctuation) != 0 || (c < 0x7F && (group & kSymbol) != 0) || is_ideograph(c);
    if (alone) flush();
    append_utf8(word, lowercase ? to_lower(c) : c);
    if (alone) flush();
  }
  flush();
}

}  // namespace holdfast::tokenizer
