// Sleeping until a word changes: the futex of Linux, for waits whose spinning is the caller's own
// affair.
#pragma once

#include <atomic>
#include <cstdint>

namespace holdfast::platform {

// Sleeps while `word` holds `value`; returns at once where it does not. May also return for no
// reason: callers look again. Thread-safe.
void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t value);
// Wakes everybody who sleeps on `word`. Thread-safe.
void futex_wake_all(const std::atomic<std::uint32_t>& word);

}  // namespace holdfast::platform
