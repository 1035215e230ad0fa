// Oracle: Python's jinja2 3.1.6 as transformers sets it up, on published templates
// (tests/golden/templates) and on snippets of the language (data/make_snippets.py).
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "holdfast/chat/template.h"

namespace holdfast::chat {
namespace {

constexpr std::int64_t kClock = 1749988800;  // 2025-06-15 12:00 UTC, as in the vectors

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

const Template& template_of(const std::string& file) {
  static std::map<std::string, Template> cache;
  const auto found = cache.find(file);
  if (found != cache.end()) return found->second;
  Result<Template> parsed =
      Template::parse(read(HOLDFAST_SOURCE_DIR "/tests/golden/templates/files/" + file));
  EXPECT_TRUE(parsed.ok()) << file << ": " << parsed.error().to_string();
  return cache.emplace(file, std::move(parsed).value()).first->second;
}

RenderInput input_of(const json::Value& row) {
  RenderInput input;
  input.messages = *row.find("messages");
  input.tools = *row.find("tools");
  input.add_generation_prompt = row.find("add_generation_prompt")->as_bool();
  input.extra = row.find("extra")->as_object();
  input.now.unix_seconds = kClock;
  return input;
}

TEST(Vectors, PublishedTemplates) {
  std::ifstream in(HOLDFAST_SOURCE_DIR "/tests/golden/templates/vectors.jsonl");
  ASSERT_TRUE(in);
  int rows = 0;
  for (std::string line; std::getline(in, line); ++rows) {
    const Result<json::Value> row = json::parse(line);
    ASSERT_TRUE(row.ok()) << row.error().to_string();
    const std::string& id = row->find("id")->as_string();
    const Result<Rendered> rendered =
        template_of(row->find("template_file")->as_string()).render(input_of(*row));
    if (const json::Value* expected = row->find("expected")) {
      ASSERT_TRUE(rendered.ok()) << id << ": " << rendered.error().to_string();
      EXPECT_EQ(rendered->text(), expected->as_string()) << id;
    } else {
      EXPECT_FALSE(rendered.ok()) << id;
    }
  }
  EXPECT_GT(rows, 600);
}

TEST(Vectors, Snippets) {
  std::ifstream in(HOLDFAST_SOURCE_DIR "/src/engine/chat/tests/data/snippets.jsonl");
  std::string line;
  ASSERT_TRUE(std::getline(in, line));
  RenderInput input;
  input.extra = json::parse(line).value().as_object();
  input.now.unix_seconds = kClock;
  int rows = 0;
  for (; std::getline(in, line); ++rows) {
    const json::Value row = json::parse(line).value();
    const std::string& source = row.find("t")->as_string();
    const Result<Template> parsed = Template::parse(source);
    const Result<Rendered> rendered =
        parsed.ok() ? parsed->render(input) : Result<Rendered>(Error(parsed.error()));
    if (const json::Value* expected = row.find("e")) {
      ASSERT_TRUE(rendered.ok()) << source << ": " << rendered.error().to_string();
      EXPECT_EQ(rendered->text(), expected->as_string()) << source;
    } else {
      EXPECT_FALSE(rendered.ok()) << source << ": " << rendered->text();
    }
  }
  EXPECT_GT(rows, 1000);
}

}  // namespace
}  // namespace holdfast::chat
