#include "holdfast/tokenizer/vocabulary_gguf.h"

#include <string>
#include <utility>

#include "pre_tokenizer.h"
#include "special_roles.h"

namespace holdfast::tokenizer {

namespace {

using gguf::Metadata;

constexpr std::string_view kPrefix = "tokenizer.ggml.";

std::string key(std::string_view name) { return std::string(kPrefix) + std::string(name); }

Error bad(std::string_view name, std::string what) {
  return corrupt("the file's " + key(name) + " " + std::move(what));
}

// Numbers in the file, in this order.
constexpr TokenType kFileTypes[] = {
    TokenType::kUndefined,   TokenType::kNormal, TokenType::kUnknown, TokenType::kControl,
    TokenType::kUserDefined, TokenType::kUnused, TokenType::kByte};

class Reader {
 public:
  explicit Reader(const Metadata& metadata) : m_(metadata) {}

  Result<Vocabulary> read() {
    HF_TRY(read_model());
    HF_TRY(read_tokens());
    HF_TRY(read_scores());
    HF_TRY(read_types());
    HF_TRY(read_merges());
    HF_TRY(read_special_ids());
    HF_TRY(read_flags());
    ModelNames names;
    HF_TRY_ASSIGN(const auto name, m_.find_string("general.name"));
    HF_TRY_ASSIGN(const auto architecture, m_.find_string("general.architecture"));
    names.name = name.value_or("");
    names.architecture = architecture.value_or("");
    assign_roles(v_, names);
    if (Status s = validate(v_); !s.ok()) return as_file_error(std::move(s).error());
    return std::move(v_);
  }

 private:
  // validate() speaks of an argument; here it came from a file.
  static Error as_file_error(Error e) {
    if (e.code() != ErrorCode::kInvalidArgument) return e;
    return corrupt(e.client_message(), e.detail());
  }

  Status read_model() {
    HF_TRY_ASSIGN(const std::string_view model, m_.get_string(key("model")));
    HF_TRY_ASSIGN(const auto pre, m_.find_string(key("pre")));
    if (model == "gpt2") {
      v_.model = Model::kBpe;
      return read_pre_tokenizer(pre.value_or("").empty() ? "default" : *pre);
    }
    if (model == "llama") {
      v_.model = Model::kSpm;
      v_.special = {.bos = 1, .eos = 2, .unk = 0};
      v_.add_bos = true;
      v_.add_space_prefix = true;
      return ok_status();
    }
    if (model == "bert") {
      v_.model = Model::kWordPiece;
      v_.special = {.bos = 101, .unk = 100, .sep = 102, .pad = 0, .mask = 103};
      v_.add_bos = v_.add_sep = v_.clean_spaces = true;
      return ok_status();
    }
    return unsupported("unsupported tokenizer model \"" +
                       std::string(model.substr(0, kMaxNameBytes)) + "\"")
        .with_hint("supported: gpt2 (byte-level BPE), llama (SentencePiece BPE), bert (WordPiece)");
  }

  Status read_pre_tokenizer(std::string_view name) {
    const PreTokenizer* pre = find_pre_tokenizer(name);
    if (pre == nullptr) {
      return unsupported("unsupported pre-tokenizer \"" +
                         std::string(name.substr(0, kMaxNameBytes)) + "\"");
    }
    v_.pre = name;
    v_.special = {.bos = 11, .eos = 11};
    if ((pre->flags & kNoBos) != 0) v_.special.bos.reset();
    v_.clean_spaces = (pre->flags & kClean) != 0;
    v_.ignore_merges = (pre->flags & kWhole) != 0;
    v_.add_bos = (pre->flags & kBos) != 0;
    v_.add_sep = (pre->flags & kSep) != 0;
    return ok_status();
  }

  Status read_tokens() {
    HF_TRY_ASSIGN(const gguf::StringArray* tokens, m_.get_strings(key("tokens")));
    if (tokens->size() > kMaxTokens) {
      return bad("tokens", "has " + std::to_string(tokens->size()) + " entries; the most is " +
                               std::to_string(kMaxTokens));
    }
    v_.tokens.reserve(tokens->size());
    for (std::size_t i = 0; i < tokens->size(); ++i) {
      // Up to a NUL: the programs that these files are made for read tokens as C strings.
      std::string text((*tokens)[i].substr(0, (*tokens)[i].find('\0')));
      if (text.empty()) text = "[EMPTY_" + std::to_string(i) + "]";
      v_.tokens.push_back(std::move(text));
    }
    return ok_status();
  }

  Status check_count(std::string_view name, std::size_t count) const {
    if (count == v_.tokens.size()) return ok_status();
    return bad(name, "has " + std::to_string(count) + " entries for " +
                         std::to_string(v_.tokens.size()) + " tokens");
  }

