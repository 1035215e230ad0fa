// Oracles: ids worked out by hand from the definition of merging, the definition of a SentencePiece
// merge list (every way to put a token together, best score first), and a table in which each row
// changes one field and says how it is refused (R-03). Against the `tokenizers` library:
// tests/e2e/safetensors_test.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "holdfast/tokenizer/tokenizer.h"
#include "merge_scores.h"
#include "tiny_folder.h"
#include "tokenizer_parts.h"

namespace holdfast::checkpoint {
namespace {

using testing::at_path;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TinyFolder;

constexpr ErrorCode kBad = ErrorCode::kCorrupt;
constexpr ErrorCode kNo = ErrorCode::kUnsupported;

struct Mutation {
  std::string_view path;   // of tokenizer.json; "+" in front: a member is added to its object
  std::string_view value;  // JSON; empty: the member is removed
  ErrorCode code;
  std::string_view message;
};

const Mutation kMutations[] = {
    {"model", "null", kBad, "no model"},
    {"model", "[]", kBad, "no model"},
    {"model/type", "\"WordPiece\"", kNo, "tokenizer model \"WordPiece\""},
    {"model/type", "\"Unigram\"", kNo, "\"Unigram\""},
    {"model/type", "\"WordLevel\"", kNo, "\"WordLevel\""},
    {"model/type", "1", kBad, "type must be a text"},
    {"model/dropout", "0.1", kNo, "dropout"},
    {"model/dropout", "\"0\"", kBad, "dropout"},
    {"model/continuing_subword_prefix", "\"##\"", kNo, "continuing_subword_prefix"},
    {"model/end_of_word_suffix", "\"</w>\"", kNo, "end_of_word_suffix"},
    {"model/ignore_merges", "1", kBad, "ignore_merges must be true or false"},
    {"model/byte_fallback", "\"no\"", kBad, "byte_fallback"},
    {"model/vocab", "{}", kBad, "vocabulary is empty"},
    {"model/vocab", "[]", kBad, "vocabulary is empty"},
    {"model/vocab", "null", kBad, "vocabulary is empty"},
    {"model/vocab", "[\"a\"]", kBad, "id of token"},
    {"model/vocab/a", "-1", kBad, "id of token \"a\""},
    {"model/vocab/a", "0.5", kBad, "id of token \"a\""},
    {"model/vocab/a", "\"0\"", kBad, "id of token \"a\""},
    {"model/vocab/a", "null", kBad, "id of token \"a\""},
    {"model/vocab/a", "1048576", kBad, "id of token \"a\""},
    {"model/vocab/a", "4294967296", kBad, "id of token \"a\""},
    {"model/vocab/a", "18446744073709551615", kBad, "id of token \"a\""},
    {"model/vocab/a", "8", kBad, "9 tokens, the embedding 8 rows"},
    {"model/vocab/a", "1000000", kBad, "1000001 tokens"},
    {"model/vocab/a", "1", kBad, "have one id"},
    {"model/vocab/a", "6", kBad, "have one id"},
    {"model/merges", "null", kBad, ""},  // fine without: nothing merges
    {"model/merges", "[1]", kBad, "merge 0 is no pair"},
    {"model/merges", "[\"a\"]", kBad, "merge 0 is no pair"},
    {"model/merges", "[\"a b c\"]", kBad, "merge 0 is no pair"},
    {"model/merges", "[\" b\"]", kBad, "merge 0 has no two sides"},
    {"model/merges", "[[\"a\"]]", kBad, "merge 0 is no pair"},
    {"model/merges", "[[\"a\",\"b\",\"c\"]]", kBad, "merge 0 is no pair"},
    {"model/merges", "[[\"a\",1]]", kBad, "merge 0 is no pair"},
    {"model/merges", "[[\"\",\"b\"]]", kBad, "merge 0 has no two sides"},
    {"model/merges", "[[\"a b\",\"c\"]]", kBad, "merge 0 holds a space"},
    {"added_tokens", "{}", kBad, ""},  // fine without
    {"added_tokens", "[1]", kBad, "added token 0 has no content"},
    {"added_tokens", "[{}]", kBad, "added token 0 has no content"},
    {"added_tokens/0/id", "", kBad, "no id"},
    {"added_tokens/0/id", "-1", kBad, "id of token \"<|end|>\""},
    {"added_tokens/0/id", "1048576", kBad, "id of token \"<|end|>\""},
    {"added_tokens/0/id", "\"6\"", kBad, "id of token"},
    {"added_tokens/0/id", "0", kBad, "have one id"},
    {"added_tokens/0/content", "\"\"", kBad, "no content"},
    {"added_tokens/0/content", "null", kBad, "no content"},
    {"added_tokens/0/content", "\"a\"", kBad, "\"a\" is there twice"},
    {"added_tokens/0/single_word", "true", kNo, "only as a whole word"},
    {"added_tokens/0/single_word", "1", kBad, "single_word must be"},
    {"added_tokens/0/special", "\"yes\"", kBad, "special must be"},
    {"added_tokens/0/lstrip", "0", kBad, "lstrip"},
    {"added_tokens/0/rstrip", "0", kBad, "rstrip"},
    {"normalizer", R"({"type":"NFKC"})", kNo, "normalizer in tokenizer.json: \"NFKC\""},
    {"normalizer", R"({"type":"Lowercase"})", kNo, "\"Lowercase\""},
    {"normalizer", R"({"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Strip"}]})", kNo,
     "\"Strip\""},
    {"normalizer", R"({"type":"Sequence"})", kBad, "normalizers"},
    {"normalizer", "7", kNo, "of no type"},
    {"pre_tokenizer", "null", kNo, "neither byte-level nor"},
    {"pre_tokenizer", R"({"type":"Whitespace"})", kNo, "neither byte-level nor"},
    {"pre_tokenizer/add_prefix_space", "true", kNo, "adds a space in front"},
    {"pre_tokenizer/add_prefix_space", "", kNo, "adds a space in front"},
    {"pre_tokenizer/use_regex", "false", kNo, "pre_tokenizer"},
    {"pre_tokenizer", R"({"type":"Sequence","pretokenizers":[]})", kNo, "neither byte-level"},
    {"pre_tokenizer", R"({"type":"Sequence","pretokenizers":3})", kBad, "pretokenizers"},
    {"pre_tokenizer",
     R"({"type":"Sequence","pretokenizers":[{"type":"ByteLevel","add_prefix_space":false},{"type":"Digits"}]})",
     kNo, "\"Digits\""},
    {"pre_tokenizer",
     R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":false},{"type":"ByteLevel","add_prefix_space":false}]})",
     kNo, "\"Digits\""},
    {"pre_tokenizer",
     R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(a+)+$"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})",
     kNo, "the expression \"(a+)+$\""},
    {"pre_tokenizer",
     R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},"behavior":"Removed","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})",
     kNo, "the expression"},
    {"post_processor", R"({"type":"BertProcessing"})", kNo, "\"BertProcessing\""},
    {"post_processor", R"({"type":"TemplateProcessing"})", kNo, "\"TemplateProcessing\""},
    {"post_processor", R"({"type":"TemplateProcessing","single":[]})", kNo, "TemplateProcessing"},
    {"post_processor",
     R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}]})",
     kBad, "adds \"<s>\", which is no token"},
    {"post_processor",
     R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|end|>"}},{"SpecialToken":{"id":"<|end|>"}},{"Sequence":{"id":"A"}}]})",
     kNo, "TemplateProcessing"},
    {"decoder", R"({"type":"WordPiece"})", kNo, "decoder in tokenizer.json: \"WordPiece\""},
};

