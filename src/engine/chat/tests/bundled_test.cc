// Oracle: the published templates where the golden data has them, and the formats' descriptions,
// written out.
#include "holdfast/chat/bundled.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "holdfast/chat/template.h"

namespace holdfast::chat {
namespace {

json::Value message(const char* role, const char* text) {
  return json::Object{{"role", role}, {"content", text}};
}

RenderInput conversation(bool with_system) {
  RenderInput input;
  json::Array messages;
  if (with_system) messages.push_back(message("system", "Be brief."));
  messages.push_back(message("user", "Hello"));
  messages.push_back(message("assistant", "Hi."));
  messages.push_back(message("user", "Why?"));
  input.messages = std::move(messages);
  input.bos_token = "<s>";
  input.eos_token = "</s>";
  return input;
}

std::string render(std::string_view source, const RenderInput& input) {
  const Result<Template> parsed = Template::parse(source);
  if (!parsed.ok()) return parsed.error().to_string();
  const Result<Rendered> r = parsed->render(input);
  return r.ok() ? r->text() : r.error().to_string();
}

std::string bundled(std::string_view name, bool with_system = true) {
  return render(*find_bundled(name), conversation(with_system));
}

TEST(Bundled, NamesAreSortedAndFound) {
  const auto all = bundled_templates();
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end(),
                             [](const auto& a, const auto& b) { return a.name < b.name; }));
  for (const BundledTemplate& t : all) EXPECT_EQ(find_bundled(t.name), t.source);
  EXPECT_EQ(find_bundled("nothing"), std::nullopt);
}

TEST(Bundled, SameAsPublished) {
  const std::pair<const char*, const char*> pairs[] = {
      {"llama3", "Llama-3-8B-Instruct.jinja"},
      {"gemma", "Gemma-3-it.jinja"},
      {"phi3", "microsoft-Phi-3.5-mini-instruct.jinja"},
      {"chatml", "SmolLM2-135M-Instruct.jinja"}};
  for (const auto& [name, file] : pairs) {
    std::ifstream in(std::string(HOLDFAST_SOURCE_DIR "/tests/golden/templates/files/") + file);
    ASSERT_TRUE(in) << file;
    const std::string source(std::istreambuf_iterator<char>(in), {});
    EXPECT_EQ(bundled(name), render(source, conversation(true))) << name;
  }
}

TEST(Bundled, WrittenOut) {
  EXPECT_EQ(
      bundled("llama2"),
      "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHello [/INST] Hi. </s><s>[INST] Why? [/INST]");
  EXPECT_EQ(bundled("mistral"), "<s>[INST] Be brief.\n\nHello[/INST] Hi.</s>[INST] Why?[/INST]");
  EXPECT_EQ(bundled("mistral", false), "<s>[INST] Hello[/INST] Hi.</s>[INST] Why?[/INST]");
  EXPECT_EQ(bundled("zephyr"),
            "<|system|>\nBe "
            "brief.</s>\n<|user|>\nHello</s>\n<|assistant|>\nHi.</s>\n<|user|>\nWhy?</"
            "s>\n<|assistant|>\n");
  EXPECT_EQ(bundled("vicuna"),
            "<s>Be brief.\n\nUSER: Hello\nASSISTANT: Hi.</s>\nUSER: Why?\nASSISTANT:");
  EXPECT_EQ(
      bundled("deepseek"),
      "<s>Be "
      "brief.<｜User｜>Hello<｜Assistant｜>Hi.<｜end▁of▁sentence｜><｜User｜>Why?<｜Assistant｜>");
  EXPECT_EQ(bundled("command-r", false),
            "<s><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hello<|END_OF_TURN_TOKEN|><|START_OF_TURN_"
            "TOKEN|><|CHATBOT_TOKEN|>"
            "Hi.<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Why?<|END_OF_TURN_TOKEN|>"
            "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>");
  EXPECT_EQ(bundled("phi4", false),
            "<|im_start|>user<|im_sep|>Hello<|im_end|><|im_start|>assistant<|im_sep|>Hi.<|im_end|>"
            "<|im_start|>user<|im_sep|>Why?<|im_end|><|im_start|>assistant<|im_sep|>");
  EXPECT_EQ(bundled("alpaca"),
            "Be brief.\n\n### Instruction:\nHello\n\n### Response:\nHi.</s>\n\n### "
            "Instruction:\nWhy?\n\n### Response:\n");
  EXPECT_EQ(bundled("granite", false),
            "<|start_of_role|>user<|end_of_role|>Hello<|end_of_text|>\n<|start_of_role|>assistant<|"
            "end_of_role|>Hi."
            "<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>Why?<|end_of_text|>\n"
            "<|start_of_role|>assistant<|end_of_role|>");
}

TEST(Bundled, UserTextStaysDataInEach) {
  for (const BundledTemplate& t : bundled_templates()) {
    RenderInput input;
    input.messages = json::Array{json::Object{
        {"role", "user"},
        {"content", json::Array{json::Object{{"type", "text"}, {"text", "<|im_end|>"}}}}}};
    const Result<Rendered> r = Template::parse(t.source)->render(input);
    ASSERT_TRUE(r.ok()) << t.name << r.error().to_string();
    EXPECT_TRUE(std::any_of(r->pieces.begin(), r->pieces.end(), [](const Piece& p) {
      return !p.from_template && p.text == "<|im_end|>";
    })) << t.name;
  }
}

TEST(Bundled, EmptyConversationAndForeignParts) {
  for (const BundledTemplate& t : bundled_templates()) {
    RenderInput input;
    input.messages = json::Array{};
    EXPECT_TRUE(Template::parse(t.source)->render(input).ok()) << t.name;
    input.messages = json::Array{json::Object{
        {"role", "user"}, {"content", json::Array{json::Object{{"type", "image_url"}}}}}};
    EXPECT_TRUE(raised_by_template(Template::parse(t.source)->render(input).error())) << t.name;
  }
}

}  // namespace
}  // namespace holdfast::chat
