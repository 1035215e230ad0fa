// Oracle: the regular expressions, worked by hand on short texts; rows_test.cc has the broad
// comparison.
#include "pre_tokenizer.h"

#include <gtest/gtest.h>

#include <string>

#include "holdfast/base/utf8.h"

namespace holdfast::tokenizer {
namespace {

std::string words(std::string_view pre, std::string_view text) {
  CodePoints points;
  points.chars = decode_lenient(text);
  for (const char32_t c : points.chars) points.groups.push_back(group_of(c));
  std::string out;
  std::size_t begin = 0;
  for (const std::uint32_t end : split_words(points, find_pre_tokenizer(pre)->rule)) {
    if (begin != 0) out += '_';
    for (; begin < end; ++begin) append_utf8(out, points.chars[begin]);
  }
  EXPECT_EQ(begin, points.chars.size());
  return out;
}

TEST(PreTokenizer, Gpt2) {
  EXPECT_EQ(words("gpt-2", "it's IT'S a1b  c"), "it_'s_ IT_'_S_ a_1_b_ _ c");
  EXPECT_EQ(words("gpt-2", "\n\n x?! "), "\n\n_ x_?!_ ");
}

TEST(PreTokenizer, Llama3) {
  EXPECT_EQ(words("llama3", "I'LL 12345 (ok)\n\n x"), "I_'LL_ _123_45_ (_ok_)\n\n_ x");
  EXPECT_EQ(words("llama3", "a   b \n c"), "a_  _ b_ \n_ c");
}

TEST(PreTokenizer, NumbersByRule) {
  EXPECT_EQ(words("qwen2", "x 1234"), "x_ _1_2_3_4");
  EXPECT_EQ(words("smollm", "x 1234"), "x_ _1_2_3_4");
  EXPECT_EQ(words("gpt-2", "x 1234"), "x_ 1234");
  EXPECT_EQ(words("falcon", "x 1234"), "x_ _123_4");
  EXPECT_EQ(words("deepseek-v3", "x 1234"), "x_ _123_4");
  EXPECT_EQ(words("tiny_aya", "1234"), "1_234");
}

TEST(PreTokenizer, MarksJoinLettersOnlyInNewerRules) {
  EXPECT_EQ(words("qwen2", "e\u0301a"), "e_\u0301a");
  EXPECT_EQ(words("qwen35", "e\u0301a"), "e\u0301a");
}

TEST(PreTokenizer, CasedWordsGiveBackCharacters) {
  EXPECT_EQ(words("tekken", "HTTPServer"), "HTTPServer");
  EXPECT_EQ(words("tekken", "fooBAR"), "foo_BAR");
  // U+00C9 counts as either case: the word ends after the last such letter.
  EXPECT_EQ(words("tekken", "A\u00C9BC"), "A\u00C9_BC");
  EXPECT_EQ(words("gpt-4o", "DON'T a/b//\n"), "DON'T_ a_/b_//\n");
}

TEST(PreTokenizer, Bloom) { EXPECT_EQ(words("bloom", "a-b, c(d) e"), "a-b_,_ c_(_d_)_ e"); }

TEST(PreTokenizer, DeepseekCoder) {
  EXPECT_EQ(words("deepseek-coder", "a,\nb 12"), "a_,_\n_b_ _1_2");
}

TEST(PreTokenizer, UnknownNamesAreUnknown) {
  EXPECT_EQ(find_pre_tokenizer("llama"), nullptr);
  EXPECT_EQ(find_pre_tokenizer(""), nullptr);
}

}  // namespace
}  // namespace holdfast::tokenizer