Status accept(TinyFolder& folder) {
  HF_TRY_ASSIGN(const Checkpoint checkpoint, folder.open());
  return vocabulary(checkpoint).ok() ? ok_status() : Status(vocabulary(checkpoint).error());
}

void change(TinyFolder& folder, std::string_view path, std::string_view value) {
  json::Value root(folder.tokenizer());
  const std::size_t cut = path.rfind('/');
  const std::string member(path.substr(cut == std::string_view::npos ? 0 : cut + 1));
  json::Value* parent = cut == std::string_view::npos ? &root : at_path(root, path.substr(0, cut));
  ASSERT_NE(parent, nullptr) << path;
  if (value.empty()) {
    parent->as_object().erase(member);
  } else {
    auto parsed = json::parse(value);
    ASSERT_TRUE(parsed.ok()) << value;
    parent->as_object().set(member, *std::move(parsed));
  }
  folder.tokenizer() = root.as_object();
}

TEST(TokenizerJson, RefusesEachChangedField) {
  static_assert(std::size(kMutations) >= 70);
  for (const Mutation& m : kMutations) {
    SCOPED_TRACE(std::string(m.path) + " = " + std::string(m.value));
    TinyFolder folder;
    change(folder, m.path, m.value);
    if (m.path == "added_tokens" && m.message.empty()) {
      folder.config().erase("bos_token_id");
    }
    const Status status = accept(folder);
    if (m.message.empty()) {
      EXPECT_TRUE(status.ok()) << status.error().to_string();
      continue;
    }
    if (status.ok()) {
      ADD_FAILURE() << "accepted";
      continue;
    }
    EXPECT_EQ(error_code_name(status.error().code()), error_code_name(m.code))
        << status.error().to_string();
    EXPECT_THAT(status.error().client_message(), HasSubstr(std::string(m.message)));
  }
}

