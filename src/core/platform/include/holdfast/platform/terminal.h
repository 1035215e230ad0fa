// Terminals: what a descriptor is, how wide it is, and a line editor with history for interactive
// prompts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::platform {

bool is_terminal(int fd);
// Columns; 80 where the descriptor does not say.
int terminal_width(int fd);
// Cells that a character takes on a terminal: 0 (combining), 1 or 2 (East Asian wide, emoji).
int display_width(char32_t code_point);

enum class Key : std::uint8_t {
  kNone,  // an unknown sequence, to be ignored
  kText,
  kEnter,
  kNewline,  // Alt-Enter: a line break inside the text
  kBackspace,
  kDelete,
  kLeft,
  kRight,
  kWordLeft,
  kWordRight,
  kHome,
  kEnd,
  kUp,
  kDown,
  kKillToEnd,
  kKillToStart,
  kKillWord,
  kClearScreen,
  kInterrupt,  // Ctrl-C
  kEndOfFile,  // Ctrl-D
};

struct KeyPress {
  Key key = Key::kNone;
  std::string text;  // kText: whole characters, several when pasted
};

// Bytes of a terminal in raw mode to key presses, pasted text in one piece. Thread-compatible.
class KeyDecoder {
 public:
  void feed(std::string_view bytes) { pending_.append(bytes); }
  // nullopt: more bytes are needed. With `no_more_soon`, a lone Escape or a cut character counts as
  // complete.
  std::optional<KeyPress> next(bool no_more_soon);
  bool has_pending() const { return !pending_.empty(); }

 private:
  std::optional<KeyPress> decode_escape(bool no_more_soon);
  std::optional<KeyPress> decode_paste();
  KeyPress take(std::size_t bytes, Key key);
  std::string pending_;
  bool pasting_ = false;
};

// A line is at most this long: it is held in memory and drawn again at each key.
inline constexpr std::size_t kEditedLineBytesMax = std::size_t{1} << 20;

// Text and cursor, moved by whole characters. Thread-compatible.
class LineBuffer {
 public:
  const std::string& text() const { return text_; }
  std::size_t cursor() const { return cursor_; }  // byte offset at a character's start
  void set(std::string text);
  // False where the line would become too long; then nothing changed.
  bool insert(std::string_view text);
  // Applies an editing or moving key; false for keys that are not one.
  bool apply(Key key);

 private:
  std::size_t previous(std::size_t at) const;
  std::size_t following(std::size_t at) const;
  std::size_t word_start(std::size_t at) const;
  std::size_t word_end(std::size_t at) const;
  void erase(std::size_t from, std::size_t to);
  std::string text_;
  std::size_t cursor_ = 0;
};

// What to write to show a prompt and a line: see LineEditor.
struct RenderedLine {
  std::string output;    // from the first row's start
  std::size_t rows = 1;  // that the text takes
  std::size_t cursor_row = 0;
  std::size_t cursor_column = 0;
};
RenderedLine render_line(std::string_view prompt, const LineBuffer& line, int columns);

// Reads lines with cursor keys, history, pasted line breaks and UTF-8. The terminal is in raw mode
// only inside read_line(). Where `in_fd` is no terminal it reads plain lines and writes nothing.
// Thread-compatible.
class LineEditor {
 public:
  // The descriptors outlive the editor.
  LineEditor(int in_fd, int out_fd);

  // A line without its end; nullopt at the end of input (Ctrl-D on an empty line). kCancelled for
  // Ctrl-C, kUnavailable when `interrupt_fd` (-1: none) becomes readable, kExhausted for a line
  // above the limit, kIo.
  Result<std::optional<std::string>> read_line(std::string_view prompt, int interrupt_fd = -1);
  // Empty lines and repetitions of the last one are not kept.
  void add_history(std::string line);
  const std::deque<std::string>& history() const { return history_; }

 private:
  enum class Outcome : std::uint8_t { kContinue, kDone, kEnd, kCancelled };
  Result<std::optional<std::string>> read_plain_line();
  Result<bool> read_bytes(int interrupt_fd, int timeout_ms);
  Result<std::optional<std::string>> edit(std::string_view prompt, int interrupt_fd);
  Outcome handle(const KeyPress& press);
  void move_in_history(int direction);
  Status draw(std::string_view prompt);
  Status finish_drawing();

  const int in_fd_;
  const int out_fd_;
  KeyDecoder decoder_;
  LineBuffer line_;
  std::deque<std::string> history_;
  std::size_t history_at_ = 0;  // history_.size(): the draft
  std::string draft_;
  std::size_t drawn_cursor_row_ = 0;
  std::size_t drawn_rows_ = 1;
  std::string plain_pending_;
  bool plain_ended_ = false;
};

inline constexpr std::size_t kHistoryLinesMax = 1000;

}  // namespace holdfast::platform
