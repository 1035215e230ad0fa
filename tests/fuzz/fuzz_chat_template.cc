// Template sources: whatever parses is rendered on a fixed conversation.
#include <string_view>

#include "holdfast/chat/template.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast;
  chat::Limits limits;
  limits.steps_max = 20'000;  // keeps runs short
  limits.output_bytes_max = 1u << 16;
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const Result<chat::Template> parsed = chat::Template::parse(source, limits);
  if (!parsed.ok()) return 0;
  chat::RenderInput input;
  input.messages = json::Array{
      json::Object{{"role", "user"}, {"content", "h\xC3\xA9 <b>"}, {"n", 2}},
      json::Object{{"role", "assistant"}, {"content", nullptr}, {"x", json::Array{1, 2.5}}}};
  input.bos_token = "<s>";
  const Result<chat::Rendered> rendered = parsed->render(input);
  if (rendered.ok()) {
    for (std::size_t i = 1; i < rendered->pieces.size(); ++i) {
      HF_CHECK(rendered->pieces[i].from_template != rendered->pieces[i - 1].from_template);
    }
  }
  return 0;
}