TEST(TokenizerJson, RefusesTextsThatAreTooLongOrThereTwice) {
  TinyFolder folder;
  folder.set_file(
      "tokenizer.json",
      R"({"model":{"vocab":{"a":0,"a":1}},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}})");
  EXPECT_THAT(accept(folder).error().client_message(), HasSubstr("\"a\" is there twice"));
  const auto with = [](std::size_t bytes) {
    TinyFolder f;
    json::Value root(f.tokenizer());
    at_path(root, "model/vocab")->as_object().set(std::string(bytes, 'x'), 7);
    f.tokenizer() = root.as_object();
    return accept(f);
  };
  EXPECT_TRUE(with(4096).ok());
  EXPECT_THAT(with(4097).error().client_message(), HasSubstr("more than 4096 bytes"));
}

std::vector<tokenizer::TokenId> ids_of(TinyFolder& folder, std::string_view text) {
  const auto checkpoint = folder.open();
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  const auto v = vocabulary(*checkpoint);
  EXPECT_TRUE(v.ok()) << v.error().to_string();
  const auto object = tokenizer::serialize(*v);
  EXPECT_TRUE(object.ok());
  const auto loaded = tokenizer::Tokenizer::load_owned(*object);
  EXPECT_TRUE(loaded.ok());
  return *(*loaded)->encode(text, {.add_special = true, .parse_special = true});
}

TEST(TokenizerJson, MergesByteLevelTokens) {
  TinyFolder folder;
  EXPECT_THAT(ids_of(folder, "abc"), ElementsAre(4));
  EXPECT_THAT(ids_of(folder, "cab a"), ElementsAre(2, 3, 5, 0));
  EXPECT_THAT(ids_of(folder, "ab<|end|>c"), ElementsAre(3, 6, 2));
  // A word that is a token as a whole is not merged, where the model says so.
  change(folder, "model/merges", "[]");
  EXPECT_THAT(ids_of(folder, "abc"), ElementsAre(0, 1, 2));
  change(folder, "model/ignore_merges", "true");
  EXPECT_THAT(ids_of(folder, "abc"), ElementsAre(4));
}

TEST(TokenizerJson, KeepsWhatGgufCannotSay) {
  TinyFolder folder;
  change(folder, "added_tokens/0/rstrip", "true");
  change(
      folder, "post_processor",
      R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|end|>"}},{"Sequence":{"id":"A"}}]})");
  folder.set_file("generation_config.json", R"({"eos_token_id":[6,4]})");
  EXPECT_THAT(ids_of(folder, "a<|end|>  b"), ElementsAre(6, 0, 6, 1));
  const auto checkpoint = folder.open();
  const auto v = vocabulary(*checkpoint);
  EXPECT_THAT(v->end_of_generation, ElementsAre(4, 6));
  EXPECT_EQ(v->special.bos, 6);
  // Filled up to the rows of the embedding.
  ASSERT_EQ(v->tokens.size(), 8u);
  EXPECT_EQ(v->tokens[7], "[PAD7]");
}

