#include "tokenizer_parts.h"

#include <algorithm>

#include "config_reader.h"

namespace holdfast::checkpoint {

namespace {

using Steps = std::vector<const json::Value*>;

constexpr std::string_view kWordMark = "\u2581";

std::string type_of(const json::Value& step) {
  const json::Value* type = step.find("type");
  return type != nullptr && type->is_string() ? type->as_string() : std::string();
}

std::string text_of(const json::Value& step, std::string_view member) {
  const json::Value* v = step.find(member);
  return v != nullptr && v->is_string() ? v->as_string() : std::string();
}

bool flag_of(const json::Value& step, std::string_view member, bool fallback) {
  const json::Value* v = step.find(member);
  return v != nullptr && v->is_bool() ? v->as_bool() : fallback;
}

Error unknown(std::string_view part, const json::Value& step) {
  const std::string type = type_of(step);
  return unsupported("unsupported " + std::string(part) +
                     " in tokenizer.json: " + (type.empty() ? "of no type" : shown(type)));
}

// The steps of a part: itself, or those of the sequences that it is made of, nested once.
Result<Steps> steps_of(const json::Value& root, std::string_view part, std::string_view list) {
  Steps steps;
  const json::Value* top = root.find(part);
  if (top == nullptr || top->is_null()) return steps;
  if (type_of(*top) != "Sequence") return Steps{top};
  const json::Value* inner = top->find(list);
  if (inner == nullptr || !inner->is_array()) {
    return corrupt("tokenizer.json: the sequence of its " + std::string(part) + " has no " +
                   std::string(list));
  }
  for (const json::Value& step : inner->as_array()) steps.push_back(&step);
  return steps;
}

// Splits that keep every character: pieces matched and pieces between are both words.
bool isolates(const json::Value& split) {
  const std::string behavior = text_of(split, "behavior");
  const bool invert = flag_of(split, "invert", false);
  return (behavior == "Isolated" && !invert) || (behavior == "Removed" && invert);
}

Result<std::string> rule_of_split(const json::Value& split) {
  const json::Value* pattern = split.find("pattern");
  const std::string expression = pattern == nullptr ? "" : text_of(*pattern, "Regex");
  const std::string_view rule = rule_of_expression(expression);
  if (rule.empty() || !isolates(split)) {
    return unsupported("unsupported pre_tokenizer in tokenizer.json: the expression " +
                       shown(expression));
  }
  return std::string(rule);
}

// One of: ByteLevel with its own expression, digits one by one and then that, or an expression
// before a ByteLevel that only spells bytes.
Result<std::string> byte_level_rule(const Steps& steps) {
  const json::Value& last = *steps.back();
  if (type_of(last) != "ByteLevel" || steps.size() > 2) return unknown("pre_tokenizer", last);
  if (flag_of(last, "add_prefix_space", true)) {
    return unsupported("unsupported pre_tokenizer in tokenizer.json: it adds a space in front");
  }
  const bool own = flag_of(last, "use_regex", true);
  if (steps.size() == 1 && own) return std::string("gpt-2");
  if (steps.size() == 1) return unknown("pre_tokenizer", last);
  const json::Value& first = *steps.front();
  const std::string type = type_of(first);
  if (type == "Digits" && flag_of(first, "individual_digits", false) && own) {
    return std::string("smollm");
  }
  if (type == "Split" && !own) return rule_of_split(first);
  return unknown("pre_tokenizer", first);
}

Status check_byte_level_normalizer(const Steps& steps) {
  for (const json::Value* step : steps) {
    // Not done here, as in the programs that GGUF files of these models are made for: text that is
    // not composed gets other ids.
    if (type_of(*step) != "NFC") return unknown("normalizer", *step);
  }
  return ok_status();
}

// " " becomes the mark of a word; with another mark in front of the text.
Result<bool> sentence_piece_space(const Steps& steps) {
  bool in_front = false;
  bool replaces = false;
  for (const json::Value* step : steps) {
    const std::string type = type_of(*step);
    const json::Value* pattern = step->find("pattern");
    if (type == "Prepend" && text_of(*step, "prepend") == kWordMark && !replaces) {
      in_front = true;
    } else if (type == "Replace" && pattern != nullptr && text_of(*pattern, "String") == " " &&
               text_of(*step, "content") == kWordMark) {
      replaces = true;
    } else {
      return unknown("normalizer", *step);
    }
  }
  if (!replaces) return unsupported("unsupported normalizer in tokenizer.json: it keeps spaces");
  return in_front;
}

Result<bool> metaspace_in_front(const json::Value& step) {
  const bool old_flag = flag_of(step, "add_prefix_space", true);
  std::string scheme = text_of(step, "prepend_scheme");
  if (scheme.empty()) scheme = old_flag ? "always" : "never";
  if (text_of(step, "replacement") != kWordMark || flag_of(step, "split", true)) {
    return unknown("pre_tokenizer", step);
  }
  return scheme != "never";
}

Result<bool> read_sentence_piece(const json::Value& root) {
  HF_TRY_ASSIGN(const Steps splits, steps_of(root, "pre_tokenizer", "pretokenizers"));
  HF_TRY_ASSIGN(const Steps normalizers, steps_of(root, "normalizer", "normalizers"));
  if (splits.size() > 1) return unknown("pre_tokenizer", *splits[0]);
  if (splits.size() == 1 && type_of(*splits[0]) == "Metaspace" && normalizers.empty()) {
    return metaspace_in_front(*splits[0]);
  }
  if (splits.size() == 1) {
    // Gemma's: no space is left to split at.
    const json::Value* pattern = splits[0]->find("pattern");
    if (type_of(*splits[0]) != "Split" || pattern == nullptr ||
        text_of(*pattern, "String") != " ") {
      return unknown("pre_tokenizer", *splits[0]);
    }
  }
  return sentence_piece_space(normalizers);
}

// [bos] text [eos]
Status read_template(const json::Value& step, TokenizerParts& out) {
  const json::Value* single = step.find("single");
  bool seen_text = false;
  if (single == nullptr || !single->is_array()) return unknown("post_processor", step);
  for (const json::Value& item : single->as_array()) {
    const json::Value* special = item.find("SpecialToken");
    if (item.find("Sequence") != nullptr && !seen_text) {
      seen_text = true;
    } else if (special != nullptr && !text_of(*special, "id").empty() &&
               !(seen_text ? out.eos : out.bos)) {
      (seen_text ? out.eos : out.bos) = text_of(*special, "id");
    } else {
      return unknown("post_processor", step);
    }
  }
  return seen_text ? ok_status() : Status(unknown("post_processor", step));
}

Status read_post_processor(const json::Value& root, TokenizerParts& out) {
  HF_TRY_ASSIGN(const Steps steps, steps_of(root, "post_processor", "processors"));
  for (const json::Value* step : steps) {
    const std::string type = type_of(*step);
    if (type == "ByteLevel") continue;  // only moves offsets
    if (type != "TemplateProcessing") return unknown("post_processor", *step);
    HF_TRY(read_template(*step, out));
  }
  return ok_status();
}

Status check_decoder(const json::Value& root, TokenizerKind kind) {
  HF_TRY_ASSIGN(const Steps steps, steps_of(root, "decoder", "decoders"));
  for (const json::Value* step : steps) {
    const std::string type = type_of(*step);
    const bool known = kind == TokenizerKind::kByteLevel
                           ? type == "ByteLevel"
                           : type == "Replace" || type == "ByteFallback" || type == "Fuse" ||
                                 type == "Strip" || type == "Metaspace";
    if (!known) return unknown("decoder", *step);
  }
  return ok_status();
}

}  // namespace

Result<TokenizerParts> read_parts(const json::Value& root, bool byte_fallback) {
  TokenizerParts parts;
  HF_TRY_ASSIGN(const Steps splits, steps_of(root, "pre_tokenizer", "pretokenizers"));
  const bool bytes = std::any_of(splits.begin(), splits.end(), [](const json::Value* step) {
    return type_of(*step) == "ByteLevel";
  });
  if (!bytes && !byte_fallback) {
    return unsupported(
        "unsupported tokenizer: BPE that is neither byte-level nor with a fallback "
        "to bytes");
  }
  if (bytes) {
    HF_TRY_ASSIGN(const Steps normalizers, steps_of(root, "normalizer", "normalizers"));
    HF_TRY(check_byte_level_normalizer(normalizers));
    HF_TRY_ASSIGN(parts.pre, byte_level_rule(splits));
  } else {
    parts.kind = TokenizerKind::kSentencePiece;
    HF_TRY_ASSIGN(parts.space_in_front, read_sentence_piece(root));
  }
  HF_TRY(read_post_processor(root, parts));
  HF_TRY(check_decoder(root, parts.kind));
  return parts;
}

}  // namespace holdfast::checkpoint
