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
                                     {"content_filter", FinishReason::kContentFilter},
                                     {"tool_calls", FinishReason::kStop}}) {  // there are none
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

std::string calls(std::string_view deltas) {
  return event(R"({"choices":[{"index":0,"delta":{"tool_calls":[)" + std::string(deltas) +
               R"(]},"finish_reason":null}]})");
}
std::string call(std::string_view index, std::string_view id, std::string_view name,
                 std::string_view arguments) {
  std::string out = R"({"type":"function",)";
  if (!index.empty()) out += R"("index":)" + std::string(index) + ",";
  if (!id.empty()) out += R"("id":")" + std::string(id) + R"(",)";
  out += R"("function":{)";
  if (!name.empty()) out += R"("name":")" + std::string(name) + R"(",)";
  return out + R"("arguments":)" + json::write(arguments) + "}}";
}
const std::string kCallsEnd =
    event(R"({"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]})");

// The calls that the parts make: "id name arguments" of each. Fails where a part breaks the rules
// of ToolCallPart.
std::vector<std::string> calls_of(const std::vector<AnswerPiece>& pieces) {
  std::vector<std::string> out;
  for (const AnswerPiece& piece : pieces) {
    for (const ToolCallPart& part : piece.tool_calls) {
      if (!part.name.empty()) {
        EXPECT_EQ(part.call, out.size());
        out.push_back(part.id + " " + part.name + " ");
      }
      EXPECT_LT(part.call, out.size());
      if (part.call < out.size()) out[part.call] += part.arguments;
      EXPECT_TRUE(part.id.empty() || !part.name.empty());
    }
  }
  return out;
}

TEST(UpstreamAnswerTest, ToolCallsComeTogetherHoweverTheyAreCut) {
  const std::string stream =
      chat("Let me see.") + calls(call("0", "a1", "weather", "")) +
      calls(call("0", "", "", R"({"city":)")) +
      calls(call("1", "b2", "time", R"({"zone")") + "," + call("0", "", "", R"( "Köln"})")) +
      calls(call("1", "", "", R"(: "CET"})")) + kCallsEnd + "data: [DONE]\n\n";
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, stream.size()}) {
    UpstreamAnswer answer;
    std::vector<AnswerPiece> all;
    for (std::size_t at = 0; at < stream.size(); at += step) {
      auto pieces = answer.feed(std::string_view(stream).substr(at, step));
      ASSERT_TRUE(pieces.ok()) << pieces.error().to_string();
      for (AnswerPiece& piece : *pieces) all.push_back(std::move(piece));
    }
    EXPECT_EQ(calls_of(all), (std::vector<std::string>{R"(a1 weather {"city": "Köln"})",
                                                       R"(b2 time {"zone": "CET"})"}));
    EXPECT_EQ(answer.finish(), FinishReason::kToolCalls);
    EXPECT_TRUE(answer.done());
  }
}

// What servers in use do besides: the oracle is what each of them means.
TEST(UpstreamAnswerTest, WaysOfPeersToNumberCalls) {
  using Strings = std::vector<std::string>;
  const std::vector<std::pair<std::string, Strings>> cases = {
      // No index: an id begins a call, what has none goes on.
      {calls(call("", "a", "f", "1") + "," + call("", "b", "g", "2")) +
           calls(call("", "", "", "3")),
       {"a f 1", "b g 23"}},
      {calls(call("", "", "f", "1") + "," + call("", "a", "f", "2")), {" f 1", "a f 2"}},
      {calls(call("", "", "f", "1") + "," + call("", "", "f", "2")), {" f 1", " f 2"}},
      // All have the index 0.
      {calls(call("0", "a", "f", "1")) + calls(call("0", "b", "f", "2")), {"a f 1", "b f 2"}},
      // Name and id come with every delta, or another id does.
      {calls(call("0", "a", "f", "1")) + calls(call("0", "a", "f", "2")), {"a f 12"}},
      {calls(call("0", "a", "f", "1")) + calls(call("0", "x", "", "2")), {"a f 12"}},
      // They do not begin at 0.
      {calls(call("3", "a", "f", "1")) +
           calls(call("1", "b", "g", "2") + "," + call("3", "", "", "4")),
       {"a f 14", "b g 2"}},
      // No id at all: the gateway makes one.
      {calls(call("0", "", "f", "{}")), {" f {}"}},
      // Arguments that never become JSON are the client's to look at.
      {calls(call("0", "a", "f", R"({"x":[[[)")), {R"(a f {"x":[[[)"}},
      {event(R"({"choices":[{"delta":{"tool_calls":[{"index":null,"id":null,"type":null,)"
             R"("function":{"name":"f","arguments":null}}]}}]})"),
       {" f "}},
      {event(R"({"choices":[{"delta":{"tool_calls":null,"content":"x"}}]})"), {}},
      {event(R"({"choices":[{"delta":{"tool_calls":[]}}]})"), {}},
  };
  for (const auto& [stream, expected] : cases) {
    UpstreamAnswer answer;
    const auto pieces = answer.feed(stream + kCallsEnd);
    ASSERT_TRUE(pieces.ok()) << stream << pieces.error().to_string();
    EXPECT_EQ(calls_of(*pieces), expected) << stream;
  }
}

