#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "holdfast/platform/terminal.h"

namespace holdfast::platform {
namespace {

// A terminal sends the bytes of one key together; what comes later than this is another key.
constexpr int kEscapeTimeoutMs = 50;

Status write_fully(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error(errno, "write to the terminal");
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

// Raw mode and bracketed paste for one line.
class RawMode {
 public:
  static Result<std::unique_ptr<RawMode>> enter(int in_fd, int out_fd) {
    termios before{};
    if (::tcgetattr(in_fd, &before) != 0) return os_error(errno, "read terminal settings");
    termios raw = before;
    raw.c_iflag &= ~static_cast<tcflag_t>(BRKINT | ICRNL | INPCK | ISTRIP | IXON);
    raw.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | IEXTEN | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    // TCSADRAIN keeps what was typed ahead.
    if (::tcsetattr(in_fd, TCSADRAIN, &raw) != 0)
      return os_error(errno, "change terminal settings");
    ignore_error(write_fully(out_fd, "\x1b[?2004h"), "the line's own output reports it");
    return std::unique_ptr<RawMode>(new RawMode(in_fd, out_fd, before));
  }
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;
  ~RawMode() {
    ignore_error(write_fully(out_fd_, "\x1b[?2004l"), "nothing can be done about it");
    ::tcsetattr(in_fd_, TCSADRAIN, &before_);
  }

 private:
  RawMode(int in_fd, int out_fd, const termios& before)
      : in_fd_(in_fd), out_fd_(out_fd), before_(before) {}
  const int in_fd_;
  const int out_fd_;
  const termios before_;
};

std::string move_cursor(std::size_t count, char direction) {
  return count == 0 ? std::string() : "\x1b[" + std::to_string(count) + direction;
}

}  // namespace

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

int terminal_width(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

LineEditor::LineEditor(int in_fd, int out_fd) : in_fd_(in_fd), out_fd_(out_fd) {}

void LineEditor::add_history(std::string line) {
  if (line.empty() || (!history_.empty() && history_.back() == line)) return;
  history_.push_back(std::move(line));
  if (history_.size() > kHistoryLinesMax) history_.pop_front();
}

Result<std::optional<std::string>> LineEditor::read_line(std::string_view prompt,
                                                         int interrupt_fd) {
  if (!is_terminal(in_fd_)) return read_plain_line();
  HF_TRY_ASSIGN(const auto raw_mode, RawMode::enter(in_fd_, out_fd_));
  line_.set({});
  draft_.clear();
  history_at_ = history_.size();
  drawn_cursor_row_ = 0;
  drawn_rows_ = 1;
  return edit(prompt, interrupt_fd);
}

Result<std::optional<std::string>> LineEditor::edit(std::string_view prompt, int interrupt_fd) {
  HF_TRY(draw(prompt));
  bool no_more_soon = false;
  while (true) {
    while (const auto press = decoder_.next(no_more_soon)) {
      const Outcome outcome = handle(*press);
      HF_TRY(draw(prompt));
      if (outcome == Outcome::kContinue) continue;
      HF_TRY(finish_drawing());
      if (outcome == Outcome::kDone) return std::optional<std::string>(line_.text());
      if (outcome == Outcome::kEnd) return std::optional<std::string>();
      return cancelled("interrupted");
    }
    HF_TRY_ASSIGN(const bool got_bytes,
                  read_bytes(interrupt_fd, decoder_.has_pending() ? kEscapeTimeoutMs : -1));
    no_more_soon = !got_bytes;
  }
}

// True when bytes were read, false at the timeout. The end of input counts as Ctrl-D.
Result<bool> LineEditor::read_bytes(int interrupt_fd, int timeout_ms) {
  while (true) {
    pollfd fds[2] = {{in_fd_, POLLIN, 0}, {interrupt_fd, POLLIN, 0}};
    const int n = ::poll(fds, interrupt_fd >= 0 ? 2 : 1, timeout_ms);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error(errno, "poll");
    if (n == 0) return false;
    if (interrupt_fd >= 0 && fds[1].revents != 0) return unavailable("interrupted by a signal");
    char bytes[4096];
    const ssize_t got = ::read(in_fd_, bytes, sizeof bytes);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0 && errno != EIO) return os_error(errno, "read from the terminal");  // EIO: hung up
    decoder_.feed(got > 0 ? std::string_view(bytes, static_cast<std::size_t>(got)) : "\x15\x04");
    return true;
  }
}

LineEditor::Outcome LineEditor::handle(const KeyPress& press) {
  switch (press.key) {
    case Key::kText:
      line_.insert(press.text);
      break;
    case Key::kEnter:
      line_.apply(Key::kEnd);
      return Outcome::kDone;
    case Key::kInterrupt:
      line_.apply(Key::kEnd);
      return Outcome::kCancelled;
    case Key::kEndOfFile:
      if (line_.text().empty()) return Outcome::kEnd;
      line_.apply(Key::kDelete);
      break;
    case Key::kUp:
      move_in_history(-1);
      break;
    case Key::kDown:
      move_in_history(1);
      break;
    case Key::kClearScreen:
      ignore_error(write_fully(out_fd_, "\x1b[H\x1b[2J"), "draw() reports it");
      drawn_cursor_row_ = 0;
      break;
    default:
      line_.apply(press.key);
  }
  return Outcome::kContinue;
}

void LineEditor::move_in_history(int direction) {
  if (direction < 0 ? history_at_ == 0 : history_at_ == history_.size()) return;
  if (history_at_ == history_.size()) draft_ = line_.text();
  history_at_ = direction < 0 ? history_at_ - 1 : history_at_ + 1;
  line_.set(history_at_ == history_.size() ? draft_ : history_[history_at_]);
}

Status LineEditor::draw(std::string_view prompt) {
  const RenderedLine shown = render_line(prompt, line_, terminal_width(out_fd_));
  std::string out = move_cursor(drawn_cursor_row_, 'A') + "\r\x1b[J" + shown.output;
  out += move_cursor(shown.rows - 1 - shown.cursor_row, 'A') + "\r";
  out += move_cursor(shown.cursor_column, 'C');
  drawn_cursor_row_ = shown.cursor_row;
  drawn_rows_ = shown.rows;
  return write_fully(out_fd_, out);
}

Status LineEditor::finish_drawing() {
  return write_fully(out_fd_, move_cursor(drawn_rows_ - 1 - drawn_cursor_row_, 'B') + "\r\n");
}

Result<std::optional<std::string>> LineEditor::read_plain_line() {
  while (true) {
    const std::size_t end = plain_pending_.find('\n');
    if (end != std::string::npos || plain_ended_) {
      if (end == std::string::npos && plain_pending_.empty()) return std::optional<std::string>();
      std::string line = plain_pending_.substr(0, end);
      plain_pending_.erase(0, end == std::string::npos ? end : end + 1);
      if (line.ends_with('\r')) line.pop_back();
      return std::optional<std::string>(std::move(line));
    }
    if (plain_pending_.size() > kEditedLineBytesMax) return exhausted("an input line is too long");
    char bytes[4096];
    const ssize_t got = ::read(in_fd_, bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return os_error(errno, "read");
    plain_ended_ = got == 0;
    plain_pending_.append(bytes, static_cast<std::size_t>(got));
  }
}

}  // namespace holdfast::platform
