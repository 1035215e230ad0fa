// UpstreamAnswer: the bytes of an upstream's event stream, read into bounded, typed events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/backend/backend.h"

namespace holdfast::backend {

struct AnswerLimits {
  std::size_t line_bytes_max = 1u << 20;
  std::size_t answer_bytes_max = 16u << 20;  // of the whole stream
  // Calls of tools in one answer; 0: none were offered, and a call is an error. As many as the API
  // takes tools in a request, by far more than a model asks for together.
  std::uint32_t tool_calls_max = 128;
  // Arguments of all calls together. They come back in the next request, whose body has 8 MiB.
  std::size_t argument_bytes_max = 1u << 20;
  bool one_tool_call = false;  // calls after the first are left out
};

// What one piece of the stream says.
struct AnswerPiece {
  std::string text;
  std::vector<TokenInfo> tokens;
  std::vector<ToolCallPart> tool_calls;
};

// Reads `data:` events of /v1/chat/completions and /v1/completions, as llama-server, vLLM, SGLang
// and api.openai.com send them. Reasoning comes out between <think> and </think>, as a model of the
// native engine writes it. Thread-compatible; trusts nothing.
//
// Tool calls: a delta belongs to the call that its index names; where the peer gives none, an id
// begins a call and everything else goes on with the last one. Peers that give every call the index
// 0 are understood by their ids. Arguments are not looked into: models do write broken JSON, and
// the API leaves it to clients to find out.
class UpstreamAnswer {
 public:
  explicit UpstreamAnswer(AnswerLimits limits = {}) : limits_(limits) {}

  // The pieces that the bytes complete. kCorrupt: not an event stream of that API; kExhausted:
  // above a limit; kUnavailable: the upstream reports an error in the stream. After an error it
  // stays failed.
  Result<std::vector<AnswerPiece>> feed(std::string_view bytes);

  // [DONE] was read.
  bool done() const { return done_; }
  // Why the generation ended; absent while it has not. A stream that ends without it was cut.
  const std::optional<FinishReason>& finish() const { return finish_; }
  // As the upstream counted; absent where it did not.
  const std::optional<Usage>& usage() const { return usage_; }
  std::uint32_t pieces() const { return pieces_; }
  // As the upstream names the model; empty: it did not, or not in a way to repeat.
  const std::string& model() const { return model_; }

 private:
  Status take_line(std::string_view line, std::vector<AnswerPiece>& out);
  Status take_event(std::string_view data, std::vector<AnswerPiece>& out);
  Status take_choice(const json::Value& choice, std::vector<AnswerPiece>& out);
  Status take_tool_calls(const json::Value& calls, std::vector<ToolCallPart>& out);
  Status take_tool_call(const json::Value& call, std::vector<ToolCallPart>& out);
  Status begin_call(std::optional<std::uint32_t> index, const json::Value& call,
                    std::vector<ToolCallPart>& out);
  Status add_arguments(std::size_t call, const json::Value& function,
                       std::vector<ToolCallPart>& out);
  std::optional<std::size_t> call_of(std::optional<std::uint32_t> index,
                                     const json::Value& call) const;
  void end_thought(std::string& text);

  // A call of a tool as the peer tells of it.
  struct OpenCall {
    std::optional<std::uint32_t> index;
    std::string id;
  };

  const AnswerLimits limits_;
  std::string line_;
  std::string data_;
  bool has_data_ = false;
  bool done_ = false;
  bool failed_ = false;
  bool thinking_ = false;
  std::size_t bytes_ = 0;
  std::uint32_t pieces_ = 0;
  std::optional<FinishReason> finish_;
  std::optional<Usage> usage_;
  std::vector<OpenCall> calls_;  // in the order in which they began
  std::size_t argument_bytes_ = 0;
  std::string model_;
};

}  // namespace holdfast::backend
