// Random bytes from the operating system, and a seeded stand-in for tests.
#pragma once

#include <cstdint>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"

namespace holdfast::platform {

// Thread-safe unless said.
class Entropy {
 public:
  Entropy() = default;
  Entropy(const Entropy&) = delete;
  Entropy& operator=(const Entropy&) = delete;
  virtual ~Entropy() = default;
  // Fills all of `out`, or kIo: there is no weaker source to fall back to.
  virtual Status fill(MutableBytes out) = 0;
};

class SystemEntropy final : public Entropy {
 public:
  Status fill(MutableBytes out) override;
};

// The same bytes for the same seed; for tests only. Thread-compatible.
class SeededEntropy final : public Entropy {
 public:
  explicit SeededEntropy(std::uint64_t seed) : state_(seed) {}
  Status fill(MutableBytes out) override;

 private:
  std::uint64_t state_;
};

// From the operating system. kIo where it has none to give.
Status fill_random(MutableBytes out);
Result<std::uint64_t> random_u64();

}  // namespace holdfast::platform
