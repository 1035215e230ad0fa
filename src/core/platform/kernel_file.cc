#include "kernel_file.h"

#include <fcntl.h>
#include <unistd.h>

#include "holdfast/platform/unique_fd.h"

namespace holdfast::platform {

std::optional<std::string> read_kernel_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return std::nullopt;
  std::string text(64 * 1024, '\0');
  std::size_t used = 0;
  while (used < text.size()) {
    const ssize_t n = ::read(fd.get(), text.data() + used, text.size() - used);
    if (n < 0) return std::nullopt;
    if (n == 0) break;
    used += static_cast<std::size_t>(n);
  }
  text.resize(used);
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace holdfast::platform