TEST(TokenizerJson, FindsTheChatTemplate) {
  const auto text = [](TinyFolder& folder) {
    const auto checkpoint = folder.open();
    EXPECT_TRUE(checkpoint.ok());
    return std::string(
        checkpoint->file.metadata.find_string("tokenizer.chat_template")->value_or("none"));
  };
  TinyFolder folder;
  EXPECT_EQ(text(folder), "none");
  folder.set_file("tokenizer_config.json", R"({"chat_template":"one"})");
  EXPECT_EQ(text(folder), "one");
  folder.set_file(
      "tokenizer_config.json",
      R"({"chat_template":[{"name":"tool","template":"x"},{"name":"default","template":"two"}]})");
  EXPECT_EQ(text(folder), "two");
  folder.set_file("chat_template.jinja", "three");
  EXPECT_EQ(text(folder), "three");
  TinyFolder wrong;
  wrong.set_file("tokenizer_config.json", R"({"chat_template":[{"name":"tool","template":"x"}]})");
  EXPECT_EQ(wrong.open().error().code(), ErrorCode::kCorrupt);
  TinyFolder long_one;
  long_one.set_file("chat_template.jinja", std::string((1u << 20) + 1, 'x'));
  EXPECT_EQ(long_one.open().error().code(), ErrorCode::kCorrupt);
}

Merges merges_of(const std::vector<std::pair<std::string, std::string>>& pairs) {
  Merges merges;
  for (const auto& [left, right] : pairs) {
    EXPECT_TRUE(merges.joined.push_back(left + right).ok());
    merges.left_bytes.push_back(static_cast<std::uint16_t>(left.size()));
  }
  return merges;
}

TEST(MergeScores, ArePlacesOfTheFirstPair) {
  const std::vector<std::string_view> texts = {"a", "b", "c", "abc", "ab", "bc"};
  const std::vector<bool> apart(6);
  const auto scores =
      scores_of_merges(merges_of({{"b", "c"}, {"a", "bc"}, {"ab", "c"}, {"a", "b"}}), texts, apart);
  ASSERT_TRUE(scores.ok()) << scores.error().to_string();
  EXPECT_EQ((*scores)[5], 0);
  EXPECT_EQ((*scores)[3], -1);
  EXPECT_EQ((*scores)[4], -3);
  EXPECT_LT((*scores)[0], -1e6F);
}

TEST(MergeScores, RefuseListsThatMergeOtherwise) {
  const std::vector<std::string_view> texts = {"a", "b", "c", "abc", "ab", "bc"};
  const std::vector<bool> apart(6);
  const auto code = [&](const std::vector<std::pair<std::string, std::string>>& pairs) {
    const auto scores = scores_of_merges(merges_of(pairs), texts, apart);
    EXPECT_FALSE(scores.ok());
    return scores.ok() ? ErrorCode::kInternal : scores.error().code();
  };
  // A way to make "abc" is missing; pairs of one token in two places; a pair twice; no tokens.
  EXPECT_EQ(code({{"b", "c"}, {"a", "bc"}, {"a", "b"}}), kNo);
  EXPECT_EQ(code({{"a", "bc"}, {"b", "c"}, {"ab", "c"}, {"a", "b"}}), kNo);
  EXPECT_EQ(code({{"b", "c"}, {"a", "bc"}, {"a", "bc"}, {"a", "b"}}), kBad);
  EXPECT_EQ(code({{"b", "c"}, {"a", "bc"}, {"ab", "c"}, {"a", "b"}, {"c", "a"}}), kBad);
  EXPECT_EQ(code({{"b", "c"}, {"a", "bc"}, {"ab", "c"}}), kNo);
  // Tokens of a length that only takes time.
  std::vector<std::string> long_texts;
  for (int i = 0; i < 64; ++i) long_texts.push_back(std::string(4000, 'x') + std::to_string(i));
  std::vector<std::string_view> views(long_texts.begin(), long_texts.end());
  EXPECT_EQ(scores_of_merges({}, views, std::vector<bool>(64)).error().code(), kNo);
}

