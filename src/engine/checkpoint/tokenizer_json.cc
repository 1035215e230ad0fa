#include <algorithm>
#include <optional>

#include "config_reader.h"
#include "holdfast/base/utf8.h"
#include "holdfast/json/stream.h"
#include "merge_scores.h"
#include "tokenizer_files.h"
#include "tokenizer_parts.h"

namespace holdfast::checkpoint {

namespace {

using tokenizer::TokenId;

constexpr std::size_t kTokenizerBytesMax = 64u << 20;
constexpr std::size_t kTemplateBytesMax = 1u << 20;
// Of everything but vocabulary, merges and added tokens: the parts around them.
constexpr std::size_t kValuesMax = 65536;
constexpr std::size_t kDepthMax = 16;
// Ids that nothing spells, where no embedding says how many there are.
constexpr std::size_t kGapsMax = 65536;

// Numbers of tokenizer.ggml.token_type.
enum class FileType : std::int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

struct AddedToken {
  std::uint32_t id = 0;
  std::string text;
  bool special = false;
  bool strip_left = false;
  bool strip_right = false;
};

Error bad(std::string what) { return corrupt("tokenizer.json: " + std::move(what)); }

// What the file holds, before it is put in the order of ids.
struct RawTokenizer {
  json::Value root;
  gguf::StringArray texts;         // in the order of the file
  std::vector<std::uint32_t> ids;  // of the texts
  Merges merges;
  std::vector<AddedToken> added;
};

Result<std::uint32_t> token_id(const json::Value& v, std::string_view text) {
  if (!v.is_int() || v.as_int() < 0 || v.as_int() >= std::int64_t{tokenizer::kMaxTokens}) {
    return bad("the id of token " + shown(text) + " is no whole number below " +
               std::to_string(tokenizer::kMaxTokens));
  }
  return static_cast<std::uint32_t>(v.as_int());
}

Status check_text(std::string_view text) {
  if (text.size() <= tokenizer::kMaxTokenBytes) return ok_status();
  return bad("the token " + shown(text) + " has more than " +
             std::to_string(tokenizer::kMaxTokenBytes) + " bytes");
}

Status take_token(RawTokenizer& out, std::string_view text, const json::Value& id) {
  if (out.ids.size() == tokenizer::kMaxTokens) {
    return bad("the vocabulary has more than " + std::to_string(tokenizer::kMaxTokens) + " tokens");
  }
  HF_TRY(check_text(text));
  HF_TRY_ASSIGN(const std::uint32_t number, token_id(id, text));
  out.ids.push_back(number);
  return out.texts.push_back(text);
}

Status add_merge(RawTokenizer& out, std::string_view left, std::string_view right) {
  if (left.empty() || right.empty() || left.size() + right.size() > tokenizer::kMaxTokenBytes) {
    return bad("merge " + std::to_string(out.merges.size()) + " has no two sides, or is too long");
  }
  out.merges.left_bytes.push_back(static_cast<std::uint16_t>(left.size()));
  return out.merges.joined.push_back(std::string(left) + std::string(right));
}

// "left right", or since 2024 ["left", "right"].
Status take_merge(RawTokenizer& out, const json::Value& merge) {
  if (out.merges.size() == tokenizer::kMaxMerges) {
    return bad("there are more than " + std::to_string(tokenizer::kMaxMerges) + " merges");
  }
  if (merge.is_array() && merge.as_array().size() == 2 && merge.as_array()[0].is_string() &&
      merge.as_array()[1].is_string()) {
    return add_merge(out, merge.as_array()[0].as_string(), merge.as_array()[1].as_string());
  }
  if (merge.is_string()) {
    const std::string_view text = merge.as_string();
    const std::size_t space = text.find(' ');
    if (space != std::string_view::npos && text.find(' ', space + 1) == std::string_view::npos) {
      return add_merge(out, text.substr(0, space), text.substr(space + 1));
    }
  }
  return bad("merge " + std::to_string(out.merges.size()) + " is no pair of texts");
}

Status take_added(RawTokenizer& out, const json::Value& token) {
  if (out.added.size() == tokenizer::kMaxTokens) return bad("there are too many added tokens");
  const json::Value* content = token.find("content");
  const json::Value* id = token.find("id");
  if (content == nullptr || !content->is_string() || content->as_string().empty() ||
      id == nullptr) {
    return bad("added token " + std::to_string(out.added.size()) + " has no content or no id");
  }
  AddedToken added;
  added.text = content->as_string();
  HF_TRY(check_text(added.text));
  HF_TRY_ASSIGN(added.id, token_id(*id, added.text));
  ConfigReader reader(token, "tokenizer.json: added token " + shown(added.text));
  added.special = reader.flag_or("special", false);
  added.strip_left = reader.flag_or("lstrip", false);
  added.strip_right = reader.flag_or("rstrip", false);
  if (reader.flag_or("single_word", false)) {
    reader.fail(unsupported("unsupported added token " + shown(added.text) +
                            " in tokenizer.json: it is one only as a whole word"));
  }
  out.added.push_back(std::move(added));
  return reader.status();
}

Result<RawTokenizer> parse_tokenizer(const std::string& text) {
  RawTokenizer raw;
  const json::Stream streams[] = {
      {{"model", "vocab"},
       [&](std::string_view key, json::Value v) { return take_token(raw, key, v); }},
      {{"model", "merges"}, [&](std::string_view, json::Value v) { return take_merge(raw, v); }},
      {{"added_tokens"}, [&](std::string_view, json::Value v) { return take_added(raw, v); }}};
  auto root = json::parse(
      text, {.bytes_max = kTokenizerBytesMax, .depth_max = kDepthMax, .values_max = kValuesMax},
      streams);
  if (!root.ok()) {
    const ErrorCode code = root.error().code();
    if (code == ErrorCode::kCorrupt || code == ErrorCode::kUnsupported) return root.error();
    return bad(root.error().client_message());
  }
  if (!root->is_object()) return bad("it is no JSON object");
  raw.root = *std::move(root);
  return raw;
}

// The tokens in the order of their ids, with what is known of each.
class Table {
 public:
  Status fill(const RawTokenizer& raw, std::uint32_t rows) {
    std::size_t size = rows;
    for (const std::uint32_t id : raw.ids) size = std::max<std::size_t>(size, id + 1);
    for (const AddedToken& t : raw.added) {
      if (rows == 0) size = std::max<std::size_t>(size, t.id + 1);
    }
    if (rows != 0 && size > rows) {
      return bad("it has " + std::to_string(size) + " tokens, the embedding " +
                 std::to_string(rows) + " rows");
    }
    if (rows == 0 && size > raw.ids.size() + raw.added.size() + kGapsMax) {
      return bad("most of the ids up to " + std::to_string(size - 1) + " have no token");
    }
    texts_.resize(size);
    types_.assign(size, FileType::kUnused);
    for (std::size_t i = 0; i < raw.ids.size(); ++i) {
      HF_TRY(put(raw.ids[i], raw.texts[i], FileType::kNormal));
    }
    for (const AddedToken& t : raw.added) HF_TRY(put_added(t));
    return index_texts();
  }

