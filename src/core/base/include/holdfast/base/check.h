// HF_CHECK: invariants of our own code. It stays on in release. Outside input must never reach one:
// that is an Error.
#pragma once

namespace holdfast {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}

#define HF_CHECK(condition)               \
  (static_cast<bool>(condition) ? void(0) \
                                : ::holdfast::check_failed(#condition, __FILE__, __LINE__))

// For measured inner loops only.
#ifdef NDEBUG
#define HF_DCHECK(condition) void(sizeof(static_cast<bool>(condition)))
#else
#define HF_DCHECK(condition) HF_CHECK(condition)
#endif
