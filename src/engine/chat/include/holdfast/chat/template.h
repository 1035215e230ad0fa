// Chat templates: the messages of a conversation to the prompt text of one model family, by a
// sandboxed Jinja interpreter. Text keeps its origin, so that what a user typed never becomes a
// control token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/json/json.h"

namespace holdfast::chat {

// Bounds of parsing and of one rendering. "Input" is the bytes of all variables that the caller
// passes.
struct Limits {
  std::size_t template_bytes_max = 512u << 10;  // the longest published templates have about 20 kB
  std::size_t nesting_max = 64;  // blocks and brackets inside each other in the source
  std::size_t steps_max =
      1'000'000;  // evaluated nodes and 64-byte units copied; one more per input byte
  std::size_t call_depth_max = 64;          // macros inside macros
  std::size_t value_depth_max = 64;         // lists inside lists, of input and of computed values
  std::size_t output_bytes_max = 1u << 20;  // of one string; four more per input byte
};

// The instant that strftime_now shows, and the zone to show it in. Rendering reads no clock of its
// own.
struct RenderTime {
  std::int64_t unix_seconds = 0;
  std::int32_t utc_offset_seconds = 0;
};

struct RenderInput {
  json::Value messages;
  json::Value tools;  // null if there are none
  bool add_generation_prompt = true;
  // Further variables, such as enable_thinking; they cannot replace the ones above. Which names a
  // client may set is decided by the caller.
  json::Object extra;
  // Absent: the variable is undefined, as where a tokenizer has no such token.
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  RenderTime now;
};

// A run of text of one origin. The template's own literals and the bos and eos tokens are
// from_template; all text that came through messages, tools or extra is not, whatever filters it
// passed, and where a filter leaves the origin unclear it counts as not.
//
// Special tokens may be recognised only in pieces with from_template. Apart from that, pieces are
// no token boundaries: what lies between two special tokens is one text, even where its origin
// changes.
struct Piece {
  std::string text;
  bool from_template = false;
};

struct Rendered {
  std::vector<Piece> pieces;  // neighbours differ in origin; none is empty
  std::string text() const;
};

// True for the error of a template that called raise_exception; client_message() is then the
// template's own text.
bool raised_by_template(const Error& error);

struct Program;

// A parsed template: parse once, render often. Immutable, hence thread-safe; cheap to copy.
class Template {
 public:
  // kInvalidArgument: not Jinja (the message tells the line). kUnsupported: a statement that no
  // chat template needs, such as import. kExhausted: above a limit.
  static Result<Template> parse(std::string_view source, const Limits& limits = {});

  // kInvalidArgument: the template refused these messages (raised_by_template), or applied an
  // operation to a value that does not have it. kUnsupported: an unknown filter, test or function
  // was reached. kExhausted: over budget. Except for the template's own message, each error tells
  // the line.
  Result<Rendered> render(const RenderInput& input) const;

 private:
  explicit Template(std::shared_ptr<const Program> program) : program_(std::move(program)) {}
  std::shared_ptr<const Program> program_;
};

}  // namespace holdfast::chat