// Gemma's form: no space in front, byte tokens, added tokens that never merge.
TEST(TokenizerJson, ReadsSentencePieceForms) {
  TinyFolder folder;
  folder.config().set("vocab_size", 8);
  folder.config().erase("bos_token_id");
  folder.config().set("eos_token_id", 0);
  const std::string_view kParts[] = {
      R"("normalizer":{"type":"Replace","pattern":{"String":" "},"content":"\u2581"},
         "pre_tokenizer":{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious","invert":false})",
      R"("normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"\u2581"},
         {"type":"Replace","pattern":{"String":" "},"content":"\u2581"}]},"pre_tokenizer":null)",
      R"("normalizer":null,"pre_tokenizer":{"type":"Metaspace","replacement":"\u2581","prepend_scheme":"always","split":false})"};
  const auto with = [&](std::string_view parts) {
    folder.set_file("tokenizer.json",
                    "{" + std::string(parts) + R"(,"post_processor":null,"decoder":null,
      "added_tokens":[{"id":0,"content":"<unk>","special":true}],
      "model":{"type":"BPE","unk_token":"<unk>","byte_fallback":true,
      "vocab":{"<unk>":0,"<0x21>":1,"\u2581":2,"a":3,"b":4,"\u2581a":5,"ab":6},
      "merges":["\u2581 a","a b"]}})");
  };
  with(kParts[0]);
  EXPECT_THAT(ids_of(folder, "ab a!"), ElementsAre(6, 5, 1));
  with(kParts[1]);
  EXPECT_THAT(ids_of(folder, "ab a!"), ElementsAre(5, 4, 5, 1));
  with(kParts[2]);
  EXPECT_THAT(ids_of(folder, "ab a!"), ElementsAre(5, 4, 5, 1));
  with(R"("normalizer":null,"pre_tokenizer":null)");
  EXPECT_THAT(accept(folder).error().client_message(), HasSubstr("keeps spaces"));
  with(R"("normalizer":{"type":"Lowercase"},"pre_tokenizer":null)");
  EXPECT_EQ(accept(folder).error().code(), kNo);
  with(R"("normalizer":null,"pre_tokenizer":{"type":"Metaspace","replacement":"_","split":false})");
  EXPECT_EQ(accept(folder).error().code(), kNo);
  with(R"("normalizer":null,"pre_tokenizer":{"type":"Metaspace","replacement":"\u2581"})");
  EXPECT_EQ(accept(folder).error().code(), kNo);
}

// Spellings of byte tokens that once went through a parser of numbers (R-03).
TEST(TokenizerJson, TakesOnlyTwoUpperCaseDigitsForAByte) {
  for (const std::string_view name : {"<0x-1>", "<0x>", "<0x1>", "<0x100>", "<0xGG>", "<0xff>",
                                      "<0X41>", "<0x 1>", "<0x+1>", "<0x41", "<0xFFFFFFFFF>"}) {
    TinyFolder folder;
    folder.config().erase("bos_token_id");
    folder.config().set("eos_token_id", 0);
    folder.set_file("tokenizer.json",
                    R"({"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"\u2581"},
      "model":{"type":"BPE","byte_fallback":true,"vocab":{"a":0,")" +
                        std::string(name) + R"(":1},"merges":[]}})");
    const auto checkpoint = folder.open();
    ASSERT_TRUE(checkpoint.ok()) << name << checkpoint.error().to_string();
    const auto types = checkpoint->file.metadata.get_i32_array("tokenizer.ggml.token_type");
    EXPECT_EQ((*types)[1], 1) << name;  // an ordinary token
    EXPECT_TRUE(vocabulary(*checkpoint).ok()) << name;
  }
}

}  // namespace
}  // namespace holdfast::checkpoint
