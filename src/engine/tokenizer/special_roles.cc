#include "special_roles.h"

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <set>
#include <string>
#include <unordered_map>

namespace holdfast::tokenizer {

namespace {

using Spellings = std::initializer_list<std::string_view>;
using Index = std::unordered_map<std::string, TokenId>;

constexpr TokenType kTextual = TokenType::kControl | TokenType::kUserDefined | TokenType::kUnknown;

const Spellings kEndOfTurn = {
    "<|eot_id|>",        "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>",
    "<|end_of_text|>",   "<EOT>",      "_<EOT>",  "[EOT]",         "<｜end▁of▁sentence｜>",
    "<end_of_utterance>"};
const Spellings kEndOfMessage = {"<|eom_id|>"};
const Spellings kFimPrefix = {"<|fim_prefix|>",  "<fim-prefix>", "<fim_prefix>",
                              "<｜fim▁begin｜>", "<PRE>",        "▁<PRE>",
                              "<|code_prefix|>", "<|prefix|>"};
const Spellings kFimSuffix = {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>",    "<｜fim▁hole｜>",
                              "<SUF>",          "▁<SUF>",       "<|code_suffix|>", "<|suffix|>"};
const Spellings kFimMiddle = {"<|fim_middle|>", "<fim-middle>", "<fim_middle>",    "<｜fim▁end｜>",
                              "<MID>",          "▁<MID>",       "<|code_middle|>", "<|middle|>"};
const Spellings kFimPad = {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"};
const Spellings kFimRepository = {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>",
                                  "<reponame>"};
const Spellings kFimSeparator = {"<|file_sep|>"};
const Spellings kEndOfGeneration = {"<|eot_id|>",
                                    "<|im_end|>",
                                    "<|end|>",
                                    "<|return|>",
                                    "<|call|>",
                                    "<|flush|>",
                                    "<|calls|>",
                                    "<end_of_turn>",
                                    "<|endoftext|>",
                                    "</s>",
                                    "<|eom_id|>",
                                    "<EOT>",
                                    "_<EOT>",
                                    "[EOT]",
                                    "[EOS]",
                                    "<|end_of_text|>",
                                    "<end_of_utterance>",
                                    "<eos>",
                                    "<turn|>",
                                    "<|tool_response>",
                                    "<｜end▁of▁sentence｜>",
                                    "[e~["};
// Part of the text of an answer in the models that have them.
const Spellings kAlwaysText = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

bool is_one_of(std::string_view text, Spellings spellings) {
  return std::find(spellings.begin(), spellings.end(), text) != spellings.end();
}

class Roles {
 public:
  Roles(Vocabulary& v) : v_(v) {
    for (std::size_t i = 0; i < v.tokens.size(); ++i) {
      index_[v.tokens[i]] = static_cast<TokenId>(i);
    }
  }

  void assign() {
    SpecialIds& s = v_.special;
    find(s.eot, kEndOfTurn);
    find(s.eom, kEndOfMessage);
    find(s.fim_pre, kFimPrefix);
    find(s.fim_suf, kFimSuffix);
    find(s.fim_mid, kFimMiddle);
    find(s.fim_pad, kFimPad);
    find(s.fim_rep, kFimRepository);
    find(s.fim_sep, kFimSeparator);
    mark_unused();
    collect_end_of_generation();
    drop_false_ends();
    v_.end_of_generation.assign(ends_.begin(), ends_.end());
  }

  void set_stripping(const ModelNames& names) {
    const auto name_has = [&](std::string_view part) {
      return lower(names.name).find(part) != std::string::npos;
    };
    const auto pre_has = [&](std::string_view part) {
      return v_.pre.find(part) != std::string::npos;
    };
    const auto architecture_has = [&](std::string_view part) {
      return names.architecture.find(part) != std::string_view::npos;
    };
    if (pre_has("jina-v2-de") || pre_has("jina-v2-es") || pre_has("jina-v2-code") ||
        architecture_has("nomic-bert-moe") || architecture_has("jina-bert-v3")) {
      strip("<mask>", TokenType::kStripLeft);
    } else if (name_has("phi-3") || name_has("phi3")) {
      strip_phi3();
    } else if (name_has("modern-bert")) {
      strip("[MASK]", TokenType::kStripLeft);
    }
  }

 private:
  static std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return out;
  }

  TokenType& type(TokenId id) { return v_.types[static_cast<std::size_t>(id)]; }

  // Where several spellings are there, the first in the order of the index counts. That order is
  // the hash table's, as in the implementation whose choice the models were published with; it
  // decides a role that only one of them can have.
  void find(std::optional<TokenId>& role, Spellings spellings) {
    if (role) return;
    for (const auto& [text, id] : index_) {
      if (!is_one_of(text, spellings)) continue;
      role = id;
      type(id) = type(id) | TokenType::kControl;
      return;
    }
  }

  void mark_unused() {
    for (std::size_t i = 0; i < v_.tokens.size(); ++i) {
      TokenType& t = v_.types[i];
      if (has_type(t, TokenType::kControl) && v_.tokens[i].find("unused") != std::string::npos) {
        t = t | TokenType::kUnused;
      }
    }
  }

  void collect_end_of_generation() {
    const SpecialIds& s = v_.special;
    for (const auto& id : {s.fim_pad, s.fim_rep, s.fim_sep}) {
      if (id) ends_.insert(*id);
    }
    for (const std::string_view text : kEndOfGeneration) {
      const auto it = index_.find(std::string(text));
      if (it == index_.end()) continue;
      ends_.insert(it->second);
      type(it->second) = type(it->second) | TokenType::kControl;
    }
    for (const std::string_view text : kAlwaysText) {
      const auto it = index_.find(std::string(text));
      if (it != index_.end()) type(it->second) = TokenType::kUserDefined;
    }
    for (const auto& id : {s.eos, s.eot, s.eom}) {
      if (id) ends_.insert(*id);
    }
  }

  bool ends_with(std::string_view text) const {
    const auto it = index_.find(std::string(text));
    return it != index_.end() && ends_.contains(it->second);
  }

  // In families where another token ends the answer, "<|end|>" and "</s>" are ordinary.
  void drop_false_ends() {
    const bool call = ends_with("<|call|>") || ends_with("<|calls|>");
    if (call && ends_with("<|end|>") && (ends_with("<|return|>") || ends_with("<|flush|>"))) {
      drop("<|end|>", TokenType::kUserDefined);
    }
    if (ends_with("</s>") && (ends_with("<|tool_response>") || ends_with("<|plamo:eos|>"))) {
      drop("</s>", TokenType::kNormal);
    }
  }

  void drop(std::string_view text, TokenType becomes) {
    const TokenId id = index_.at(std::string(text));
    ends_.erase(id);
    type(id) = becomes;
  }

  void strip(std::string_view text, TokenType side) {
    const auto it = index_.find(std::string(text));
    if (it != index_.end()) type(it->second) = type(it->second) | side;
  }

  void strip_phi3() {
    for (TokenType& t : v_.types) {
      if (has_type(t, kTextual)) t = t | TokenType::kStripRight;
    }
    strip("</s>", TokenType::kStripRight);
    for (const std::string_view text : {"<unk>", "<s>", "<|endoftext|>"}) {
      const auto it = index_.find(std::string(text));
      if (it == index_.end()) continue;
      const auto bits = static_cast<std::uint16_t>(type(it->second));
      type(it->second) =
          static_cast<TokenType>(bits & ~static_cast<unsigned>(TokenType::kStripRight));
    }
  }

  Vocabulary& v_;
  Index index_;
  std::set<TokenId> ends_;
};

}  // namespace

void assign_roles(Vocabulary& vocabulary, const ModelNames& names) {
  Roles roles(vocabulary);
  roles.assign();
  roles.set_stripping(names);
}

}  // namespace holdfast::tokenizer