  Status read_scores() {
    if (m_.find(key("scores")) == nullptr) {
      if (v_.model == Model::kSpm) v_.scores.assign(v_.tokens.size(), 0.0F);
      return ok_status();
    }
    // Some converters wrote whole numbers.
    if (auto whole = m_.find_i32_array(key("scores")); whole.ok()) {
      v_.scores.assign((*whole)->begin(), (*whole)->end());
    } else {
      HF_TRY_ASSIGN(v_.scores, m_.get_f32_array(key("scores")));
    }
    HF_TRY(check_count("scores", v_.scores.size()));
    // Only SentencePiece merges by score: elsewhere they would be dead weight.
    if (v_.model != Model::kSpm) v_.scores.clear();
    return ok_status();
  }

  Status read_types() {
    HF_TRY_ASSIGN(const auto types, m_.find_i32_array(key("token_type")));
    if (!types) {
      v_.types.assign(v_.tokens.size(), TokenType::kNormal);
      return ok_status();
    }
    HF_TRY(check_count("token_type", types->size()));
    v_.types.reserve(types->size());
    for (const std::int32_t number : *types) {
      if (number < 0 || number > 6) {
        return bad("token_type", "has the unknown type " + std::to_string(number));
      }
      v_.types.push_back(kFileTypes[number]);
    }
    return ok_status();
  }

  Status read_merges() {
    if (v_.model != Model::kBpe) return ok_status();
    HF_TRY_ASSIGN(const gguf::StringArray* merges, m_.get_strings(key("merges")));
    if (merges->size() > kMaxMerges) {
      return bad("merges", "has " + std::to_string(merges->size()) + " entries; the most is " +
                               std::to_string(kMaxMerges));
    }
    v_.merges.reserve(merges->size());
    for (const std::string_view merge : *merges) v_.merges.emplace_back(merge);
    return ok_status();
  }

  Status read_special_ids() {
    SpecialIds& s = v_.special;
    const std::pair<std::string_view, std::optional<TokenId>*> keys[] = {
        {"bos_token_id", &s.bos},         {"eos_token_id", &s.eos},
        {"eot_token_id", &s.eot},         {"eom_token_id", &s.eom},
        {"unknown_token_id", &s.unk},     {"seperator_token_id", &s.sep},
        {"padding_token_id", &s.pad},     {"mask_token_id", &s.mask},
        {"fim_pre_token_id", &s.fim_pre}, {"fim_suf_token_id", &s.fim_suf},
        {"fim_mid_token_id", &s.fim_mid}, {"fim_pad_token_id", &s.fim_pad},
        {"fim_rep_token_id", &s.fim_rep}, {"fim_sep_token_id", &s.fim_sep},
        {"prefix_token_id", &s.fim_pre},  {"suffix_token_id", &s.fim_suf},
        {"middle_token_id", &s.fim_mid}};
    for (const auto& [name, id] : keys) HF_TRY(read_special_id(name, *id));
    return ok_status();
  }

  // A default that the vocabulary is too small for is none. 2^32-1 is how converters write "none".
  Status read_special_id(std::string_view name, std::optional<TokenId>& id) {
    if (id && static_cast<std::size_t>(*id) >= v_.tokens.size()) id.reset();
    if (m_.find(key(name)) == nullptr) return ok_status();
    HF_TRY_ASSIGN(const std::int64_t value, m_.get_i64(key(name)));
    if (value == -1 || value == 0xFFFFFFFF) return ok_status();
    if (value < 0 || static_cast<std::uint64_t>(value) >= v_.tokens.size()) {
      return bad(name, "is " + std::to_string(value) + ", outside the vocabulary of " +
                           std::to_string(v_.tokens.size()) + " tokens");
    }
    id = static_cast<TokenId>(value);
    return ok_status();
  }

  Status read_flags() {
    HF_TRY(read_flag("add_bos_token", v_.add_bos));
    HF_TRY(read_flag("add_eos_token", v_.add_eos));
    HF_TRY(read_flag("add_sep_token", v_.add_sep));
    HF_TRY(read_flag("add_space_prefix", v_.add_space_prefix));
    HF_TRY(read_flag("remove_extra_whitespaces", v_.remove_extra_whitespaces));
    HF_TRY(read_flag("normalizer.lowercase", v_.lowercase));
    v_.strip_accents = v_.lowercase;
    return read_flag("normalizer.strip_accents", v_.strip_accents);
  }

  Status read_flag(std::string_view name, bool& flag) {
    HF_TRY_ASSIGN(const auto value, m_.find_bool(key(name)));
    flag = value.value_or(flag);
    return ok_status();
  }

  const Metadata& m_;
  Vocabulary v_;
};

}  // namespace

Result<Vocabulary> vocabulary_from_gguf(const gguf::GgufFile& file) {
  return Reader(file.metadata).read();
}

}  // namespace holdfast::tokenizer
