#include "holdfast/platform/hidden_input.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace holdfast::platform {
namespace {

UniqueFd open_terminal() { return UniqueFd(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)); }

// No echo while it lives; the line end is shown all the same.
class HiddenEcho {
 public:
  explicit HiddenEcho(int fd) : fd_(fd), good_(::tcgetattr(fd, &before_) == 0) {
    if (!good_) return;
    termios hidden = before_;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    hidden.c_lflag |= ECHONL | ICANON;
    good_ = ::tcsetattr(fd, TCSAFLUSH, &hidden) == 0;
  }
  ~HiddenEcho() {
    if (good_) ::tcsetattr(fd_, TCSAFLUSH, &before_);
  }
  HiddenEcho(const HiddenEcho&) = delete;
  HiddenEcho& operator=(const HiddenEcho&) = delete;
  bool good() const { return good_; }

 private:
  int fd_;
  termios before_{};
  bool good_;
};

}  // namespace

bool has_hidden_input() { return open_terminal().valid(); }

Result<std::size_t> read_hidden_line(std::string_view prompt, MutableBytes out) {
  const UniqueFd terminal = open_terminal();
  if (!terminal.valid()) return os_error(errno, "open the terminal");
  const HiddenEcho echo(terminal.get());
  if (!echo.good()) return os_error(errno, "hide the input");
  if (::write(terminal.get(), prompt.data(), prompt.size()) < 0)
    return os_error(errno, "write to the terminal");
  std::size_t n = 0;
  while (true) {
    std::byte c{};
    const ssize_t got = ::read(terminal.get(), &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return os_error(errno, "read from the terminal");
    if (got == 0) return cancelled("the input ended");
    if (c == std::byte{'\n'}) return n;
    if (n == out.size()) return exhausted("the line is too long");
    out[n++] = c;
  }
}

Result<UniqueFd> open_for_reading(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd.valid()) return os_error(errno, "open", path);
  return fd;
}

}  // namespace holdfast::platform