  std::size_t size() const { return texts_.size(); }
  const std::vector<std::string_view>& texts() const { return texts_; }
  FileType type(std::size_t id) const { return types_[id]; }
  void set_type(std::size_t id, FileType type) { types_[id] = type; }
  bool is_added(std::size_t id) const {
    return types_[id] == FileType::kControl || types_[id] == FileType::kUserDefined;
  }
  // Logarithmic.
  std::optional<std::uint32_t> find(std::string_view text) const {
    const auto it = std::lower_bound(
        by_text_.begin(), by_text_.end(), text,
        [&](std::uint32_t id, std::string_view wanted) { return texts_[id] < wanted; });
    return it == by_text_.end() || texts_[*it] != text ? std::nullopt : std::optional(*it);
  }

 private:
  Status put(std::uint32_t id, std::string_view text, FileType type) {
    if (types_[id] != FileType::kUnused) {
      return bad("tokens " + shown(texts_[id]) + " and " + shown(text) + " have one id");
    }
    texts_[id] = text;
    types_[id] = type;
    return ok_status();
  }
  // An added token may be one of the vocabulary; beyond the embedding's rows it cannot be used.
  Status put_added(const AddedToken& t) {
    if (t.id >= size()) return ok_status();
    const FileType type = t.special ? FileType::kControl : FileType::kUserDefined;
    if (types_[t.id] == FileType::kUnused) return put(t.id, t.text, type);
    if (texts_[t.id] != t.text) {
      return bad("tokens " + shown(texts_[t.id]) + " and " + shown(t.text) + " have one id");
    }
    if (is_added(t.id)) return bad("the added token " + shown(t.text) + " is there twice");
    types_[t.id] = type;
    return ok_status();
  }

