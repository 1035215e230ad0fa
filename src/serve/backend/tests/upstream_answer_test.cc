// The reader of upstream event streams. The oracle is text written by hand after the published
// formats of the OpenAI API, vLLM and llama-server.
#include "holdfast/backend/upstream_answer.h"

#include <gtest/gtest.h>

namespace holdfast::backend {
namespace {

std::string event(std::string_view json) { return "data: " + std::string(json) + "\n\n"; }

std::string chat(std::string_view text) {
  return event(R"({"choices":[{"index":0,"delta":{"content":")" + std::string(text) +
               R"("},"finish_reason":null}]})");
}

const std::string kStop = event(R"({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})");

std::string text_of(const Result<std::vector<AnswerPiece>>& pieces) {
  std::string out;
  if (pieces.ok()) {
    for (const AnswerPiece& piece : *pieces) out += piece.text;
  }
  return out;
}

TEST(UpstreamAnswerTest, AWholeChatIsRead) {
  const std::string stream =
      ": hello\n\n" + chat("") + chat("Hel") + chat("lo") + kStop +
      event(R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,
"prompt_tokens_details":{"cached_tokens":5},"completion_tokens_details":{"reasoning_tokens":1}}})") +
      "data: [DONE]\n\n";
  std::string one_line = stream;
  one_line.erase(one_line.find("2,\n") + 2, 1);
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, one_line.size()}) {
    UpstreamAnswer answer;
    std::string text;
    for (std::size_t at = 0; at < one_line.size(); at += step) {
      const auto pieces = answer.feed(std::string_view(one_line).substr(at, step));
      ASSERT_TRUE(pieces.ok()) << pieces.error().to_string();
      text += text_of(pieces);
    }
    EXPECT_EQ(text, "Hello");
    EXPECT_TRUE(answer.done());
    EXPECT_EQ(answer.finish(), FinishReason::kStop);
    EXPECT_EQ(answer.usage()->prompt_tokens, 7u);
    EXPECT_EQ(answer.usage()->cached_tokens, 5u);
    EXPECT_EQ(answer.usage()->reasoning_tokens, 1u);
  }
}

TEST(UpstreamAnswerTest, FinishReasonsAreMapped) {
  for (const auto& [theirs, ours] : {std::pair{"stop", FinishReason::kStop},
                                     {"length", FinishReason::kLength},
                                     {"content_filter", FinishReason::kPolicy},
                                     {"tool_calls", FinishReason::kStop}}) {
    UpstreamAnswer answer;
    ASSERT_TRUE(answer
                    .feed(event(R"({"choices":[{"text":"x","finish_reason":")" +
                                std::string(theirs) + "\"}]}"))
                    .ok());
    EXPECT_EQ(answer.finish(), ours);
  }
}

TEST(UpstreamAnswerTest, LogProbabilitiesOfBothShapes) {
  UpstreamAnswer answer;
  auto pieces = answer.feed(event(
      R"({"choices":[{"delta":{"content":"é"},"logprobs":{"content":[{"id":9,"token":"\u00e9",
"bytes":[195,169],"logprob":-0.25,"top_logprobs":[{"token":"a","logprob":-1.5}]}]}}]})"));
  ASSERT_FALSE(pieces.ok());  // a line that is no field: the JSON may not be broken over lines
  UpstreamAnswer again;
  pieces = again.feed(event(
      R"({"choices":[{"delta":{"content":"é"},"logprobs":{"content":[{"id":9,"token":"é",)"
      R"("bytes":[195,169],"logprob":-0.25,"top_logprobs":[{"token":"a","logprob":-1.5}]}]}}]})"));
  ASSERT_TRUE(pieces.ok()) << pieces.error().to_string();
  ASSERT_EQ(pieces->size(), 1u);
  const TokenInfo& token = pieces->front().tokens.at(0);
  EXPECT_EQ(token.id, 9);
  EXPECT_EQ(token.bytes, "\xc3\xa9");
  EXPECT_FLOAT_EQ(token.logprob, -0.25f);
  EXPECT_EQ(token.top.at(0).bytes, "a");
  pieces = again.feed(
      event(R"({"choices":[{"text":"ab","logprobs":{"tokens":["a","b"],"token_logprobs":[-1,null],)"
            R"("top_logprobs":[{"x":-2,"a":-1},null]}}]})"));
  ASSERT_TRUE(pieces.ok());
  ASSERT_EQ(pieces->front().tokens.size(), 2u);
  EXPECT_EQ(pieces->front().tokens[0].top.at(0).bytes, "a");
  EXPECT_NE(pieces->front().tokens[1].logprob, pieces->front().tokens[1].logprob);
}

TEST(UpstreamAnswerTest, ReasoningStandsBetweenItsTags) {
  UpstreamAnswer answer;
  const auto pieces =
      answer.feed(event(R"({"choices":[{"delta":{"reasoning_content":"hm"}}]})") +
                  event(R"({"choices":[{"delta":{"reasoning":" ok"}}]})") + chat("so"));
  EXPECT_EQ(text_of(pieces), "<think>hm ok</think>so");
}

TEST(UpstreamAnswerTest, WhatIsNoSuchStreamFailsForGood) {
  for (const std::string& bytes :
       {std::string("<html>\n"), std::string("data: {\n\n"), event("[]"), event("{}"),
        event(R"({"choices":{}})"), event(R"({"choices":[1]})"), std::string("data\n"),
        kStop + chat("after the end"), event(R"({"error":{"message":"secret"}})"),
        event(R"({"choices":[{"delta":{"content":"\ud800"}}]})")}) {
    UpstreamAnswer answer;
    const auto first = answer.feed(bytes);
    ASSERT_FALSE(first.ok()) << bytes;
    EXPECT_EQ(first.error().to_string().find("secret"), std::string::npos);
    EXPECT_FALSE(answer.feed(chat("x")).ok());
  }
}

TEST(UpstreamAnswerTest, LimitsHoldAtTheirEnds) {
  const std::string line = chat("abc");  // its line is two characters shorter than the event
  const std::size_t length = line.size() - 2;
  UpstreamAnswer fits(AnswerLimits{length, 1000});
  EXPECT_TRUE(fits.feed(line).ok());
  UpstreamAnswer over(AnswerLimits{length - 1, 1000});
  EXPECT_EQ(over.feed(line).error().code(), ErrorCode::kExhausted);
  UpstreamAnswer whole(AnswerLimits{1000, line.size()});
  EXPECT_TRUE(whole.feed(line).ok());
  EXPECT_EQ(whole.feed(":").error().code(), ErrorCode::kExhausted);
  // Lines of one event add up.
  UpstreamAnswer many(AnswerLimits{100, 10'000});
  std::string lines;
  for (int i = 0; i < 20; ++i) lines += "data: 0123456789\n";
  EXPECT_EQ(many.feed(lines).error().code(), ErrorCode::kExhausted);
}

}  // namespace
}  // namespace holdfast::backend
