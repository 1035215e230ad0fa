// Oracle: llama.cpp's tokenizer. data/rows.jsonl (small vocabularies, every pre-tokenizer name),
// and the rows of tests/golden for the two real models and of the full golden set, where those
// files are at hand.
#include <gtest/gtest.h>

#include "holdfast/json/json.h"
#include "test_vocabularies.h"

namespace holdfast::tokenizer {
namespace {

using json::Value;

std::string bytes_of(const Value& base64) {
  const Result<Bytes> bytes = from_base64(base64.as_string());
  EXPECT_TRUE(bytes.ok());
  return std::string(as_string_view(*bytes));
}

std::vector<TokenId> ids_of(const Value& array) {
  std::vector<TokenId> ids;
  for (const Value& v : array.as_array()) ids.push_back(static_cast<TokenId>(v.as_int()));
  return ids;
}

std::vector<Value> read_lines(const std::string& path) {
  std::vector<Value> rows;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    Result<Value> row = json::parse(line);
    EXPECT_TRUE(row.ok()) << path << ": " << (row.ok() ? "" : row.error().to_string());
    if (row.ok()) rows.push_back(std::move(row).value());
  }
  return rows;
}

void check_row(const Tokenizer& t, const Value& row, const std::vector<std::string>& texts,
               const std::string& what) {
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto at = what + ", text " + std::to_string(i);
    EXPECT_EQ(*t.encode(texts[i], {}), ids_of(row.find("plain")->as_array()[i])) << at;
    EXPECT_EQ(*t.encode(texts[i], {.add_special = true, .parse_special = true}),
              ids_of(row.find("special")->as_array()[i]))
        << at << ", with special tokens";
  }
  for (const Value& d : row.find("decode")->as_array()) {
    const json::Array& a = d.as_array();
    const DecodeOptions options{.remove_special = a[1].as_int() != 0,
                                .unparse_special = a[2].as_int() != 0};
    EXPECT_EQ(*t.decode(ids_of(a[0]), options), bytes_of(a[3])) << what << ", decoding";
  }
  const auto ends = t.end_of_generation_ids();
  EXPECT_EQ(std::vector<TokenId>(ends.begin(), ends.end()), ids_of(*row.find("end_of_generation")))
      << what;
}

TEST(Rows, SmallVocabulariesUnderEveryPreTokenizer) {
  const std::vector<Value> rows = read_lines(data_path("rows.jsonl"));
  ASSERT_GT(rows.size(), 80u);
  std::vector<std::string> texts;
  for (const Value& text : rows[0].find("texts")->as_array()) texts.push_back(bytes_of(text));
  ASSERT_GT(texts.size(), 100u);
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const std::string vocabulary = rows[i].find("vocabulary")->as_string();
    const Value* pre = rows[i].find("pre");
    const std::string name = pre == nullptr ? "" : pre->as_string();
    const auto tokenizer = open_tokenizer(data_path(vocabulary + ".gguf"), name);
    ASSERT_TRUE(tokenizer.ok()) << name << tokenizer.error().to_string();
    const Value* row = &rows[i];
    if (const Value* same = rows[i].find("same_as")) {
      for (const Value& other : rows) {
        const Value* its = other.find("pre");
        if (its != nullptr && its->as_string() == same->as_string()) row = &other;
      }
    }
    check_row(**tokenizer, *row, texts, vocabulary + " " + name);
  }
}

// One file of the golden set and one of its vocabularies.
void check_golden(const std::string& rows, const std::string& vocabulary) {
  const auto tokenizer = open_tokenizer(vocabulary);
  ASSERT_TRUE(tokenizer.ok()) << vocabulary << ": " << tokenizer.error().to_string();
  const Tokenizer& t = **tokenizer;
  std::size_t count = 0;
  for (const Value& row : read_lines(rows + ".jsonl")) {
    const Value* raw = row.find("text_b64");
    const std::string text = raw != nullptr ? bytes_of(*raw) : row.find("text")->as_string();
    const auto ids = t.encode(text, {.add_special = row.find("add_special")->as_bool(),
                                     .parse_special = row.find("parse_special")->as_bool()});
    ASSERT_TRUE(ids.ok());
    ++count;
    if (row.find("ids")->is_null()) continue;
    EXPECT_EQ(*ids, ids_of(*row.find("ids"))) << rows << ": " << text;
  }
  for (const Value& row : read_lines(rows + ".detok.jsonl")) {
    const std::vector<TokenId> ids = ids_of(*row.find("ids"));
    const bool unparse = row.find("unparse_special")->as_bool();
    const DecodeOptions options{.remove_special = row.find("remove_special")->as_bool(),
                                .unparse_special = unparse};
    EXPECT_EQ(*t.decode(ids, options), bytes_of(*row.find("text_b64"))) << rows;
    ++count;
    const Value* pieces = row.find("pieces_b64");
    for (std::size_t i = 0; pieces != nullptr && i < ids.size(); ++i) {
      const std::string_view piece = unparse || !t.is_control(ids[i]) ? t.token_bytes(ids[i]) : "";
      EXPECT_EQ(piece, bytes_of(pieces->as_array()[i])) << rows << ": token " << ids[i];
    }
  }
  EXPECT_GT(count, 100u) << rows;
}

void check_real_model(const char* variable, const std::string& name) {
  const char* path = std::getenv(variable);
  if (path == nullptr || !std::filesystem::exists(path)) {
    GTEST_SKIP() << variable << " names no model file (./test sets it)";
  }
  check_golden(std::string(HOLDFAST_SOURCE_DIR) + "/tests/golden/tokenizers/" + name, path);
}

TEST(Golden, SmolLm2) { check_real_model("HOLDFAST_SMOLLM2", "smollm2"); }
TEST(Golden, Gemma3) { check_real_model("HOLDFAST_GEMMA3", "gemma3"); }

TEST(Golden, FullSet) {
  const char* variable = std::getenv("HOLDFAST_GOLDEN_DIR");
  const std::string golden =
      variable != nullptr ? variable : std::string(HOLDFAST_SOURCE_DIR) + "/../shared/golden";
  const std::string folder = golden + "/tokenizers/";
  if (!std::filesystem::exists(folder + "vocab"))
    GTEST_SKIP() << "no full golden set in " << golden;
  for (const char* name :
       {"bert-bge", "deepseek-coder", "gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2"}) {
    check_golden(folder + name, folder + "vocab/ggml-vocab-" + name + ".gguf");
  }
}

}  // namespace
}  // namespace holdfast::tokenizer