TEST(UpstreamAnswerTest, ToolCallsThatAreNone) {
  for (const std::string& bytes :
       {calls(call("128", "a", "f", "")), calls(call("4294967296", "a", "f", "")),
        calls(call("-1", "a", "f", "")), calls(call("1e300", "a", "f", "")),
        calls(call("0.5", "a", "f", "")), calls(call("\"0\"", "a", "f", "")), calls("1"),
        calls("null"), calls(R"({"index":0,"id":"a"})"), calls(call("0", "a", "", "1")),
        calls(R"({"index":0,"type":"custom","function":{"name":"f"}})"),
        calls(R"({"index":0,"function":"f"})"),
        calls(R"({"index":0,"function":{"name":"f","arguments":{}}})"),
        event(R"({"choices":[{"delta":{"tool_calls":{}}}]})"),
        calls(call("0", "a", "f", "")) + kCallsEnd + calls(call("0", "", "", "1"))}) {
    UpstreamAnswer answer;
    const auto pieces = answer.feed(bytes);
    ASSERT_FALSE(pieces.ok()) << bytes;
    EXPECT_EQ(pieces.error().code(), ErrorCode::kCorrupt) << bytes;
    EXPECT_FALSE(answer.feed(chat("x")).ok());
  }
  AnswerLimits none;
  none.tool_calls_max = 0;
  UpstreamAnswer not_asked(none);
  EXPECT_EQ(not_asked.feed(calls(call("0", "a", "f", ""))).error().code(), ErrorCode::kCorrupt);
}

TEST(UpstreamAnswerTest, LimitsOfToolCallsHoldAtTheirEnds) {
  AnswerLimits limits;
  limits.tool_calls_max = 3;
  limits.argument_bytes_max = 10;
  const auto code = [&](const std::string& stream) {
    UpstreamAnswer answer(limits);
    const auto pieces = answer.feed(stream);
    return pieces.ok() ? std::optional<ErrorCode>() : pieces.error().code();
  };
  std::string three;
  for (const char* id : {"a", "b", "c"}) three += calls(call("", id, "f", ""));
  EXPECT_EQ(code(three), std::nullopt);
  EXPECT_EQ(code(three + calls(call("", "d", "f", ""))), ErrorCode::kExhausted);
  const std::string ten = calls(call("0", "a", "f", "01234")) + calls(call("1", "b", "f", "56789"));
  EXPECT_EQ(code(ten), std::nullopt);
  EXPECT_EQ(code(ten + calls(call("0", "", "", "x"))), ErrorCode::kExhausted);
  const std::string longest(256, 'n');
  EXPECT_EQ(code(calls(call("0", longest, longest, ""))), std::nullopt);
  EXPECT_EQ(code(calls(call("0", longest + "n", "f", ""))), ErrorCode::kExhausted);
  EXPECT_EQ(code(calls(call("0", "a", longest + "n", ""))), ErrorCode::kExhausted);
}

TEST(UpstreamAnswerTest, AMillionCallsAreNotKept) {
  UpstreamAnswer in_events;
  std::size_t taken = 0;
  while (taken < 1'000'000 &&
         in_events.feed(calls(call("", "id" + std::to_string(taken), "f", "{}"))).ok()) {
    ++taken;
  }
  EXPECT_EQ(taken, 128u);
  std::string deltas = call("", "a", "f", "");
  for (int i = 0; i < 1'000'000; ++i) deltas += R"(,{"id":"a","function":{"name":"f"}})";
  UpstreamAnswer in_one;
  EXPECT_EQ(in_one.feed(calls(deltas)).error().code(), ErrorCode::kExhausted);
}

TEST(UpstreamAnswerTest, OneCallWhereOneWasAskedFor) {
  AnswerLimits limits;
  limits.one_tool_call = true;
  UpstreamAnswer answer(limits);
  const auto pieces =
      answer.feed(calls(call("0", "a", "f", "1") + "," + call("1", "b", "g", "2")) +
                  calls(call("1", "", "", "3") + "," + call("0", "", "", "4")) + kCallsEnd);
  ASSERT_TRUE(pieces.ok());
  EXPECT_EQ(calls_of(*pieces), std::vector<std::string>{"a f 14"});
  EXPECT_EQ(answer.finish(), FinishReason::kToolCalls);
}

TEST(UpstreamAnswerTest, TheEndSaysThatToolsAreCalled) {
  for (const auto& [theirs, ours] : {std::pair{"stop", FinishReason::kToolCalls},
                                     {"tool_calls", FinishReason::kToolCalls},
                                     {"length", FinishReason::kLength}}) {
    UpstreamAnswer answer;
    ASSERT_TRUE(answer
                    .feed(calls(call("0", "a", "f", "{}")) +
                          event(R"({"choices":[{"delta":{},"finish_reason":")" +
                                std::string(theirs) + "\"}]}"))
                    .ok());
    EXPECT_EQ(answer.finish(), ours) << theirs;
  }
}

TEST(UpstreamAnswerTest, ReasoningEndsBeforeACall) {
  UpstreamAnswer answer;
  const auto pieces = answer.feed(event(R"({"choices":[{"delta":{"reasoning_content":"hm"}}]})") +
                                  calls(call("0", "a", "f", "{}")));
  EXPECT_EQ(text_of(pieces), "<think>hm</think>");
}

TEST(UpstreamAnswerTest, TheNameOfTheModelIsKept) {
  UpstreamAnswer answer;
  ASSERT_TRUE(answer.feed(event(R"({"model":"their-8b","choices":[]})")).ok());
  EXPECT_EQ(answer.model(), "their-8b");
  UpstreamAnswer too_long;
  ASSERT_TRUE(
      too_long.feed(event(R"({"model":")" + std::string(257, 'm') + R"(","choices":[]})")).ok());
  EXPECT_EQ(too_long.model(), "");
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
