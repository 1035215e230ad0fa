#include "holdfast/platform/entropy.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>

namespace holdfast::platform {

Status fill_random(MutableBytes out) {
  while (!out.empty()) {
    const ssize_t n = ::getrandom(out.data(), out.size(), 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      return os_error(errno, "getrandom");
    }
    out = out.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

Result<std::uint64_t> random_u64() {
  std::byte bytes[8];
  HF_TRY(fill_random(bytes));
  return load_le<std::uint64_t>(bytes);
}

Status SystemEntropy::fill(MutableBytes out) { return fill_random(out); }

Status SeededEntropy::fill(MutableBytes out) {
  // SplitMix64: passes for random in tests, and is three lines.
  while (!out.empty()) {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    std::byte bytes[8];
    store_le(bytes, z ^ (z >> 31));
    const std::size_t n = std::min<std::size_t>(out.size(), sizeof bytes);
    std::copy_n(bytes, n, out.begin());
    out = out.subspan(n);
  }
  return {};
}

}  // namespace holdfast::platform