  // Four bytes a token, where a hash table of a million short ones would take sixty.
  Status index_texts() {
    by_text_.reserve(size());
    for (std::uint32_t id = 0; id < size(); ++id) {
      if (types_[id] != FileType::kUnused) by_text_.push_back(id);
    }
    const auto text = [&](std::uint32_t id) { return texts_[id]; };
    std::sort(by_text_.begin(), by_text_.end(),
              [&](std::uint32_t a, std::uint32_t b) { return text(a) < text(b); });
    const auto twice =
        std::adjacent_find(by_text_.begin(), by_text_.end(),
                           [&](std::uint32_t a, std::uint32_t b) { return text(a) == text(b); });
    if (twice == by_text_.end()) return ok_status();
    return bad("the token " + shown(text(*twice)) + " is there twice");
  }

  std::vector<std::string_view> texts_;
  std::vector<FileType> types_;
  std::vector<std::uint32_t> by_text_;  // ids in the order of their texts
};

// <0x00> to <0xFF>
bool is_byte_token(std::string_view text) {
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  return text.size() == 6 && text.starts_with("<0x") && text[5] == '>' && hex(text[3]) &&
         hex(text[4]);
}

class TokenizerReader {
 public:
  TokenizerReader(const TokenizerFiles& files, RawTokenizer raw, gguf::Metadata& out,
                  VocabularyTraits& traits)
      : files_(files), raw_(std::move(raw)), out_(out), traits_(traits) {}

  Status run(std::uint32_t rows) {
    HF_TRY(check_model());
    HF_TRY(table_.fill(raw_, rows));
    mark_model_tokens();
    const bool bytes = parts_.kind == TokenizerKind::kByteLevel;
    HF_TRY(set("model", gguf::make_string(bytes ? "gpt2" : "llama")));
    HF_TRY(bytes ? write_byte_level() : write_sentence_piece());
    HF_TRY(write_tokens());
    HF_TRY(write_special_ids());
    HF_TRY(write_ends());
    write_strips();
    return write_template();
  }

 private:
  Status set(std::string_view key, gguf::Value value) {
    return out_.insert("tokenizer.ggml." + std::string(key), std::move(value));
  }

  Status check_model() {
    const json::Value* model = raw_.root.find("model");
    if (model == nullptr || !model->is_object()) return bad("it has no model");
    ConfigReader r(*model, "tokenizer.json: model");
    const std::string type = r.text_or("type", "BPE");
    if (type != "BPE") {
      return unsupported("unsupported tokenizer model " + shown(type) + " in tokenizer.json")
          .with_hint("supported: BPE, byte-level or with a fallback to bytes");
    }
    for (const char* const member : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const std::string text = r.text_or(member, "");
      if (!text.empty()) r.fail(r.unsupported_value(member, text));
    }
    if (r.number_or("dropout", 0, 1, 0) > 0) r.fail(r.unsupported_value("dropout", "above 0"));
    const bool byte_fallback = r.flag_or("byte_fallback", false);
    traits_.ignore_merges = r.flag_or("ignore_merges", false);
    unknown_ = r.text_or("unk_token", "");
    HF_TRY(r.status());
    if (raw_.ids.empty()) return bad("its vocabulary is empty");
    HF_TRY_ASSIGN(parts_, read_parts(raw_.root, byte_fallback));
    return ok_status();
  }

