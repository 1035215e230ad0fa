#include "holdfast/tokenizer/vocabulary_gguf.h"

namespace holdfast::tokenizer {

Result<Vocabulary> vocabulary_from_gguf(const gguf::GgufFile& /*file*/) {
  return unsupported("tokenizer not built yet");
}

}  // namespace holdfast::tokenizer
