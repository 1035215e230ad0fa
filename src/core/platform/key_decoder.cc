#include <algorithm>
#include <string_view>
#include <utility>

#include "holdfast/base/utf8.h"
#include "holdfast/platform/terminal.h"

namespace holdfast::platform {
namespace {

constexpr std::string_view kPasteStart = "\x1b[200~";
constexpr std::string_view kPasteEnd = "\x1b[201~";
// Longer than any key of a terminal: what goes on beyond it is no key.
constexpr std::size_t kEscapeBytesMax = 16;

constexpr std::pair<std::string_view, Key> kSequences[] = {
    {"[A", Key::kUp},           {"OA", Key::kUp},       {"[B", Key::kDown},
    {"OB", Key::kDown},         {"[C", Key::kRight},    {"OC", Key::kRight},
    {"[D", Key::kLeft},         {"OD", Key::kLeft},     {"[H", Key::kHome},
    {"OH", Key::kHome},         {"[1~", Key::kHome},    {"[7~", Key::kHome},
    {"[F", Key::kEnd},          {"OF", Key::kEnd},      {"[4~", Key::kEnd},
    {"[8~", Key::kEnd},         {"[3~", Key::kDelete},  {"[1;5D", Key::kWordLeft},
    {"[1;3D", Key::kWordLeft},  {"b", Key::kWordLeft},  {"[1;5C", Key::kWordRight},
    {"[1;3C", Key::kWordRight}, {"f", Key::kWordRight}, {"\r", Key::kNewline},
    {"\x7f", Key::kKillWord}};

Key control_key(unsigned char c) {
  switch (c) {
    case 0x01:
      return Key::kHome;  // Ctrl-A
    case 0x02:
      return Key::kLeft;  // Ctrl-B
    case 0x03:
      return Key::kInterrupt;  // Ctrl-C
    case 0x04:
      return Key::kEndOfFile;  // Ctrl-D
    case 0x05:
      return Key::kEnd;  // Ctrl-E
    case 0x06:
      return Key::kRight;  // Ctrl-F
    case 0x08:
      return Key::kBackspace;  // Ctrl-H
    case 0x0a:                 // what was typed ahead arrives with the line end of cooked mode
      return Key::kEnter;
    case 0x0b:
      return Key::kKillToEnd;  // Ctrl-K
    case 0x0c:
      return Key::kClearScreen;  // Ctrl-L
    case 0x0d:
      return Key::kEnter;
    case 0x0e:
      return Key::kDown;  // Ctrl-N
    case 0x10:
      return Key::kUp;  // Ctrl-P
    case 0x15:
      return Key::kKillToStart;  // Ctrl-U
    case 0x17:
      return Key::kKillWord;  // Ctrl-W
    case 0x7f:
      return Key::kBackspace;
    default:
      return Key::kNone;
  }
}

// Length of the escape sequence at the start of `text` (which begins after ESC); 0: not complete.
std::size_t sequence_bytes(std::string_view text) {
  if (text.empty()) return 0;
  if (text[0] == 'O') return text.size() >= 2 ? 2 : 0;
  if (text[0] != '[') return 1;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] >= 0x40 && text[i] <= 0x7e) return i + 1;
  }
  return 0;
}

}  // namespace

KeyPress KeyDecoder::take(std::size_t bytes, Key key) {
  pending_.erase(0, bytes);
  return {key, {}};
}

std::optional<KeyPress> KeyDecoder::next(bool no_more_soon) {
  if (pending_.empty()) return std::nullopt;
  if (pasting_) return decode_paste();
  const auto c = static_cast<unsigned char>(pending_[0]);
  if (c == 0x1b) return decode_escape(no_more_soon);
  if (c < 0x20 || c == 0x7f) return take(1, control_key(c));
  std::size_t end = 1;
  while (end < pending_.size() && static_cast<unsigned char>(pending_[end]) >= 0x20 &&
         pending_[end] != 0x7f) {
    ++end;
  }
  const std::size_t whole =
      no_more_soon ? end : complete_utf8_prefix(std::string_view(pending_).substr(0, end));
  if (whole == 0) return std::nullopt;
  KeyPress press{Key::kText, sanitize_utf8(std::string_view(pending_).substr(0, whole))};
  pending_.erase(0, whole);
  return press;
}

std::optional<KeyPress> KeyDecoder::decode_escape(bool no_more_soon) {
  const std::string_view rest = std::string_view(pending_).substr(1);
  const std::size_t bytes = sequence_bytes(rest);
  if (bytes == 0) {
    if (!no_more_soon && pending_.size() < kEscapeBytesMax) return std::nullopt;
    return take(pending_.size(), Key::kNone);
  }
  const std::string_view sequence = rest.substr(0, bytes);
  if (sequence == kPasteStart.substr(1)) {
    pending_.erase(0, 1 + bytes);
    pasting_ = true;
    return decode_paste();
  }
  const auto* known =
      std::ranges::find(kSequences, sequence, [](const auto& s) { return s.first; });
  const Key key = known == std::end(kSequences) ? Key::kNone : known->second;
  return take(1 + bytes, key);
}

std::optional<KeyPress> KeyDecoder::decode_paste() {
  const std::size_t end = pending_.find(kPasteEnd);
  if (end == std::string::npos && pending_.size() <= kEditedLineBytesMax) return std::nullopt;
  // A paste above the line's limit is handed on as it is, and refused where it is inserted.
  const std::size_t bytes = std::min(end, pending_.size());
  KeyPress press{Key::kText, sanitize_utf8(std::string_view(pending_).substr(0, bytes))};
  std::ranges::replace(press.text, '\r', '\n');
  pending_.erase(0, end == std::string::npos ? bytes : bytes + kPasteEnd.size());
  pasting_ = end == std::string::npos;
  return press;
}

}  // namespace holdfast::platform
