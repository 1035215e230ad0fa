#include "holdfast/tokenizer/tokenizer.h"

namespace holdfast::tokenizer {

struct Tokenizer::State {
  SpecialIds special;
};

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::~Tokenizer() = default;

Result<std::unique_ptr<Tokenizer>> Tokenizer::load(ByteView /*object*/) {
  return unsupported("tokenizer not built yet");
}
Result<std::unique_ptr<Tokenizer>> Tokenizer::load_owned(Bytes /*object*/) {
  return unsupported("tokenizer not built yet");
}
Result<std::vector<TokenId>> Tokenizer::encode(std::string_view, const EncodeOptions&) const {
  return unsupported("tokenizer not built yet");
}
Result<std::vector<TokenId>> Tokenizer::encode_pieces(std::span<const TextPiece>, bool) const {
  return unsupported("tokenizer not built yet");
}
Result<std::string> Tokenizer::decode(std::span<const TokenId>, const DecodeOptions&) const {
  return unsupported("tokenizer not built yet");
}
std::string_view Tokenizer::token_bytes(TokenId) const { return {}; }
std::optional<TokenId> Tokenizer::find_token(std::string_view) const { return std::nullopt; }
bool Tokenizer::is_end_of_generation(TokenId) const { return false; }
bool Tokenizer::is_control(TokenId) const { return false; }
std::span<const TokenId> Tokenizer::end_of_generation_ids() const { return {}; }
std::int32_t Tokenizer::vocab_size() const { return 0; }
const SpecialIds& Tokenizer::special_ids() const { return state_->special; }
Model Tokenizer::model() const { return Model::kBpe; }
std::string_view Tokenizer::pre_tokenizer() const { return {}; }
bool Tokenizer::adds_bos() const { return false; }
bool Tokenizer::adds_eos() const { return false; }
bool Tokenizer::adds_space_prefix() const { return false; }

}  // namespace holdfast::tokenizer
