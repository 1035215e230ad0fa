// The reader of upstream answers must give the same pieces however the bytes are cut, never hold
// more than its limits, and stay failed once it failed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/backend/upstream_answer.h"

namespace {

using holdfast::backend::AnswerLimits;
using holdfast::backend::AnswerPiece;
using holdfast::backend::FinishReason;
using holdfast::backend::UpstreamAnswer;

struct Outcome {
  std::string text;
  std::size_t tokens = 0;
  std::vector<std::string> calls;
  std::size_t argument_bytes = 0;
  bool failed = false;
  bool done = false;
  bool finished = false;
  std::uint32_t pieces = 0;
  bool operator==(const Outcome&) const = default;
};

constexpr std::size_t kCallsMax = 4;
constexpr std::size_t kArgumentBytesMax = 512;

// What the parts of calls make; a part must belong to a call that began, and the limits hold.
void take_calls(const AnswerPiece& piece, Outcome& out) {
  std::vector<std::string>& calls = out.calls;
  for (const auto& part : piece.tool_calls) {
    if (!part.name.empty()) {
      if (part.call != calls.size()) abort();
      calls.push_back(part.id + "\n" + part.name + "\n");
    } else if (!part.id.empty()) {
      abort();
    }
    if (part.call >= calls.size()) abort();
    calls[part.call] += part.arguments;
    out.argument_bytes += part.arguments.size();
  }
  if (calls.size() > kCallsMax || out.argument_bytes > kArgumentBytesMax) abort();
}

Outcome read(std::string_view bytes, std::size_t step) {
  UpstreamAnswer answer(AnswerLimits{2048, 1u << 20, kCallsMax, kArgumentBytesMax, false});
  Outcome out;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    const auto pieces = answer.feed(bytes.substr(at, step));
    if (!pieces.ok()) {
      out.failed = true;
      if (answer.feed("data: [DONE]\n\n").ok()) abort();
      break;
    }
    for (const auto& piece : *pieces) {
      out.text += piece.text;
      out.tokens += piece.tokens.size();
      take_calls(piece, out);
    }
  }
  if (out.text.size() > 2 * bytes.size() + 64 * out.pieces + 64) abort();
  out.done = answer.done();
  out.finished = answer.finish().has_value();
  const bool says_calls = answer.finish() == FinishReason::kToolCalls;
  if (!out.failed && says_calls && out.calls.empty()) abort();
  out.pieces = answer.pieces();
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Outcome whole = read(bytes, bytes.empty() ? 1 : bytes.size());
  const Outcome single = read(bytes, 1);
  // A failure in the middle of one feed hides the pieces before it.
  if (whole.failed != single.failed) abort();
  if (!whole.failed && !(whole == single)) abort();
  return 0;
}
