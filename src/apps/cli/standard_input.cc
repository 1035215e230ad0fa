#include "standard_input.h"

#include <unistd.h>

#include <cerrno>

#include "holdfast/wire/messages.h"

namespace holdfast::cli {

namespace {

// Escaping inside a message at most doubles what people write.
constexpr std::size_t kPromptBytesMax = wire::kTextBytesMax / 2;

}  // namespace

Result<std::string> read_standard_input() {
  std::string text;
  char buffer[65536];
  while (true) {
    const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EBADF) break;  // closed: nothing was given
    if (n < 0) return os_error(errno, "read standard input");
    if (n == 0) break;
    text.append(buffer, static_cast<std::size_t>(n));
    if (text.size() > kPromptBytesMax) {
      return invalid_argument("standard input is longer than " + std::to_string(kPromptBytesMax) +
                              " bytes");
    }
  }
  while (text.ends_with("\n") || text.ends_with("\r")) text.pop_back();
  return text;
}

}  // namespace holdfast::cli
