#include <algorithm>
#include <array>

#include "holdfast/base/utf8.h"
#include "holdfast/platform/terminal.h"

namespace holdfast::platform {
namespace {

struct Range {
  char32_t first, last;
};

// Unicode's East Asian Width W and F in coarse blocks, and what has no width of its own. A cell too
// many or too few misplaces the cursor by one until the next redraw, so rare characters may be
// missing.
constexpr std::array<Range, 15> kWide = {{{0x1100, 0x115f},
                                          {0x2e80, 0x303e},
                                          {0x3041, 0x33ff},
                                          {0x3400, 0x4dbf},
                                          {0x4e00, 0x9fff},
                                          {0xa000, 0xa4cf},
                                          {0xac00, 0xd7a3},
                                          {0xf900, 0xfaff},
                                          {0xfe30, 0xfe6f},
                                          {0xff00, 0xff60},
                                          {0xffe0, 0xffe6},
                                          {0x1f300, 0x1f64f},
                                          {0x1f680, 0x1f6ff},
                                          {0x1f900, 0x1f9ff},
                                          {0x20000, 0x3fffd}}};
constexpr std::array<Range, 7> kZero = {{{0x0300, 0x036f},
                                         {0x0483, 0x0489},
                                         {0x0591, 0x05bd},
                                         {0x200b, 0x200f},
                                         {0x20d0, 0x20ff},
                                         {0xfe00, 0xfe0f},
                                         {0xfe20, 0xfe2f}}};

template <std::size_t N>
bool contains(const std::array<Range, N>& ranges, char32_t c) {
  return std::ranges::any_of(ranges, [c](const Range& r) { return c >= r.first && c <= r.last; });
}

bool is_word_byte(char c) {
  const auto u = static_cast<unsigned char>(c);
  return u >= 0x80 || (u >= '0' && u <= '9') || (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') ||
         u == '_';
}

}  // namespace

int display_width(char32_t code_point) {
  if (contains(kZero, code_point)) return 0;
  return contains(kWide, code_point) ? 2 : 1;
}

void LineBuffer::set(std::string text) {
  text_ = std::move(text);
  cursor_ = text_.size();
}

bool LineBuffer::insert(std::string_view text) {
  if (text.size() > kEditedLineBytesMax - text_.size()) return false;
  text_.insert(cursor_, text);
  cursor_ += text.size();
  return true;
}

std::size_t LineBuffer::previous(std::size_t at) const {
  if (at == 0) return 0;
  do {
    --at;
  } while (at > 0 && (static_cast<unsigned char>(text_[at]) & 0xc0) == 0x80);
  return at;
}

std::size_t LineBuffer::following(std::size_t at) const {
  return at >= text_.size() ? at : at + decode_utf8(text_, at).length;
}

std::size_t LineBuffer::word_start(std::size_t at) const {
  while (at > 0 && !is_word_byte(text_[at - 1])) --at;
  while (at > 0 && is_word_byte(text_[at - 1])) --at;
  return at;
}

std::size_t LineBuffer::word_end(std::size_t at) const {
  while (at < text_.size() && !is_word_byte(text_[at])) ++at;
  while (at < text_.size() && is_word_byte(text_[at])) ++at;
  return at;
}

void LineBuffer::erase(std::size_t from, std::size_t to) {
  text_.erase(from, to - from);
  cursor_ = from;
}

bool LineBuffer::apply(Key key) {
  switch (key) {
    case Key::kNewline:
      insert("\n");
      break;
    case Key::kBackspace:
      erase(previous(cursor_), cursor_);
      break;
    case Key::kDelete:
      erase(cursor_, following(cursor_));
      break;
    case Key::kLeft:
      cursor_ = previous(cursor_);
      break;
    case Key::kRight:
      cursor_ = following(cursor_);
      break;
    case Key::kWordLeft:
      cursor_ = word_start(cursor_);
      break;
    case Key::kWordRight:
      cursor_ = word_end(cursor_);
      break;
    case Key::kHome:
      cursor_ = 0;
      break;
    case Key::kEnd:
      cursor_ = text_.size();
      break;
    case Key::kKillToEnd:
      erase(cursor_, text_.size());
      break;
    case Key::kKillToStart:
      erase(0, cursor_);
      break;
    case Key::kKillWord:
      erase(word_start(cursor_), cursor_);
      break;
    default:
      return false;
  }
  return true;
}

// Rows are broken here and not by the terminal: terminals differ in what they do in the last
// column.
RenderedLine render_line(std::string_view prompt, const LineBuffer& line, int columns) {
  const auto width = static_cast<std::size_t>(std::max(columns, 4));
  RenderedLine out;
  std::size_t row = 0;
  std::size_t column = 0;
  const auto new_row = [&] {
    out.output += "\r\n";
    ++row;
    column = 0;
  };
  const auto put = [&](std::string_view bytes, std::size_t cells) {
    if (column + cells > width) new_row();
    out.output.append(bytes);
    column += cells;
  };
  for (std::size_t at = 0; at < prompt.size();) {
    const Utf8Char c = decode_utf8(prompt, at);
    put(prompt.substr(at, c.length), static_cast<std::size_t>(display_width(c.code_point)));
    at += c.length;
  }
  const std::string& text = line.text();
  for (std::size_t at = 0;;) {
    if (column == width) new_row();
    if (at == line.cursor()) {
      out.cursor_row = row;
      out.cursor_column = column;
    }
    if (at >= text.size()) break;
    const Utf8Char c = decode_utf8(text, at);
    if (c.code_point == '\n') {
      new_row();
    } else if (!c.valid) {
      put("\xef\xbf\xbd", 1);
    } else if (c.code_point < 0x20 || c.code_point == 0x7f) {
      const char shown[] = {'^', static_cast<char>(c.code_point ^ 0x40)};
      put({shown, 2}, 2);
    } else {
      put(std::string_view(text).substr(at, c.length),
          static_cast<std::size_t>(display_width(c.code_point)));
    }
    at += c.length;
  }
  out.rows = row + 1;
  return out;
}

}  // namespace holdfast::platform
