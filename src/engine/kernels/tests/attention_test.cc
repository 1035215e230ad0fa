// Attention and the stores into KV pages. Oracles: softmax attention in double over the values as
// stored; the scalar table, bit for bit; many tokens in one call against one token per call; any
// placement of pages.
#include <algorithm>
#include <cmath>
#include <string>

#include "holdfast/quant/half.h"
#include "kernel_test_support.h"

namespace holdfast::kernels::testing {
namespace {

struct Shape {
  std::uint32_t heads;  // query heads of one KV head
  std::uint32_t head_dim;
  std::uint32_t first;  // position of the first token
  std::uint32_t tokens;
  std::uint32_t window;
  float softcap;
};

// One sequence's keys and values of two KV heads, in pages at places out of order; only the second
// head is used.
struct Cache {
  static constexpr std::uint32_t kKvHeads = 2;
  Cache(const KernelTable& table, Random& random, bool half_precision, std::uint32_t positions,
        std::uint32_t dim)
      : half(half_precision),
        head_dim(dim),
        part_bytes(std::size_t{kKvHeads} * kPageTokens * dim * (half ? 2 : 4)),
        n_pages((positions + kPageTokens - 1) / kPageTokens),
        // Memory of positions that were never stored holds NaN.
        memory(n_pages * 2 * part_bytes, std::byte{0xff}) {
    for (std::uint32_t p = 0; p < n_pages; ++p)
      pages.push_back(memory.data() + (n_pages - 1 - p) * 2 * part_bytes);
    for (std::uint32_t position = 0; position < positions; ++position) {
      keys.push_back(random_floats(random, std::size_t{kKvHeads} * dim));
      values.push_back(random_floats(random, std::size_t{kKvHeads} * dim));
      std::byte* page = memory.data() + (n_pages - 1 - position / kPageTokens) * 2 * part_bytes;
      (half ? table.store_k_f16 : table.store_k_f32)(keys.back().data(), kKvHeads, dim, page,
                                                     position % kPageTokens);
      (half ? table.store_v_f16 : table.store_v_f32)(values.back().data(), kKvHeads, dim,
                                                     page + part_bytes, position % kPageTokens);
    }
  }
  // As stored, for KV head 1.
  double stored(const std::vector<float>& row, std::uint32_t i) const {
    const float x = row[head_dim + i];
    return half ? quant::f16_to_f32(quant::f32_to_f16(x)) : x;
  }
  bool half;
  std::uint32_t head_dim;
  std::size_t part_bytes;
  std::size_t n_pages;
  Guarded<std::byte> memory;
  std::vector<const std::byte*> pages;
  std::vector<std::vector<float>> keys;
  std::vector<std::vector<float>> values;
};

struct Call {
  Shape shape;
  std::size_t stride;  // between tokens, in q and out
  float scale;
};

std::vector<float> attend(const KernelTable& table, const Cache& cache, const Call& call,
                          const std::vector<float>& q, std::uint32_t token, std::uint32_t tokens) {
  const Shape& s = call.shape;
  const std::size_t used = (tokens - 1) * call.stride + s.heads * s.head_dim;
  const Guarded<float> out(used, -77.0f);
  const Guarded<float> queries(
      std::vector<float>(q.begin() + static_cast<std::ptrdiff_t>(token * call.stride),
                         q.begin() + static_cast<std::ptrdiff_t>(token * call.stride + used)));
  const Guarded<float> scratch(attention_scratch_floats(s.head_dim), NAN);
  const AttentionArgs args{.q = queries.data(),
                           .q_stride = call.stride,
                           .out = out.data(),
                           .out_stride = call.stride,
                           .pages = cache.pages.data(),
                           .k_offset = cache.part_bytes / 2,  // the second KV head
                           .v_offset = cache.part_bytes + cache.part_bytes / 2,
                           .first_position = s.first + token,
                           .n_tokens = tokens,
                           .n_heads = s.heads,
                           .head_dim = s.head_dim,
                           .window = s.window,
                           .scale = call.scale,
                           .softcap = s.softcap,
                           .scratch = scratch.data()};
  (cache.half ? table.attention_f16 : table.attention_f32)(args);
  return {out.data(), out.data() + used};
}

// Softmax attention in double of one row.
std::vector<double> reference_row(const Cache& cache, const Call& call, const float* q,
                                  std::uint32_t position) {
  const Shape& s = call.shape;
  const std::uint32_t begin =
      s.window != 0 && position + 1 > s.window ? position + 1 - s.window : 0;
  std::vector<double> scores;
  for (std::uint32_t key = begin; key <= position; ++key) {
    double dot = 0;
    for (std::uint32_t i = 0; i < s.head_dim; ++i)
      dot += static_cast<double>(q[i]) * cache.stored(cache.keys[key], i);
    dot *= call.scale;
    scores.push_back(s.softcap > 0 ? s.softcap * std::tanh(dot / s.softcap) : dot);
  }
  const double top = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  std::vector<double> out(s.head_dim, 0.0);
  for (std::size_t j = 0; j < scores.size(); ++j) {
    const double p = std::exp(scores[j] - top);
    sum += p;
    for (std::uint32_t i = 0; i < s.head_dim; ++i)
      out[i] += p * cache.stored(cache.values[begin + j], i);
  }
  for (double& x : out) x /= sum;
  return out;
}

constexpr Shape kShapes[] = {
    {1, 16, 0, 1, 0, 0},     {3, 64, 0, 7, 0, 0},     {3, 64, 61, 9, 0, 0},
    {4, 24, 130, 3, 0, 0},   {8, 40, 63, 2, 0, 0},    {5, 20, 15, 33, 0, 0},
    {2, 96, 100, 4, 0, 0},   {1, 128, 31, 2, 0, 0},   {6, 80, 20, 5, 0, 0},
    {1, 256, 70, 3, 0, 0},   {4, 32, 90, 40, 24, 0},  {2, 48, 200, 5, 64, 0},
    {4, 32, 40, 30, 32, 50}, {13, 64, 127, 1, 0, 30}, {4, 64, 5, 3, 1, 0},
    {1, 1, 3, 2, 0, 0},      {7, 8, 250, 10, 100, 0}, {2, 512, 33, 2, 0, 0},
};

class AttentionTest : public ::testing::TestWithParam<bool> {
 protected:
  // Calls check(shape's call, cache, queries) for every shape.
  template <class Check>
  void for_each_shape(const Check& check) const {
    Random random(41);
    for (const Shape& s : kShapes) {
      const Call call{s, std::size_t{s.heads} * s.head_dim + 5,
                      1.0f / std::sqrt(static_cast<float>(s.head_dim))};
      const Cache cache(scalar(), random, GetParam(), s.first + s.tokens, s.head_dim);
      const std::vector<float> q = random_floats(random, call.stride * s.tokens, 2);
      SCOPED_TRACE("heads " + std::to_string(s.heads) + " dim " + std::to_string(s.head_dim) +
                   " first " + std::to_string(s.first) + " tokens " + std::to_string(s.tokens));
      check(call, cache, q);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Precision, AttentionTest, ::testing::Bool(), [](const auto& precision) {
  return std::string(precision.param ? "f16" : "f32");
});

TEST_P(AttentionTest, ScalarAgreesWithDoubleArithmetic) {
  for_each_shape([](const Call& call, const Cache& cache, const std::vector<float>& q) {
    const Shape& s = call.shape;
    const std::vector<float> got = attend(scalar(), cache, call, q, 0, s.tokens);
    for (std::uint32_t t = 0; t < s.tokens; ++t) {
      for (std::uint32_t h = 0; h < s.heads; ++h) {
        const std::size_t at = t * call.stride + h * s.head_dim;
        const std::vector<double> want = reference_row(cache, call, q.data() + at, s.first + t);
        for (std::uint32_t i = 0; i < s.head_dim; ++i) {
          // Values are below 6; scores err by (head_dim + 8) 2^-24 sum |q k| scale < (head_dim + 8)
          // 2^-24 * 16.
          ASSERT_NEAR(got[at + i], want[i], (s.head_dim + 300) * 0x1p-24 * 16 * 6)
              << "t " << t << " h " << h << " i " << i;
        }
      }
    }
  });
}

TEST_P(AttentionTest, EveryTableGivesTheSameBits) {
  for_each_shape([](const Call& call, const Cache& cache, const std::vector<float>& q) {
    const std::vector<float> want = attend(scalar(), cache, call, q, 0, call.shape.tokens);
    for (const KernelTable* table : tables()) {
      const std::vector<float> got = attend(*table, cache, call, q, 0, call.shape.tokens);
      EXPECT_TRUE(same_bits(got.data(), want.data(), want.size())) << table->isa;
    }
  });
}

TEST_P(AttentionTest, ChunksOfTokensDoNotChangeBits) {
  for_each_shape([](const Call& call, const Cache& cache, const std::vector<float>& q) {
    const Shape& s = call.shape;
    for (const KernelTable* table : tables()) {
      const std::vector<float> whole = attend(*table, cache, call, q, 0, s.tokens);
      for (std::uint32_t t = 0; t < s.tokens; ++t) {
        const std::vector<float> alone = attend(*table, cache, call, q, t, 1);
        ASSERT_TRUE(same_bits(alone.data(), whole.data() + t * call.stride, alone.size()))
            << table->isa << " token " << t;
      }
    }
  });
}

TEST_P(AttentionTest, GapsBetweenTokensAreNotWritten) {
  for_each_shape([](const Call& call, const Cache& cache, const std::vector<float>& q) {
    for (const KernelTable* table : tables()) {
      const std::vector<float> out = attend(*table, cache, call, q, 0, call.shape.tokens);
      for (std::size_t i = 0; i < out.size(); ++i) {
        if (i % call.stride >= call.shape.heads * call.shape.head_dim) {
          EXPECT_EQ(out[i], -77.0f);
        }
      }
    }
  });
}

TEST_P(AttentionTest, StoresAreTheLayoutOfTheContract) {
  Random random(42);
  for (const std::uint32_t head_dim : {1u, 20u, 64u}) {
    for (const std::uint32_t slot : {0u, 15u, 16u, 31u}) {
      const std::uint32_t heads = 2;
      std::vector<float> x = random_floats(random, heads * head_dim);
      x[0] = 1e6f;  // saturates in f16
      const std::size_t element = GetParam() ? 2 : 4;
      for (const KernelTable* table : tables()) {
        Guarded<std::byte> k(heads * kPageTokens * head_dim * element);
        Guarded<std::byte> v(k.size());
        (GetParam() ? table->store_k_f16 : table->store_k_f32)(Guarded<float>(x).data(), heads,
                                                               head_dim, k.data(), slot);
        (GetParam() ? table->store_v_f16 : table->store_v_f32)(Guarded<float>(x).data(), heads,
                                                               head_dim, v.data(), slot);
        const auto element_at = [&](const Guarded<std::byte>& page, std::size_t i) {
          const void* p = page.data() + i * element;
          return GetParam() ? quant::f16_to_f32(*static_cast<const std::uint16_t*>(p))
                            : *static_cast<const float*>(p);
        };
        for (std::uint32_t h = 0; h < heads; ++h) {
          for (std::uint32_t i = 0; i < head_dim; ++i) {
            const float raw = x[h * head_dim + i];
            const float want =
                GetParam() ? quant::f16_to_f32(quant::f32_to_f16(std::min(raw, 65504.0f))) : raw;
            ASSERT_EQ(element_at(k, ((h * 2 + slot / 16) * head_dim + i) * 16 + slot % 16), want)
                << table->isa;
            ASSERT_EQ(element_at(v, (h * kPageTokens + slot) * head_dim + i), want) << table->isa;
          }
        }
        // Nothing else was written.
        EXPECT_EQ(
            static_cast<std::size_t>(std::count(k.data(), k.data() + k.size(), std::byte{0})) +
                    heads * head_dim * element >=
                k.size(),
            true);
      }
    }
  }
}

}  // namespace
}  // namespace holdfast::kernels::testing
