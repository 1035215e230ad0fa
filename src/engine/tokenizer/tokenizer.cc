#include "holdfast/tokenizer/tokenizer.h"

#include <algorithm>
#include <utility>

#include "alphabet.h"
#include "bpe.h"
#include "object.h"
#include "pre_tokenizer.h"
#include "special_list.h"
#include "special_matcher.h"
#include "tidy.h"
#include "wordpiece.h"

namespace holdfast::tokenizer {

namespace {
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581, the space of SentencePiece
constexpr TokenType kNotText = TokenType::kControl | TokenType::kUnknown;
}  // namespace

struct Tokenizer::State {
  State(Bytes bytes, const ObjectView& view)
      : owned(std::move(bytes)),
        object(view),
        matcher(object),
        special(special_ids_of(object.header().special_ids)) {}

  std::vector<TokenId> encode(std::string_view text, std::span<const Region> regions,
                              bool add_special) const;
  void encode_spm(std::string_view text, std::span<const Fragment> fragments,
                  std::vector<TokenId>& out) const;

  Bytes owned;  // empty where the caller keeps the bytes
  ObjectView object;
  SpecialMatcher matcher;
  SpecialIds special;
  SplitRule rule;
  PrefixFilter prefixes;  // WordPiece only
};

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::~Tokenizer() = default;

Result<std::unique_ptr<Tokenizer>> Tokenizer::load(ByteView object) {
  if (reinterpret_cast<std::uintptr_t>(object.data()) % 8 != 0) {
    return load_owned(Bytes(object.begin(), object.end()));
  }
  return load_checked({}, object);
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::load_owned(Bytes object) {
  const ByteView view(object);  // moving a vector keeps its bytes where they are
  return load_checked(std::move(object), view);
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::load_checked(Bytes owned, ByteView object) {
  HF_TRY_ASSIGN(const ObjectView view, ObjectView::open(object));
  SplitRule rule;
  if (view.header().model == static_cast<std::uint8_t>(Model::kBpe)) {
    const PreTokenizer* pre = find_pre_tokenizer(view.pre());
    if (pre == nullptr) {
      return unsupported("unsupported pre-tokenizer \"" + std::string(view.pre()) + "\"");
    }
    rule = pre->rule;
  }
  const auto& ids = view.header().special_ids;
  const bool word_piece = view.header().model == static_cast<std::uint8_t>(Model::kWordPiece);
  const bool missing = ((view.flag(kFlagAddBos) || word_piece) && ids[0] < 0) ||
                       (view.flag(kFlagAddEos) && ids[1] < 0) ||
                       (word_piece && (ids[4] < 0 || ids[5] < 0));
  if (missing) return corrupt("the tokenizer object is damaged", "a special token is missing");
  auto state = std::make_unique<State>(std::move(owned), view);
  state->rule = rule;
  if (word_piece) state->prefixes = PrefixFilter(state->object);
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(state)));
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text,
                                               const EncodeOptions& options) const {
  const TextPiece piece{text, options.parse_special};
  return encode_pieces({&piece, 1}, options.add_special);
}

Result<std::vector<TokenId>> Tokenizer::encode_pieces(std::span<const TextPiece> pieces,
                                                      bool add_special) const {
  std::size_t total = 0;
  for (const TextPiece& piece : pieces) {
    total += piece.text.size();
    if (total > kMaxEncodeBytes) {
      return invalid_argument("the text is longer than 16 MiB, the most that is tokenised at once");
    }
  }
  std::string joined;
  std::vector<Region> regions;
  std::size_t end = 0;
  for (const TextPiece& piece : pieces) {
    const std::size_t begin = end;
    end += piece.text.size();
    if (pieces.size() > 1) joined += piece.text;
    if (!piece.parse_special || begin == end) continue;
    // Neighbouring stretches are one: a token may span template literals.
    if (!regions.empty() && regions.back().end == begin) {
      regions.back().end = static_cast<std::uint32_t>(end);
    } else {
      regions.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)});
    }
  }
  const std::string_view text = pieces.size() == 1 ? pieces[0].text : std::string_view(joined);
  return state_->encode(text, regions, add_special);
}

std::vector<TokenId> Tokenizer::State::encode(std::string_view text,
                                              std::span<const Region> regions,
                                              bool add_special) const {
  const std::vector<Fragment> fragments = matcher.cut(text, regions);
  const auto model = static_cast<Model>(object.header().model);
  std::vector<TokenId> out;
  const bool word_piece = model == Model::kWordPiece;
  if (add_special && (object.flag(kFlagAddBos) || word_piece)) out.push_back(*special.bos);
  if (model == Model::kSpm) {
    encode_spm(text, fragments, out);
  } else {
    BpeEncoder bpe(object, rule);
    for (const Fragment& f : fragments) {
      const std::string_view part = text.substr(f.begin, f.end - f.begin);
      if (f.token != kNone) {
        out.push_back(static_cast<TokenId>(f.token));
      } else if (word_piece) {
        encode_word_piece(object, prefixes, part, out);
      } else {
        bpe.encode(part, out);
      }
    }
  }
  if (add_special && word_piece) out.push_back(*special.sep);
  if (add_special && !word_piece && object.flag(kFlagAddEos)) out.push_back(*special.eos);
  return out;
}

