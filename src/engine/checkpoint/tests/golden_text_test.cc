// Oracle: ids of the `tokenizers` library for the folders of tests/golden/hf.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "holdfast/checkpoint/checkpoint.h"
#include "holdfast/json/json.h"
#include "holdfast/platform/file.h"
#include "holdfast/tokenizer/tokenizer.h"

namespace holdfast::checkpoint {
namespace {

std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::unique_ptr<tokenizer::Tokenizer> tokenizer_of(const std::filesystem::path& folder) {
  std::vector<std::unique_ptr<platform::MemorySource>> sources;
  std::vector<SourceFile> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (!is_checkpoint_file(name)) continue;
    const std::string text = text_of(entry.path());
    const ByteView view = as_bytes_view(text);
    sources.push_back(std::make_unique<platform::MemorySource>(Bytes(view.begin(), view.end())));
    files.push_back({name, sources.back().get()});
  }
  const auto checkpoint = open(files);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  const auto v = vocabulary(*checkpoint);
  EXPECT_TRUE(v.ok()) << v.error().to_string();
  auto loaded = tokenizer::Tokenizer::load_owned(*tokenizer::serialize(*v));
  EXPECT_TRUE(loaded.ok());
  return *std::move(loaded);
}

void expect_ids(const tokenizer::Tokenizer& tokenizer, const json::Value& row, bool special) {
  const std::string& text = row.find("text")->as_string();
  std::vector<tokenizer::TokenId> wanted;
  for (const json::Value& id : row.find(special ? "ids" : "plain")->as_array()) {
    wanted.push_back(static_cast<tokenizer::TokenId>(id.as_int()));
  }
  const auto ids = tokenizer.encode(text, {.add_special = special, .parse_special = true});
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ(*ids, wanted) << text;
}

TEST(GoldenText, IsCutAsTokenizersDoes) {
  std::size_t compared = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(HOLDFAST_SOURCE_DIR "/tests/golden/hf")) {
    if (!std::filesystem::exists(entry.path() / "expected.json")) continue;
    SCOPED_TRACE(entry.path().filename());
    const auto tokenizer = tokenizer_of(entry.path());
    const auto expected = json::parse(text_of(entry.path() / "expected.json"));
    ASSERT_TRUE(expected.ok());
    for (const json::Value& row : expected->find("texts")->as_array()) {
      expect_ids(*tokenizer, row, true);
      expect_ids(*tokenizer, row, false);
      ++compared;
    }
  }
  EXPECT_GE(compared, 100u);
}

}  // namespace
}  // namespace holdfast::checkpoint
