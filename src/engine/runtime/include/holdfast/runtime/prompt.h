// Prompts: from a conversation, a text or tokens to the token sequence that the model continues.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/chat/template.h"
#include "holdfast/tokenizer/tokenizer.h"

namespace holdfast::runtime {

// Tokens of a rendered conversation. Special tokens are recognised in the template's own text only,
// so a user who types `<|im_start|>` has typed twelve characters. A leading bos is added if the
// model wants one and the template did not write it.
Result<std::vector<std::int32_t>> encode_chat(const tokenizer::Tokenizer& tokenizer,
                                              const chat::Rendered& rendered);

// Tokens of a plain text with the model's own leading tokens; nothing in it is a special token.
Result<std::vector<std::int32_t>> encode_text(const tokenizer::Tokenizer& tokenizer,
                                              std::string_view text);

// The bos and eos variables of a chat template.
void set_template_tokens(const tokenizer::Tokenizer& tokenizer, chat::RenderInput& input);

}  // namespace holdfast::runtime
