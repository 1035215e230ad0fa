// What a fetcher does: HTTP for one origin, in a jail that it closes once it knows the addresses of
// that origin. It decides nothing: what it may connect to comes from the process that started it.
#pragma once

namespace holdfast::fetcher {

// Descriptors by convention: messages (fetch/link.h), and the file that it may write, if any.
inline constexpr int kControlFd = 3;
inline constexpr int kOutputFd = 4;

// Serves until the other side closes. The exit status. Call it first thing, while the process has
// one thread.
int run_fetcher();

// The process that looks up one name for a fetcher. The same holds.
int run_look_up();

}  // namespace holdfast::fetcher
