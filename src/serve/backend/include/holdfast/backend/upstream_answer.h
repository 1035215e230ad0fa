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
};

// What one piece of the stream says.
struct AnswerPiece {
  std::string text;
  std::vector<TokenInfo> tokens;
};

// Reads `data:` events of /v1/chat/completions and /v1/completions, as llama-server, vLLM, SGLang
// and api.openai.com send them. Reasoning comes out between <think> and </think>, as a model of the
// native engine writes it. Thread-compatible; trusts nothing.
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

 private:
  Status take_line(std::string_view line, std::vector<AnswerPiece>& out);
  Status take_event(std::string_view data, std::vector<AnswerPiece>& out);
  Status take_choice(const json::Value& choice, std::vector<AnswerPiece>& out);

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
};

}  // namespace holdfast::backend
