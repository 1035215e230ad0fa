// Oracle: the definition of byte-pair merging on a vocabulary made by hand, round trips and
// invariants.
#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "holdfast/base/utf8.h"
#include "test_vocabularies.h"

namespace holdfast::tokenizer {
namespace {

std::vector<TokenId> encode(const Tokenizer& t, std::string_view text, EncodeOptions options = {}) {
  const auto ids = t.encode(text, options);
  EXPECT_TRUE(ids.ok());
  return ids.ok() ? *ids : std::vector<TokenId>{};
}

TEST(Encode, MergesBestPairFirst) {
  const auto t = make_tokenizer(small_bpe());
  EXPECT_EQ(encode(*t, "the the"), (std::vector<TokenId>{260, 261}));
  EXPECT_EQ(encode(*t, "aaaaa"), (std::vector<TokenId>{263, 'a'}));
}

TEST(Encode, SpecialTokensOnlyWhereAllowed) {
  const auto t = make_tokenizer(small_bpe());
  EXPECT_EQ(encode(*t, "<|end|>", {.parse_special = true}), (std::vector<TokenId>{257}));
  EXPECT_EQ(encode(*t, "<|end|>").size(), 7u);
  EXPECT_EQ(encode(*t, "<tag>"), (std::vector<TokenId>{258}));
  EXPECT_EQ(encode(*t, "", {.add_special = true}), (std::vector<TokenId>{256}));
}

TEST(EncodePieces, BordersDoNotStopMergingButGuardControlTokens) {
  const auto t = make_tokenizer(small_bpe());
  const TextPiece split[] = {{"<|end|>t", true}, {"he", false}};
  EXPECT_EQ(*t->encode_pieces(split, false), (std::vector<TokenId>{257, 260}));
  // Half of the token's text is the user's: no control token.
  const TextPiece half[] = {{"<|e", true}, {"nd|>", false}};
  EXPECT_EQ(t->encode_pieces(half, false)->size(), 7u);
  const TextPiece joined[] = {{"<|e", true}, {"", false}, {"nd|>", true}};
  EXPECT_EQ(*t->encode_pieces(joined, false), (std::vector<TokenId>{257}));
  const TextPiece user[] = {{"<|bos|>", true}, {"<|end|>", false}, {"<|end|>", true}};
  const auto ids = *t->encode_pieces(user, true);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 257), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 256), 2);
}

TEST(EncodePieces, OnePieceIsEncode) {
  const auto t = open_tokenizer(data_path("spm.gguf"));
  ASSERT_TRUE(t.ok());
  const std::string text = "the <tag><b> cat  sat\n\non <|im_start|>12";
  for (const bool parse : {false, true}) {
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
      const std::string_view view = text;
      const TextPiece pieces[] = {{view.substr(0, cut), parse}, {view.substr(cut), parse}};
      EXPECT_EQ(*(*t)->encode_pieces(pieces, true),
                encode(**t, text, {.add_special = true, .parse_special = parse}));
    }
  }
}

