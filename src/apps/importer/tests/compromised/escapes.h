// Ways out that the compromised child tries, by number, and how it ends.
#pragma once

#include <cstdint>

enum class Escape : std::uint8_t {
  kOpenFile,
  kOpenOwnMemory,
  kChangeInput,
  kOtherDescriptor,
  kGrowOutput,
  kSocket,
  kUnixSocket,
  kExecute,
  kFork,
  kSignalParent,
  kParentMemory,
  kTrace,
  kNewCode,
  kRing,
  kEnd,
};

// Exit statuses: the attempt worked, or failed by an error. By the kernel: SIGSYS.
inline constexpr int kEscaped = 77;
inline constexpr int kHeld = 40;