  void mark_model_tokens() {
    if (parts_.kind == TokenizerKind::kByteLevel) return;
    for (std::size_t id = 0; id < table_.size(); ++id) {
      if (table_.type(id) == FileType::kNormal && is_byte_token(table_.texts()[id])) {
        table_.set_type(id, FileType::kByte);
      }
    }
    if (const auto id = table_.find(unknown_)) table_.set_type(*id, FileType::kUnknown);
  }

  Status write_byte_level() {
    HF_TRY(set("pre", gguf::make_string(parts_.pre)));
    gguf::StringArray merges;
    merges.reserve(raw_.merges.size());
    std::string pair;
    for (std::size_t i = 0; i < raw_.merges.size(); ++i) {
      pair.assign(raw_.merges.left(i)).append(" ").append(raw_.merges.right(i));
      if (std::count(pair.begin(), pair.end(), ' ') != 1) {
        return bad("merge " + std::to_string(i) + " holds a space");
      }
      HF_TRY(merges.push_back(pair));
    }
    return set("merges", {gguf::ValueType::kArray, std::move(merges)});
  }

  Status write_sentence_piece() {
    HF_TRY(set("add_space_prefix", gguf::make_bool(parts_.space_in_front)));
    std::vector<bool> apart(table_.size());
    for (std::size_t id = 0; id < table_.size(); ++id) {
      apart[id] = table_.type(id) != FileType::kNormal;
    }
    HF_TRY_ASSIGN(const std::vector<float> scores,
                  scores_of_merges(raw_.merges, table_.texts(), apart));
    return set("scores", gguf::make_f32_array(scores));
  }

  Status write_tokens() {
    gguf::StringArray texts;
    std::vector<std::int32_t> types;
    texts.reserve(table_.size());
    types.reserve(table_.size());
    for (std::size_t id = 0; id < table_.size(); ++id) {
      types.push_back(static_cast<std::int32_t>(table_.type(id)));
      if (table_.type(id) == FileType::kUnused) {
        HF_TRY(texts.push_back("[PAD" + std::to_string(id) + "]"));
      } else {
        HF_TRY(texts.push_back(table_.texts()[id]));
      }
    }
    HF_TRY(set("tokens", {gguf::ValueType::kArray, std::move(texts)}));
    return set("token_type", gguf::make_i32_array(types));
  }

  // The text of a special token in tokenizer_config.json: itself, or an object with its content.
  Result<std::optional<std::uint32_t>> configured(const char* member) const {
    std::optional<std::uint32_t> none;
    const json::Value* v =
        files_.tokenizer_config ? files_.tokenizer_config->find(member) : nullptr;
    if (v != nullptr && v->is_object()) v = v->find("content");
    if (v == nullptr || v->is_null()) return none;
    if (!v->is_string())
      return corrupt("tokenizer_config.json: " + std::string(member) + " is no text");
    // One that the model has no row for, such as a padding token added for training, is none.
    return table_.find(v->as_string());
  }

  // The ids of a member of config.json or generation_config.json: a number or a list of them.
  Result<std::vector<std::uint32_t>> ids_in(const std::optional<json::Value>& file,
                                            const char* member) const {
    std::vector<std::uint32_t> ids;
    const json::Value* v = file ? file->find(member) : nullptr;
    if (v == nullptr || v->is_null()) return ids;
    const json::Array one = v->is_array() ? v->as_array() : json::Array{*v};
    for (const json::Value& id : one) {
      if (!id.is_int() || id.as_int() < 0 ||
          id.as_int() >= static_cast<std::int64_t>(table_.size())) {
        return corrupt(std::string(member) + " is no id of the vocabulary of " +
                       std::to_string(table_.size()) + " tokens");
      }
      ids.push_back(static_cast<std::uint32_t>(id.as_int()));
    }
    return ids;
  }