TEST(Encode, FormsThatAreNoCharacterBecomeReplacementCharacters) {
  const auto t = make_tokenizer(small_bpe());
  const auto through = [&](std::string_view text) { return *t->decode(encode(*t, text), {}); };
  EXPECT_EQ(through("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(through("\xF8x\x80"), "\uFFFDx\uFFFD");
  EXPECT_EQ(through("\xE2\x82"), "\uFFFD\uFFFD");
  // Overlong forms and surrogates are taken as they come.
  EXPECT_EQ(through("\xC1\x81"), "A");
  EXPECT_EQ(through("\xED\xA0\x80"), "\xED\xA0\x80");
}

TEST(Decode, IdsOutsideTheVocabularyAreErrors) {
  const auto t = make_tokenizer(small_bpe());
  for (const TokenId id : {-1, 264, 1 << 30, INT32_MIN}) {
    const auto text = t->decode(std::vector<TokenId>{1, id}, {});
    ASSERT_FALSE(text.ok());
    EXPECT_EQ(text.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_EQ(t->token_bytes(id), "");
    EXPECT_FALSE(t->is_control(id));
    EXPECT_FALSE(t->is_end_of_generation(id));
  }
}

TEST(Decode, SpecialTokens) {
  const auto t = make_tokenizer(small_bpe());
  const std::vector<TokenId> ids = {256, 260, 257};
  EXPECT_EQ(*t->decode(ids, {}), "the");
  EXPECT_EQ(*t->decode(ids, {.unparse_special = true}), "<|bos|>the<|end|>");
  EXPECT_EQ(*t->decode(ids, {.remove_special = true, .unparse_special = true}), "the<|end|>");
  EXPECT_TRUE(t->is_end_of_generation(257));
  EXPECT_FALSE(t->is_end_of_generation(256));
}

TEST(FindToken, ByTheVocabularysSpelling) {
  Vocabulary v = small_bpe();
  v.tokens.emplace_back("a b");
  v.types.push_back(TokenType::kControl);
  const auto t = make_tokenizer(v);
  EXPECT_EQ(t->find_token("\u0120the"), 261);
  EXPECT_EQ(t->find_token("<|end|>"), 257);
  EXPECT_EQ(t->find_token("a b"), 264);
  EXPECT_EQ(t->find_token(" the"), std::nullopt);
}

std::string random_text(std::mt19937& random, std::size_t length) {
  static const std::string_view kParts[] = {
      "a",  " ",  "the",         "\n", "\xF0\x9F\x98\x80", "\xC3\xA9", "<tag>", "\xE2\x82\xAC",
      "12", "'s", "\xE4\xB8\xAD"};
  std::string text;
  while (text.size() < length) text += kParts[random() % std::size(kParts)];
  return text;
}

TEST(RoundTrip, EveryValidTextComesBackUnderEveryModel) {
  std::mt19937 random(7);
  const auto bpe = make_tokenizer(small_bpe());
  const auto spm = open_tokenizer(data_path("spm.gguf"));
  ASSERT_TRUE(spm.ok());
  for (int i = 0; i < 200; ++i) {
    const std::string text = random_text(random, random() % 60);
    EXPECT_EQ(*bpe->decode(encode(*bpe, text), {}), text);
    // After a user-defined token SentencePiece puts a space that was not there.
    const bool plain = text.find("<tag>") == std::string::npos &&
                       text.find("  ") == std::string::npos &&
                       text.find("\n\n") == std::string::npos;
    if (!plain) continue;
    EXPECT_EQ(*(*spm)->decode(encode(**spm, text), {}), text);
  }
}

TEST(StreamDecoder, NeverHalfACodePointAndSameTextAsAtOnce) {
  std::mt19937 random(11);
  const auto t = make_tokenizer(small_bpe());
  for (int i = 0; i < 200; ++i) {
    const std::string text = random_text(random, random() % 60);
    StreamDecoder stream(*t);
    std::string all;
    for (const TokenId id : encode(*t, text)) {
      const std::string part = stream.push(id);
      EXPECT_TRUE(is_valid_utf8(part));
      all += part;
    }
    EXPECT_EQ(stream.finish(), "");
    EXPECT_EQ(all, text);
  }
}

TEST(StreamDecoder, BrokenBytesAreHandedOutAsTheyAre) {
  const auto t = make_tokenizer(small_bpe());
  StreamDecoder stream(*t);
  EXPECT_EQ(stream.push(0xE2), "");
  EXPECT_EQ(stream.push(0x82), "");
  EXPECT_EQ(stream.push('x'), "\xE2\x82x");
  EXPECT_EQ(stream.push(257), "");
  EXPECT_EQ(stream.push(99999), "");
  EXPECT_EQ(stream.push(0xF0), "");
  EXPECT_EQ(stream.finish(), "\xF0");
  EXPECT_EQ(stream.finish(), "");
}

TEST(StreamDecoder, DropsThePrefixSpaceOnlyAtTheStartOfAText) {
  const auto t = open_tokenizer(data_path("spm.gguf"));
  ASSERT_TRUE(t.ok());
  const std::vector<TokenId> ids = encode(**t, "the cat");
  for (const bool start : {false, true}) {
    StreamDecoder stream(**t, {.at_text_start = start});
    std::string all;
    for (const TokenId id : ids) all += stream.push(id);
    EXPECT_EQ(all, start ? "the cat" : " the cat");
  }
}

// A megabyte of anything takes well under a second; the bound is wide because test machines are
// shared. What it rules out is quadratic growth, which would take minutes.
TEST(LinearTime, AMegabyteOfEachKind) {
  std::mt19937 random(3);
  std::string noise;
  for (int i = 0; i < 1'000'000; ++i) noise += static_cast<char>(random());
  const std::string texts[] = {std::string(1'000'000, 'a'), std::string(1'000'000, ' '), noise};
  for (const char* vocabulary : {"bpe.gguf", "spm.gguf", "wpm.gguf"}) {
    const std::vector<std::string> rules = std::string_view(vocabulary) == "bpe.gguf"
                                               ? std::vector<std::string>{"llama3", "deepseek-llm"}
                                               : std::vector<std::string>{""};
    for (const std::string& pre : rules) {
      const auto t = open_tokenizer(data_path(vocabulary), pre);
      ASSERT_TRUE(t.ok());
      for (const std::string& text : texts) {
        const auto start = std::chrono::steady_clock::now();
        encode(**t, text, {.parse_special = true});
        EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(8))
            << vocabulary << pre << int(text[0]);
      }
    }
  }
}

TEST(Encode, TooMuchTextIsRefused) {
  const auto t = make_tokenizer(small_bpe());
  const std::string text(kMaxEncodeBytes + 1, 'a');
  EXPECT_EQ(t->encode(text, {}).error().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace holdfast::tokenizer
