#include "shared_prompts.h"

#include <algorithm>

#include "holdfast/runtime/prompt.h"

namespace holdfast::enginehost {

namespace {

using Tokens = std::vector<std::int32_t>;

// What two prompts have in common that differ right behind the shared text.
Tokens common(const Result<Tokens>& a, const Result<Tokens>& b) {
  if (!a.ok() || !b.ok()) return {};
  const auto end = std::ranges::mismatch(*a, *b).in1;
  return Tokens(a->begin(), end);
}

Result<Tokens> conversation(const LoadedModel& loaded, const std::string& system,
                            const char* user) {
  chat::RenderInput input;
  input.messages = json::Array{json::Object{{"role", "system"}, {"content", system}},
                               json::Object{{"role", "user"}, {"content", user}}};
  runtime::set_template_tokens(*loaded.tokenizer, input);
  HF_TRY_ASSIGN(const chat::Rendered rendered, loaded.chat_template->render(input));
  return runtime::encode_chat(*loaded.tokenizer, rendered);
}

}  // namespace

std::vector<std::vector<std::int32_t>> shared_prefixes(const LoadedModel& loaded,
                                                       std::span<const std::string> texts) {
  std::vector<Tokens> out;
  const auto add = [&out](Tokens tokens) {
    if (!tokens.empty()) out.push_back(std::move(tokens));
  };
  for (const std::string& text : texts) {
    if (loaded.chat_template)
      add(common(conversation(loaded, text, "a"), conversation(loaded, text, "1")));
    add(common(runtime::encode_text(*loaded.tokenizer, text + " a"),
               runtime::encode_text(*loaded.tokenizer, text + "\n1")));
  }
  return out;
}

}  // namespace holdfast::enginehost