  // A text that the post-processor adds is the surest sign; then what tokenizer_config.json names,
  // then config.json's numbers.
  Status write_special(const char* key, const std::optional<std::string>& added,
                       const char* token_member, const char* id_member) {
    std::optional<std::uint32_t> id;
    if (added) {
      id = table_.find(*added);
      if (!id) return bad("the post_processor adds " + shown(*added) + ", which is no token");
    }
    if (!id) {
      HF_TRY_ASSIGN(id, configured(token_member));
    }
    if (!id && id_member != nullptr) {
      HF_TRY_ASSIGN(const auto ids, ids_in(files_.config, id_member));
      if (!ids.empty()) id = ids.front();
    }
    // 2^32-1: none; without the key a reader would take a default.
    return set(key, gguf::make_u32(id.value_or(0xffffffffu)));
  }

  Status write_special_ids() {
    HF_TRY(write_special("bos_token_id", parts_.bos, "bos_token", "bos_token_id"));
    HF_TRY(write_special("eos_token_id", parts_.eos, "eos_token", "eos_token_id"));
    HF_TRY(write_special("padding_token_id", std::nullopt, "pad_token", "pad_token_id"));
    HF_TRY(write_special("unknown_token_id",
                         unknown_.empty() ? std::nullopt : std::optional(unknown_), "unk_token",
                         nullptr));
    HF_TRY(set("add_bos_token", gguf::make_bool(parts_.bos.has_value())));
    return set("add_eos_token", gguf::make_bool(parts_.eos.has_value()));
  }

  Status write_ends() {
    for (const std::optional<json::Value>* file : {&files_.config, &files_.generation_config}) {
      HF_TRY_ASSIGN(const auto ids, ids_in(*file, "eos_token_id"));
      for (const std::uint32_t id : ids) {
        traits_.end_of_generation.push_back(static_cast<TokenId>(id));
      }
    }
    return ok_status();
  }

  void write_strips() {
    for (const AddedToken& t : raw_.added) {
      if (t.id >= table_.size()) continue;
      if (t.strip_left) traits_.strip_left.push_back(static_cast<TokenId>(t.id));
      if (t.strip_right) traits_.strip_right.push_back(static_cast<TokenId>(t.id));
    }
  }

  // A file of its own, a text in tokenizer_config.json, or the one named "default" of a list there.
  Result<std::string> chat_template() const {
    if (files_.chat_template) return *files_.chat_template;
    const json::Value* v =
        files_.tokenizer_config ? files_.tokenizer_config->find("chat_template") : nullptr;
    if (v == nullptr || v->is_null()) return std::string();
    if (v->is_string()) return v->as_string();
    if (v->is_array()) {
      for (const json::Value& named : v->as_array()) {
        const json::Value* name = named.find("name");
        const json::Value* text = named.find("template");
        if (name != nullptr && *name == json::Value("default") && text != nullptr &&
            text->is_string()) {
          return text->as_string();
        }
      }
    }
    return corrupt(
        "tokenizer_config.json: chat_template is neither a text nor a list with one "
        "named default");
  }

  Status write_template() {
    HF_TRY_ASSIGN(std::string text, chat_template());
    if (text.size() > kTemplateBytesMax) return corrupt("the chat template is larger than 1 MiB");
    if (text.empty()) return ok_status();
    return out_.insert("tokenizer.chat_template", gguf::make_string(std::move(text)));
  }

  const TokenizerFiles& files_;
  RawTokenizer raw_;
  gguf::Metadata& out_;
  VocabularyTraits& traits_;
  TokenizerParts parts_;
  Table table_;
  std::string unknown_;
};

}  // namespace

Status read_tokenizer(const TokenizerFiles& files, std::uint32_t rows, gguf::Metadata& out,
                      VocabularyTraits& traits) {
  HF_TRY_ASSIGN(RawTokenizer raw, parse_tokenizer(files.tokenizer));
  if (files.tokenizer_config) {
    ConfigReader reader(*files.tokenizer_config, "tokenizer_config.json");
    traits.clean_spaces = reader.flag_or("clean_up_tokenization_spaces", false);
    HF_TRY(reader.status());
  }
  return TokenizerReader(files, std::move(raw), out, traits).run(rows);
}

}  // namespace holdfast::checkpoint
