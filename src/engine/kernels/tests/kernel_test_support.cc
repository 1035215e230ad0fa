#include "kernel_test_support.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "holdfast/platform/cpu.h"
#include "holdfast/quant/half.h"

#if defined(__x86_64__)
namespace holdfast::kernels {
extern const KernelTable kKernelsAvxVnniEmulated;
extern const KernelTable kKernelsAvx512Emulated;
extern const KernelTable kKernelsAmxEmulated;
}  // namespace holdfast::kernels
#endif

namespace holdfast::kernels::testing {
namespace {

std::vector<const KernelTable*> all_tables() {
  const auto cpu = platform::CpuFeatures::detect();
  std::vector<const KernelTable*> all = available_kernels(cpu);
#if defined(__x86_64__)
  if (cpu.avx2 && cpu.fma && cpu.f16c) {
    const auto runs = [&](const KernelTable& emulated) {
      return std::ranges::any_of(all, [&](const KernelTable* table) {
        return std::string_view(table->isa) == emulated.isa;
      });
    };
    for (const KernelTable* emulated :
         {&kKernelsAvxVnniEmulated, &kKernelsAvx512Emulated, &kKernelsAmxEmulated}) {
      if (!runs(*emulated)) all.push_back(emulated);
    }
  }
#endif
  return all;
}

}  // namespace

const std::vector<const KernelTable*>& tables() {
  static const std::vector<const KernelTable*> all = all_tables();
  return all;
}

const KernelTable& scalar() { return *tables().front(); }

GuardedMemory::GuardedMemory(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t usable = (bytes + page - 1) / page * page;
  mapped_ = usable + page;
  base_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base_ == MAP_FAILED) std::abort();
  auto* start = static_cast<std::byte*>(base_);
  if (mprotect(start + usable, page, PROT_NONE) != 0) std::abort();
  data_ = start + usable - bytes;
}

GuardedMemory::~GuardedMemory() {
  if (base_ != nullptr) munmap(base_, mapped_);
}

std::vector<float> random_floats(Random& random, std::size_t n, float spread) {
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> out(n);
  for (float& x : out) x = normal(random);
  return out;
}

namespace {

void random_halves(Random& random, std::byte* at, std::size_t count) {
  std::uniform_real_distribution<float> magnitude(0.001f, 0.02f);
  for (std::size_t i = 0; i < count; ++i) {
    const float sign = random() % 2 == 0 ? 1.0f : -1.0f;
    const std::uint16_t h = quant::f32_to_f16(sign * magnitude(random));
    std::memcpy(at + 2 * i, &h, 2);
  }
}

// Overwrites the scales of one block, or the values of a float block.
void moderate_scales(Random& random, quant::TensorType type, std::byte* block) {
  using quant::TensorType;
  switch (type) {
    case TensorType::kPF32:
    case TensorType::kP8S: {
      const std::vector<float> values =
          random_floats(random, type == TensorType::kP8S ? 32 : 16, 0.02f);
      std::memcpy(block, values.data(), 4 * values.size());
      return;
    }
    case TensorType::kPBF16:
      for (std::size_t i = 0; i < 16; ++i) {
        const std::uint16_t h = quant::f32_to_bf16(random_floats(random, 1)[0]);
        std::memcpy(block + 2 * i, &h, 2);
      }
      return;
    case TensorType::kPMX4:
      // Exponents of moderate size and, now and then, the two that make subnormal scales.
      for (std::size_t i = 0; i < 16; ++i) {
        block[i] = std::byte(random() % 16 == 0 ? random() % 2 : 118 + random() % 8);
      }
      return;
    case TensorType::kP4_K:
    case TensorType::kP5_K:
      // Scales and mins have six bits.
      for (std::size_t i = 64; i < 64 + 2 * 8 * 16; ++i) block[i] &= std::byte{63};
      random_halves(random, block, 32);
      return;
    case TensorType::kP4_1:
    case TensorType::kP5_1:
    case TensorType::kP2_K:
      random_halves(random, block, 32);
      return;
    default:
      random_halves(random, block, 16);
  }
}

}  // namespace

Guarded<std::byte> random_matrix(Random& random, quant::TensorType type, std::uint32_t rows,
                                 std::uint32_t k, Codes codes) {
  const quant::PackedShape shape = quant::packed_shape(type, rows, k).value();
  Guarded<std::byte> out(shape.total_bytes);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto any = std::byte(random() & 0xff);
    out[i] = codes == Codes::kRandom    ? any
             : codes == Codes::kLargest ? std::byte{0xff}
                                        : std::byte{0};
  }
  for (std::size_t b = 0; b < shape.groups * shape.blocks_per_group; ++b) {
    moderate_scales(random, type, out.data() + b * shape.block_bytes);
  }
  return out;
}

Activations::Activations(const KernelTable& table, const std::vector<float>& x,
                         std::uint32_t columns, std::uint32_t depth)
    : n(columns),
      k(depth),
      q_stride(activation_q_stride(depth)),
      q((columns - 1) * q_stride + depth),
      d(std::size_t{columns} * (depth / 32)),
      s16(std::size_t{columns} * (depth / 16)) {
  for (std::size_t c = 0; c < n; ++c) {
    table.quantize_activations(x.data() + c * k, k, q.data() + c * q_stride,
                               d.data() + c * (k / 32), s16.data() + c * (k / 16));
  }
}

ActivationView Activations::view(std::uint32_t first, std::uint32_t count) const {
  return {q.data() + first * q_stride,
          d.data() + std::size_t{first} * (k / 32),
          s16.data() + std::size_t{first} * (k / 16),
          count,
          k,
          q_stride,
          k / 32,
          k / 16};
}

::testing::AssertionResult same_bits(const float* got, const float* want, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    if (std::isnan(got[i]) && std::isnan(want[i])) continue;
    if (std::bit_cast<std::uint32_t>(got[i]) == std::bit_cast<std::uint32_t>(want[i])) continue;
    return ::testing::AssertionFailure()
           << "element " << i << " of " << n << ": got " << got[i] << ", want " << want[i]
           << ", difference " << got[i] - want[i];
  }
  return ::testing::AssertionSuccess();
}

}  // namespace holdfast::kernels::testing
