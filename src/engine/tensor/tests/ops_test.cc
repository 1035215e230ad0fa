// Oracles: direct formulas in double for products, rotation and attention; bit identity for every
// way of sharing.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "holdfast/kernels/select.h"
#include "holdfast/quant/packed.h"
#include "holdfast/tensor/arena.h"
#include "holdfast/tensor/attention.h"
#include "holdfast/tensor/linear.h"
#include "holdfast/tensor/rope.h"

namespace holdfast::tensor {
namespace {

constexpr std::uint32_t kSeed = 7;

const kernels::KernelTable& best() {
  return *kernels::available_kernels(platform::CpuFeatures::detect()).back();
}

std::vector<float> random_floats(std::size_t n, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> out(n);
  for (float& v : out) v = static_cast<float>(static_cast<double>(random()) / 2147483648.0 - 1.0);
  return out;
}

// A packed f32 matrix with its row-major source.
struct Matrix {
  std::uint32_t rows, cols;
  std::vector<float> source;
  std::vector<float> packed;

  Matrix(std::uint32_t r, std::uint32_t c)
      : rows(r), cols(c), source(random_floats(std::size_t{r} * c, kSeed)) {
    const auto shape = quant::packed_shape(quant::TensorType::kPF32, rows, cols).value();
    packed.resize(shape.total_bytes / sizeof(float));
    for (std::uint32_t g = 0; g < shape.groups; ++g) {
      quant::pack_group(quant::TensorType::kF32,
                        std::as_bytes(std::span(source)).data() + std::size_t{g} * 16 * cols * 4,
                        cols * 4, std::min(16u, rows - g * 16), cols,
                        std::as_writable_bytes(std::span(packed)).data() + g * shape.group_bytes);
    }
  }
  LinearWeights weights() const {
    return LinearWeights::make(quant::TensorType::kPF32, rows, cols,
                               std::as_bytes(std::span(packed)))
        .value();
  }
};

TEST(Arena, MeasuresWhatItTakes) {
  const auto take = [](Arena& arena) {
    arena.take<float>(3);
    arena.take<std::int8_t>(65);
    return arena.take<double>(2);
  };
  Arena measure;
  EXPECT_EQ(take(measure).data(), nullptr);
  EXPECT_EQ(measure.bytes_used(), 64u + 128 + 64);
  ASSERT_EQ(measure.arrays().size(), 3u);
  EXPECT_EQ(measure.arrays()[1].offset, 64u);
  EXPECT_EQ(measure.arrays()[1].bytes, 65u);
  EXPECT_EQ(measure.arrays()[2].offset, 64u + 128);
  Arena arena = Arena::create(measure.bytes_used()).value();
  const std::span<double> last = take(arena);
  EXPECT_TRUE(arena.arrays().empty());
  EXPECT_EQ(last.size(), 2u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(last.data()) % Arena::kAlignment, 0u);
  EXPECT_EQ(last[1], 0.0);
  EXPECT_DEATH(arena.take<char>(1), "check failed");
}

TEST(Arena, RewoundMemoryIsSharedAndCountedOnce) {
  const auto take = [](Arena& arena, std::vector<std::span<float>>& out) {
    out.push_back(arena.take<float>(100));
    const std::uint64_t mark = arena.mark();
    out.push_back(arena.take<float>(1000));
    arena.rewind(mark);
    out.push_back(arena.take<float>(300));
    arena.advance_past_all();
    out.push_back(arena.take<float>(50));
  };
  std::vector<std::span<float>> sizes;
  Arena measure;
  take(measure, sizes);
  // In cache lines of 64 bytes: 7 + 63 + 4.
  EXPECT_EQ(measure.bytes_used(), 74u * 64);
  Arena arena = Arena::create(measure.bytes_used()).value();
  std::vector<std::span<float>> arrays;
  take(arena, arrays);
  EXPECT_EQ(arrays[1].data(), arrays[2].data());
  EXPECT_GE(arrays[3].data(), arrays[1].data() + arrays[1].size());
  EXPECT_EQ(arena.bytes_used(), measure.bytes_used());
}

TEST(Arena, RefusesWhatTheBudgetLacks) {
  platform::MemoryBudget budget(1 << 20);
  const auto arena = Arena::create(16 << 20, &budget);
  ASSERT_FALSE(arena.ok());
  EXPECT_EQ(arena.error().code(), ErrorCode::kExhausted);
}

TEST(Linear, WrongSizesAreRefused) {
  const Matrix m(20, 8);
  const ByteView bytes = std::as_bytes(std::span(m.packed));
  EXPECT_FALSE(LinearWeights::make(quant::TensorType::kPF32, 20, 9, bytes).ok());
  EXPECT_FALSE(
      LinearWeights::make(quant::TensorType::kPF32, 20, 8, bytes.first(bytes.size() - 1)).ok());
  EXPECT_FALSE(LinearWeights::make(quant::TensorType::kF32, 20, 8, bytes).ok());
  EXPECT_FALSE(LinearWeights::make(quant::TensorType::kPF32, UINT64_MAX, 8, bytes).ok());
}

// y = W x in double; more columns than a panel, so that the cut shows. Tolerance: k unit roundoffs
// of sum |w x|.
TEST(Linear, MatchesTheFormulaInEveryShare) {
  const Matrix m(40, 24);
  constexpr std::uint32_t kColumns = 5000;
  Arena arena = Arena::create(std::uint64_t{kColumns} * 24 * 4).value();
  const Activations in = Activations::take(arena, kColumns, 24, false);
  const std::vector<float> x = random_floats(in.x.size(), kSeed + 1);
  std::copy(x.begin(), x.end(), in.x.begin());
  std::vector<float> whole(std::size_t{kColumns} * 50, 42.0f);
  linear_groups(best(), m.weights(), in, kColumns, {0, 3}, whole.data(), 50);
  for (std::uint32_t i = 0; i < kColumns; i += 617) {
    for (std::uint32_t r = 0; r < 40; ++r) {
      double sum = 0, magnitude = 0;
      for (std::uint32_t k = 0; k < 24; ++k) {
        const double p = static_cast<double>(m.source[r * 24 + k]) * x[i * 24 + k];
        sum += p;
        magnitude += std::fabs(p);
      }
      ASSERT_NEAR(whole[i * 50 + r], sum, 24 * 0x1p-24 * magnitude) << i << " " << r;
    }
    ASSERT_EQ(whole[i * 50 + 40], 42.0f) << "wrote beyond the rows";
  }
  std::vector<float> parts(whole.size(), 42.0f);
  for (std::size_t g = 0; g < 3; ++g) {
    linear_groups(best(), m.weights(), in, kColumns, {g, g + 1}, parts.data(), 50);
  }
  EXPECT_EQ(parts, whole);
}

TEST(Linear, SlicesAreRowsOfTheWhole) {
  const Matrix m(64, 8);
  const LinearWeights part = m.weights().slice(32, 16).value();
  std::vector<float> row(8);
  quant::unpack_row(part.type, part.data, part.rows, part.cols, 3, row.data());
  EXPECT_EQ(row, std::vector<float>(m.source.begin() + 35 * 8, m.source.begin() + 36 * 8));
  EXPECT_FALSE(m.weights().slice(8, 16).ok());
  EXPECT_FALSE(m.weights().slice(0, 24).ok());
}

TEST(Activations, PartsOfARowQuantiseAlike) {
  Arena arena = Arena::create(1 << 16).value();
  const Activations a = Activations::take(arena, 2, 96, true);
  const std::vector<float> x = random_floats(96, kSeed);
  std::copy(x.begin(), x.end(), a.row(0));
  std::copy(x.begin(), x.end(), a.row(1));
  a.quantise(best(), 0, 0, 96);
  a.quantise(best(), 1, 64, 96);
  a.quantise(best(), 1, 0, 64);
  for (std::size_t i = 0; i < 96; ++i) EXPECT_EQ(a.q[i], a.q[a.q_stride + i]) << i;
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(a.d[i], a.d[3 + i]);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(a.s16[i], a.s16[6 + i]);
}

TEST(Rope, AnglesFollowTheFormula) {
  const float divisors[] = {1.0f, 2.0f, 4.0f, 8.0f};
  RopeTable table = make_rope(8, 10000.0, divisors, 1.5);
  scale_linear(table, 2.0);
  float cos[4], sin[4];
  table.fill(1000, cos, sin);
  for (int i = 0; i < 4; ++i) {
    const double angle = 1000.0 * std::pow(10000.0, -i / 4.0) / divisors[i] / 2.0;
    EXPECT_FLOAT_EQ(cos[i], static_cast<float>(1.5 * std::cos(angle)));
    EXPECT_FLOAT_EQ(sin[i], static_cast<float>(1.5 * std::sin(angle)));
  }
}

TEST(Rope, YarnKeepsFastPairsAndStretchesSlowOnes) {
  RopeTable plain = make_rope(64, 10000.0, {}, 1.0);
  RopeTable yarn = plain;
  scale_yarn(yarn, {.base = 10000.0, .factor = 4.0, .original_context = 2048});
  EXPECT_DOUBLE_EQ(yarn.frequencies[0], plain.frequencies[0]);
  EXPECT_DOUBLE_EQ(yarn.frequencies[31], plain.frequencies[31] / 4.0);
  for (int i = 1; i < 32; ++i) {
    const double stretch = plain.frequencies[i] / yarn.frequencies[i];
    EXPECT_TRUE(stretch >= 1.0 - 1e-12 && stretch <= 4.0 + 1e-12) << i;
  }
  EXPECT_DOUBLE_EQ(yarn.magnitude, 1.0 + 0.1 * std::log(4.0));
}

// Heads, blocks and chunks of keys are shared out in three ways; with any number of threads every
// head is computed once. Few tokens at a depth of several chunks are split, the many of a prompt
// are not.
class AttentionShares : public testing::TestWithParam<std::tuple<std::uint32_t, std::uint32_t>> {};

constexpr std::uint32_t kHeads = 6, kKvHeads = 2, kDim = 8;

TEST_P(AttentionShares, EveryHeadOnceAndLikeTheFormula) {
  const auto [threads, first] = GetParam();
  constexpr std::uint32_t kTokens = 70;
  constexpr std::size_t kHeadBytes = 32 * kDim * sizeof(float);
  const std::size_t page_floats = 2 * kKvHeads * 32 * kDim;
  const std::uint32_t positions = first + kTokens;
  std::vector<float> pages((positions / 32 + 1) * page_floats);
  const std::vector<float> k = random_floats(positions * kKvHeads * kDim, kSeed);
  const std::vector<float> v = random_floats(k.size(), kSeed + 1);
  const std::vector<float> q = random_floats(kTokens * kHeads * kDim, kSeed + 2);
  std::vector<const std::byte*> table;
  const kernels::KvKernels& kv = kernels::kv_kernels(best(), kernels::KvType::kF32);
  for (std::uint32_t t = 0; t < positions; ++t) {
    std::byte* page = std::as_writable_bytes(std::span(pages)).data() + t / 32 * page_floats * 4;
    if (t % 32 == 0) table.push_back(page);
    kv.store_k(k.data() + t * kKvHeads * kDim, kKvHeads, kDim, page, t % 32);
    kv.store_v(v.data() + t * kKvHeads * kDim, kKvHeads, kDim, page + kKvHeads * kHeadBytes,
               t % 32);
  }
  const AttentionLayer layer{.q = q.data(),
                             .q_stride = kHeads * kDim,
                             .n_heads = kHeads,
                             .n_kv_heads = kKvHeads,
                             .head_dim = kDim,
                             .k_offset = 0,
                             .v_offset = kKvHeads * kHeadBytes,
                             .kv_head_bytes = kHeadBytes,
                             .window = 0,
                             .scale = 0.5f,
                             .softcap = 0.0f};
  const AttentionBlock all[] = {{0, 32, first, table.data()},
                                {32, 32, first + 32, table.data()},
                                {64, 6, first + 64, table.data()}};
  Arena arena = Arena::create(1 << 20).value();
  const Activations out = Activations::take(arena, kTokens, kHeads * kDim, false);
  const AttentionSplit split = AttentionSplit::take(arena, kHeads, kKvHeads, kDim, 4096);
  std::vector<float> scratch(kernels::attention_scratch_floats(kDim));
  for (std::uint32_t i = 0; i < threads; ++i) {
    const Worker worker(nullptr, i, threads);
    attention(worker, kv.attention, best(), layer, all, out, split, scratch.data());
  }
  EXPECT_EQ(std::count(split.done.begin(), split.done.end(), 0u),
            static_cast<std::ptrdiff_t>(split.done.size()));
  for (std::uint32_t t = 0; t < kTokens; t += 23) {
    for (std::uint32_t h = 0; h < kHeads; ++h) {
      const std::uint32_t keys = first + t + 1;
      std::vector<double> score(keys);
      double total = 0;
      for (std::uint32_t j = 0; j < keys; ++j) {
        double s = 0;
        for (std::uint32_t d = 0; d < kDim; ++d) {
          s += static_cast<double>(q[(t * kHeads + h) * kDim + d]) *
               k[(j * kKvHeads + h / 3) * kDim + d];
        }
        total += score[j] = std::exp(s * 0.5);
      }
      for (std::uint32_t d = 0; d < kDim; ++d) {
        double want = 0;
        for (std::uint32_t j = 0; j < keys; ++j)
          want += score[j] / total * v[(j * kKvHeads + h / 3) * kDim + d];
        // Scores below 4 with a few roundings each, weights that sum to 1, values below 1.
        ASSERT_NEAR(out.row(t)[h * kDim + d], want, 64 * 0x1p-24) << t << " " << h << " " << d;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, AttentionShares,
                         testing::Combine(testing::Values(1u, 2u, 3u, 4u, 7u, 40u),
                                          testing::Values(0u, 250u, 1000u)));

}  // namespace
}  // namespace holdfast::tensor
