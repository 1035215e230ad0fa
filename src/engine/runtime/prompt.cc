#include "holdfast/runtime/prompt.h"

namespace holdfast::runtime {

Result<std::vector<std::int32_t>> encode_chat(const tokenizer::Tokenizer& tokenizer,
                                              const chat::Rendered& rendered) {
  std::vector<tokenizer::TextPiece> pieces;
  pieces.reserve(rendered.pieces.size());
  for (const chat::Piece& piece : rendered.pieces)
    pieces.push_back({piece.text, piece.from_template});
  HF_TRY_ASSIGN(std::vector<std::int32_t> ids, tokenizer.encode_pieces(pieces, false));
  if (tokenizer.adds_bos() && tokenizer.bos() && (ids.empty() || ids.front() != *tokenizer.bos())) {
    ids.insert(ids.begin(), *tokenizer.bos());
  }
  return ids;
}

Result<std::vector<std::int32_t>> encode_text(const tokenizer::Tokenizer& tokenizer,
                                              std::string_view text) {
  HF_TRY_ASSIGN(std::vector<std::int32_t> ids,
                tokenizer.encode(text, {.add_special = true, .parse_special = false}));
  // A prompt is to be continued: the end token that some models put after a text would end it.
  if (tokenizer.adds_eos() && ids.size() > 1 && tokenizer.eos() && ids.back() == *tokenizer.eos())
    ids.pop_back();
  return ids;
}

void set_template_tokens(const tokenizer::Tokenizer& tokenizer, chat::RenderInput& input) {
  if (tokenizer.bos()) input.bos_token = std::string(tokenizer.token_bytes(*tokenizer.bos()));
  if (tokenizer.eos()) input.eos_token = std::string(tokenizer.token_bytes(*tokenizer.eos()));
}

}  // namespace holdfast::runtime
