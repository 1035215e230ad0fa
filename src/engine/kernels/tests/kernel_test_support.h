// What the tests of the kernels share: tables to test, guarded buffers, seeded random packed
// matrices, comparison of bits.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "holdfast/kernels/kernel_table.h"
#include "holdfast/kernels/select.h"
#include "holdfast/quant/packed.h"

namespace holdfast::kernels::testing {

using Random = std::mt19937_64;

// Tables that this machine runs, the scalar one first; after them those whose instructions it lacks
// and the tests emulate.
const std::vector<const KernelTable*>& tables();
const KernelTable& scalar();

// Memory that ends at a page that cannot be touched, so that reading or writing one byte too many
// ends the test.
class GuardedMemory {
 public:
  explicit GuardedMemory(std::size_t bytes);
  ~GuardedMemory();
  GuardedMemory(GuardedMemory&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), mapped_(other.mapped_), data_(other.data_) {}
  GuardedMemory& operator=(GuardedMemory&&) = delete;
  std::byte* data() const { return data_; }

 private:
  void* base_;
  std::size_t mapped_;
  std::byte* data_;
};

template <class T>
class Guarded {
 public:
  explicit Guarded(std::size_t n, T value = {}) : size_(n), memory_(n * sizeof(T)) {
    for (std::size_t i = 0; i < n; ++i) data()[i] = value;
  }
  explicit Guarded(const std::vector<T>& values) : Guarded(values.size()) {
    for (std::size_t i = 0; i < size_; ++i) data()[i] = values[i];
  }
  T* data() const { return static_cast<T*>(static_cast<void*>(memory_.data())); }
  T& operator[](std::size_t i) const { return data()[i]; }
  std::size_t size() const { return size_; }

 private:
  std::size_t size_;
  GuardedMemory memory_;
};

std::vector<float> random_floats(Random& random, std::size_t n, float spread = 1.0f);

enum class Codes { kRandom, kLargest, kSmallest };

// A packed matrix of any type with moderate scales and random codes, or with every code byte at an
// extreme.
Guarded<std::byte> random_matrix(Random& random, quant::TensorType type, std::uint32_t rows,
                                 std::uint32_t k, Codes codes = Codes::kRandom);

// Quantised activations of n columns, q_stride apart.
struct Activations {
  Activations(const KernelTable& table, const std::vector<float>& x, std::uint32_t n,
              std::uint32_t k);
  ActivationView view() const { return view(0, n); }
  ActivationView view(std::uint32_t first, std::uint32_t count) const;
  std::uint32_t n;
  std::uint32_t k;
  std::size_t q_stride;
  Guarded<std::int8_t> q;
  Guarded<float> d;
  Guarded<std::int32_t> s16;
};

// Equal as bits; any NaN equals any other. Reports the first difference.
::testing::AssertionResult same_bits(const float* got, const float* want, std::size_t n);

}  // namespace holdfast::kernels::testing
