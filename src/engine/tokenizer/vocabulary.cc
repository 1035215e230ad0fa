#include "holdfast/tokenizer/vocabulary.h"

namespace holdfast::tokenizer {

Status validate(const Vocabulary& /*vocabulary*/) { return unsupported("tokenizer not built yet"); }

Result<Bytes> serialize(const Vocabulary& /*vocabulary*/) {
  return unsupported("tokenizer not built yet");
}

bool is_known_pre_tokenizer(std::string_view /*name*/) { return false; }

}  // namespace holdfast::tokenizer
