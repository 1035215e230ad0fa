// One filled value of every message.
#pragma once

#include <vector>

#include "holdfast/wire/messages.h"

namespace holdfast::wire {

inline Submit sample_submit() {
  Submit m;
  m.request = 0x0123456789abcdef;
  m.kind = PromptKind::kText;
  m.text = "prompt \xc3\xa4 \x01";
  m.add_special = false;
  m.parse_special = true;
  m.want_margins = true;
  m.sampling.temperature = 0.7;
  m.sampling.top_k = 40;
  m.sampling.top_p = 0.95;
  m.sampling.min_p = 0.05;
  m.sampling.typical_p = 0.9;
  m.sampling.repeat_penalty = 1.1;
  m.sampling.repeat_last_n = -1;
  m.sampling.presence_penalty = -0.5;
  m.sampling.frequency_penalty = 2;
  m.sampling.logit_bias = {{5, -100.0}, {7, 1.5}};
  m.sampling.seed = UINT64_MAX;
  m.sampling.max_tokens = 77;
  m.sampling.stop = {"\n\n", "END"};
  m.sampling.ignore_eos = true;
  m.sampling.logprobs = 5;
  m.sampling.echo = true;
  m.scheduling = {"clinic", 3, Priority::kBatch, std::string("\0\xff", 2), false, 1500};
  return m;
}

inline std::vector<Message> sample_messages() {
  Submit chat = sample_submit();
  chat.kind = PromptKind::kChat;
  chat.text = R"({"messages":[]})";
  chat.sampling = {};
  Submit tokens;
  tokens.request = 2;
  tokens.kind = PromptKind::kTokens;
  tokens.tokens = {1, 2, -1, INT32_MAX};
  Token token{9,
              {{42, -0.25f, 1.5f, " a", {{42, -0.25f, " a"}, {3, -4.0f, "\xff"}}, false, false},
               {43, std::nullopt, std::nullopt, "", {}, true, true}},
              "text"};
  return {
      Hello{1, "0.1.0"},
      Load{R"({"threads":2})"},
      sample_submit(),
      chat,
      tokens,
      Cancel{3},
      Evaluate{4, EvaluateKind::kLogits, {1, 2, 3}, PositionChoice::kList, {0, 2}, 1},
      Evaluate{5, EvaluateKind::kScore, {1, 2, 3}, PositionChoice::kAll, {}, 2},
      Tokenize{6, std::string("a\0b", 3), true, true, true},
      Detokenize{7, {1, 2}, true, true},
      Render{8, "{}"},
      Stats{9},
      Shutdown{},
      ImportRequest{R"({"name":"x"})"},
      Ready{R"({"vocab":10})"},
      ErrorReply{10, ErrorCode::kNotFound, "no such thing", "try another", "detail", 1, 2048, 3000},
      Started{11, 12, 3},
      token,
      Finished{13, FinishReason::kLength, "END", {1, 2, 3}, {4, 5, 6}},
      Rows{14, 1, 10, 8, {1.5f, -2.0f}},
      Scores{15, 12.5, 4},
      Tokens{16, {1, 2}, {"a", "b"}},
      Tokens{17, {1, 2}, {}},
      Text{18, std::string("\0\xff", 2)},
      Rendered{19, "<s>"},
      StatsReply{20, "{}"},
      ImportProgress{1, 2, "hash"},
      ImportDone{"{}"}};
}

}  // namespace holdfast::wire