void Tokenizer::State::encode_spm(std::string_view text, std::span<const Fragment> fragments,
                                  std::vector<TokenId>& out) const {
  SpmEncoder spm(object);
  bool after_special = true;
  std::string escaped;
  for (const Fragment& f : fragments) {
    if (f.token != kNone) {
      out.push_back(static_cast<TokenId>(f.token));
      after_special = true;
      continue;
    }
    escaped.clear();
    if (after_special && object.flag(kFlagSpacePrefix)) escaped += kSpaceMark;
    for (std::uint32_t i = f.begin; i < f.end; ++i) {
      if (text[i] == ' ') {
        escaped += kSpaceMark;
      } else {
        escaped += text[i];
      }
    }
    spm.encode(escaped, out);
    after_special = false;
  }
}

Result<std::string> Tokenizer::decode(std::span<const TokenId> ids,
                                      const DecodeOptions& options) const {
  for (const TokenId id : ids) {
    if (id < 0 || id >= vocab_size()) {
      return invalid_argument("token id " + std::to_string(id) + " is not in the vocabulary of " +
                              std::to_string(vocab_size()) + " tokens");
    }
  }
  const ObjectView& object = state_->object;
  bool strip_space = object.flag(kFlagSpacePrefix);
  if (options.remove_special && object.flag(kFlagAddBos) && !ids.empty() && ids.front() == bos()) {
    strip_space = false;
    ids = ids.subspan(1);
  }
  if (options.remove_special && object.flag(kFlagAddEos) && !ids.empty() && ids.back() == eos()) {
    ids = ids.first(ids.size() - 1);
  }
  std::string text;
  for (const TokenId id : ids) {
    std::string_view piece = token_bytes(id);
    if (!options.unparse_special && is_control(id)) piece = {};
    if (strip_space && piece.starts_with(' ')) piece.remove_prefix(1);
    strip_space = false;
    text += piece;
  }
  if (object.flag(kFlagCleanSpaces)) tidy_spaces(text);
  return text;
}

std::string_view Tokenizer::token_bytes(TokenId id) const {
  if (id < 0 || id >= vocab_size()) return {};
  return state_->object.piece(static_cast<std::uint32_t>(id));
}

std::optional<TokenId> Tokenizer::find_token(std::string_view text) const {
  const ObjectView& object = state_->object;
  if (model() != Model::kBpe) {
    const std::uint32_t id = object.find(text);
    return id == kNone ? std::nullopt : std::optional(static_cast<TokenId>(id));
  }
  if (const auto bytes = alphabet_decode(text)) {
    const std::uint32_t id = object.find(*bytes);
    return id == kNone ? std::nullopt : std::optional(static_cast<TokenId>(id));
  }
  for (std::uint32_t id = 0; id < object.header().tokens; ++id) {
    if ((object.type_bits(id) & kVerbatimBit) != 0 && object.text(id) == text) {
      return static_cast<TokenId>(id);
    }
  }
  return std::nullopt;
}

bool Tokenizer::is_end_of_generation(TokenId id) const {
  const auto ids = state_->object.end_of_generation();
  return std::binary_search(ids.begin(), ids.end(), id);
}

bool Tokenizer::is_control(TokenId id) const {
  return id >= 0 && id < vocab_size() &&
         state_->object.has_type(static_cast<std::uint32_t>(id), kNotText);
}

std::span<const TokenId> Tokenizer::end_of_generation_ids() const {
  return state_->object.end_of_generation();
}
std::int32_t Tokenizer::vocab_size() const {
  return static_cast<std::int32_t>(state_->object.header().tokens);
}
const SpecialIds& Tokenizer::special_ids() const { return state_->special; }
Model Tokenizer::model() const { return static_cast<Model>(state_->object.header().model); }
std::string_view Tokenizer::pre_tokenizer() const { return state_->object.pre(); }
bool Tokenizer::adds_bos() const { return state_->object.flag(kFlagAddBos); }
bool Tokenizer::adds_eos() const { return state_->object.flag(kFlagAddEos); }
bool Tokenizer::adds_space_prefix() const { return state_->object.flag(kFlagSpacePrefix); }

}  // namespace holdfast::tokenizer
