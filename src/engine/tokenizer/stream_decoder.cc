#include <utility>

#include "holdfast/base/utf8.h"
#include "holdfast/tokenizer/tokenizer.h"

namespace holdfast::tokenizer {

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, Options options)
    : tokenizer_(&tokenizer),
      options_(options),
      strip_space_(options.at_text_start && tokenizer.adds_space_prefix()) {}

std::string StreamDecoder::push(TokenId id) {
  std::string_view bytes = tokenizer_->token_bytes(id);
  if (!options_.unparse_special && tokenizer_->is_control(id)) bytes = {};
  if (strip_space_ && bytes.starts_with(' ')) bytes.remove_prefix(1);
  strip_space_ = false;
  pending_.append(bytes);
  const std::size_t ready = complete_utf8_prefix(pending_);
  std::string out = pending_.substr(0, ready);
  pending_.erase(0, ready);
  return out;
}

std::string StreamDecoder::finish() { return std::exchange(pending_, {}); }

}  // namespace holdfast::tokenizer
