// Attention and the stores into KV pages. Oracles: softmax attention in double over the values as
// stored; the scalar table, bit for bit; many tokens in one call against one token per call; chunks
// of keys computed apart and merged against all keys in one call; any placement of pages.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "holdfast/quant/half.h"
#include "holdfast/quant/packed_blocks.h"
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

float as_half(float x) { return quant::f16_to_f32(quant::f32_to_f16(x)); }

// 32 values as a block stores them, by the formulas of KvStore.
std::array<float, 32> stored_block(KvType type, const float* x) {
  std::array<float, 32> out{};
  float peak = 0;
  for (int i = 0; i < 32; ++i)
    if (std::fabs(x[i]) > std::fabs(peak)) peak = x[i];
  const float d = as_half(type == KvType::kQ8_0 ? std::fabs(peak) / 127.0f : peak / -8.0f);
  const float inverse = d == 0.0f ? 0.0f : 1.0f / d;
  for (int i = 0; i < 32; ++i) {
    if (type == KvType::kQ8_0) {
      out[i] = d * std::clamp(std::nearbyint(x[i] * inverse), -127.0f, 127.0f);
    } else {
      out[i] = d * (std::clamp(std::nearbyint(std::fma(x[i], inverse, 8.0f)), 0.0f, 15.0f) - 8.0f);
    }
  }
  return out;
}

std::vector<float> stored_row(KvType type, const std::vector<float>& x) {
  std::vector<float> out = x;
  if (type == KvType::kF16) std::transform(x.begin(), x.end(), out.begin(), as_half);
  for (std::size_t i = 0; kv_quantised(type) && i < x.size(); i += 32) {
    const auto block = stored_block(type, x.data() + i);
    std::copy(block.begin(), block.end(), out.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return out;
}

// One sequence's keys and values of two KV heads, in pages at places out of order; only the second
// head is used.
struct Cache {
  static constexpr std::uint32_t kKvHeads = 2;
  Cache(const KernelTable& table, Random& random, KvType kv_type, std::uint32_t positions,
        std::uint32_t dim)
      : type(kv_type),
        head_dim(dim),
        part_bytes(kKvHeads * kv_head_bytes(kv_type, dim)),
        n_pages((positions + kPageTokens - 1) / kPageTokens),
        // Memory of positions that were never stored holds NaN.
        memory(n_pages * 2 * part_bytes, std::byte{0xff}) {
    const KvKernels& kv = kv_kernels(table, type);
    for (std::uint32_t p = 0; p < n_pages; ++p)
      pages.push_back(memory.data() + (n_pages - 1 - p) * 2 * part_bytes);
    for (std::uint32_t position = 0; position < positions; ++position) {
      const std::vector<float> k = random_floats(random, std::size_t{kKvHeads} * dim);
      const std::vector<float> v = random_floats(random, std::size_t{kKvHeads} * dim);
      std::byte* page = memory.data() + (n_pages - 1 - position / kPageTokens) * 2 * part_bytes;
      kv.store_k(k.data(), kKvHeads, dim, page, position % kPageTokens);
      kv.store_v(v.data(), kKvHeads, dim, page + part_bytes, position % kPageTokens);
      keys.push_back(stored_row(type, k));
      values.push_back(stored_row(type, v));
    }
  }
  // As stored, for KV head 1.
  double stored(const std::vector<float>& row, std::uint32_t i) const { return row[head_dim + i]; }
  // As the scores see it.
  std::vector<float> query(const float* q) const {
    std::vector<float> out(q, q + head_dim);
    if (!kv_quantised(type)) return out;
    const Activations codes(scalar(), out, 1, head_dim);
    for (std::uint32_t i = 0; i < head_dim; ++i) out[i] = codes.d[i / 32] * codes.q[i];
    return out;
  }
  KvType type;
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

// Arguments of tokens [token, token + tokens) of a call; q, out and scratch are the caller's.
AttentionArgs arguments(const Cache& cache, const Call& call, std::uint32_t token,
                        std::uint32_t tokens) {
  const Shape& s = call.shape;
  return {.q = nullptr,
          .q_stride = call.stride,
          .out = nullptr,
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
          .scratch = nullptr,
          .partial = nullptr,
          .key_begin = 0};
}

std::vector<float> attend(const KernelTable& table, const Cache& cache, const Call& call,
                          const std::vector<float>& q, std::uint32_t token, std::uint32_t tokens) {
  const Shape& s = call.shape;
  const std::size_t used = (tokens - 1) * call.stride + s.heads * s.head_dim;
  const Guarded<float> out(used, -77.0f);
  const Guarded<float> queries(
      std::vector<float>(q.begin() + static_cast<std::ptrdiff_t>(token * call.stride),
                         q.begin() + static_cast<std::ptrdiff_t>(token * call.stride + used)));
  const Guarded<float> scratch(attention_scratch_floats(s.head_dim), NAN);
  AttentionArgs args = arguments(cache, call, token, tokens);
  args.q = queries.data();
  args.out = out.data();
  args.scratch = scratch.data();
  kv_kernels(table, cache.type).attention(args);
  return {out.data(), out.data() + used};
}

// All tokens of a call, chunk by chunk from the last to the first, and merged.
std::vector<float> attend_in_chunks(const KernelTable& table, const Cache& cache, const Call& call,
                                    const std::vector<float>& q) {
  const Shape& s = call.shape;
  const std::size_t rows = std::size_t{s.tokens} * s.heads;
  const std::size_t floats = attention_partial_floats(s.head_dim);
  const std::uint32_t chunks = (s.first + s.tokens + kAttentionChunk - 1) / kAttentionChunk;
  const Guarded<float> partials(chunks * rows * floats, NAN);
  const Guarded<float> scratch(attention_scratch_floats(s.head_dim), NAN);
  AttentionArgs args = arguments(cache, call, 0, s.tokens);
  args.q = q.data();
  args.scratch = scratch.data();
  for (std::uint32_t i = chunks; i-- > 0;) {
    args.partial = partials.data() + i * rows * floats;
    args.key_begin = i * kAttentionChunk;
    kv_kernels(table, cache.type).attention(args);
  }
  std::vector<float> out(q.size(), -77.0f);
  const Guarded<float> total(attention_padded(s.head_dim), NAN);
  for (std::size_t r = 0; r < rows; ++r) {
    table.merge_attention(partials.data() + r * floats, rows * floats, chunks, s.head_dim,
                          out.data() + r / s.heads * call.stride + r % s.heads * s.head_dim,
                          total.data());
  }
  return out;
}

// Softmax attention in double of one row.
std::vector<double> reference_row(const Cache& cache, const Call& call, const float* q,
                                  std::uint32_t position) {
  const Shape& s = call.shape;
  const std::uint32_t begin =
      s.window != 0 && position + 1 > s.window ? position + 1 - s.window : 0;
  const std::vector<float> query = cache.query(q);
  std::vector<double> scores;
  for (std::uint32_t key = begin; key <= position; ++key) {
    double dot = 0;
    for (std::uint32_t i = 0; i < s.head_dim; ++i)
      dot += static_cast<double>(query[i]) * cache.stored(cache.keys[key], i);
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
    {1, 16, 0, 1, 0, 0},
    {3, 64, 0, 7, 0, 0},
    {3, 64, 61, 9, 0, 0},
    {4, 24, 130, 3, 0, 0},
    {8, 40, 63, 2, 0, 0},
    {5, 20, 15, 33, 0, 0},
    {2, 96, 100, 4, 0, 0},
    {1, 128, 31, 2, 0, 0},
    {6, 80, 20, 5, 0, 0},
    {1, 256, 70, 3, 0, 0},
    {4, 32, 90, 40, 24, 0},
    {2, 48, 200, 5, 64, 0},
    {4, 32, 40, 30, 32, 50},
    {13, 64, 127, 1, 0, 30},
    {4, 64, 5, 3, 1, 0},
    {1, 1, 3, 2, 0, 0},
    {7, 8, 250, 10, 100, 0},
    {2, 512, 33, 2, 0, 0},
    // Several chunks: at the edges of one, inside a window that spans some, behind a soft cap.
    {3, 64, 250, 12, 0, 0},
    {1, 32, 255, 1, 0, 0},
    {5, 32, 256, 2, 0, 0},
    {4, 32, 700, 9, 300, 0},
    {2, 64, 1030, 3, 0, 20},
    {12, 20, 600, 1, 256, 0},
};

class AttentionTest : public ::testing::TestWithParam<KvType> {
 protected:
  // Calls check(shape's call, cache, queries) for every shape.
  template <class Check>
  void for_each_shape(const Check& check) const {
    Random random(41);
    for (const Shape& s : kShapes) {
      if (!kv_dim_fits(GetParam(), s.head_dim)) continue;
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
INSTANTIATE_TEST_SUITE_P(KvTypes, AttentionTest,
                         ::testing::Values(KvType::kF16, KvType::kF32, KvType::kQ8_0,
                                           KvType::kQ4_0),
                         [](const auto& type) { return std::string(kv_type_name(type.param)); });

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

TEST_P(AttentionTest, ChunksOfKeysComputedApartGiveTheSameBits) {
  for_each_shape([](const Call& call, const Cache& cache, const std::vector<float>& q) {
    const Shape& s = call.shape;
    for (const KernelTable* table : tables()) {
      const std::vector<float> whole = attend(*table, cache, call, q, 0, s.tokens);
      const std::vector<float> merged = attend_in_chunks(*table, cache, call, q);
      ASSERT_TRUE(same_bits(merged.data(), whole.data(), whole.size())) << table->isa;
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

// Key element i of head h at `slot`, read as kv_types.h describes the page.
float key_at(KvType type, const std::byte* page, std::uint32_t head_dim, std::uint32_t h,
             std::uint32_t slot, std::uint32_t i) {
  page += h * kv_head_bytes(type, head_dim);
  const void* block =
      page + (slot / 16 * (head_dim / 32) + i / 32) *
                 (type == KvType::kQ8_0 ? sizeof(quant::BlockP8_0) : sizeof(quant::BlockP4_0));
  const std::uint32_t lane = slot % 16, k = i % 32;
  const std::size_t plain = (slot / 16 * std::size_t{head_dim} + i) * 16 + lane;
  const void* data = page;
  switch (type) {
    case KvType::kF16:
      return quant::f16_to_f32(static_cast<const std::uint16_t*>(data)[plain]);
    case KvType::kF32:
      return static_cast<const float*>(data)[plain];
    case KvType::kQ8_0: {
      const auto& b = *static_cast<const quant::BlockP8_0*>(block);
      return quant::f16_to_f32(b.d[lane]) *
             static_cast<float>(b.bytes[k / 4][4 * lane + k % 4] - 128);
    }
    case KvType::kQ4_0: {
      const auto& b = *static_cast<const quant::BlockP4_0*>(block);
      const int byte = b.nibbles[k % 16 / 4][4 * lane + k % 4];
      return quant::f16_to_f32(b.d[lane]) *
             static_cast<float>((k < 16 ? byte & 15 : byte >> 4) - 8);
    }
  }
  return 0;
}

float value_at(KvType type, const std::byte* page, std::uint32_t head_dim, std::uint32_t h,
               std::uint32_t slot, std::uint32_t i) {
  page += h * kv_head_bytes(type, head_dim);
  const void* data = page;
  const std::size_t plain = slot * std::size_t{head_dim} + i;
  if (type == KvType::kF16)
    return quant::f16_to_f32(static_cast<const std::uint16_t*>(data)[plain]);
  if (type == KvType::kF32) return static_cast<const float*>(data)[plain];
  const float d = quant::f16_to_f32(static_cast<const std::uint16_t*>(data)[plain / 32]);
  const std::byte* codes = page + 32 * (head_dim / 32) * 2;
  if (type == KvType::kQ8_0) return d * static_cast<float>(static_cast<std::int8_t>(codes[plain]));
  const int byte = static_cast<int>(codes[plain / 32 * 16 + i % 16]);
  return d * static_cast<float>((i % 32 < 16 ? byte & 15 : byte >> 4) - 8);
}

TEST_P(AttentionTest, StoresAreTheLayoutOfTheContract) {
  Random random(42);
  const KvType type = GetParam();
  const std::uint32_t heads = 2;
  for (const std::uint32_t head_dim : {1u, 20u, 64u, 96u}) {
    if (!kv_dim_fits(type, head_dim)) continue;
    for (const std::uint32_t slot : {0u, 15u, 16u, 31u}) {
      std::vector<float> x = random_floats(random, heads * head_dim);
      if (type == KvType::kF16) x[0] = 1e6f;  // saturates
      if (type == KvType::kQ8_0 && head_dim > 32)
        std::fill(x.begin() + 32, x.begin() + 64, 0.0f);  // no scale at all
      std::vector<float> want = stored_row(type, x);
      if (type == KvType::kF16) want[0] = 65504.0f;
      for (const KernelTable* table : tables()) {
        const Guarded<std::byte> k(heads * kv_head_bytes(type, head_dim), std::byte{0xa5});
        const Guarded<std::byte> v(k.size(), std::byte{0xa5});
        kv_kernels(*table, type).store_k(Guarded<float>(x).data(), heads, head_dim, k.data(), slot);
        kv_kernels(*table, type).store_v(Guarded<float>(x).data(), heads, head_dim, v.data(), slot);
        for (std::uint32_t i = 0; i < heads * head_dim; ++i) {
          const std::uint32_t h = i / head_dim, at = i % head_dim;
          ASSERT_EQ(key_at(type, k.data(), head_dim, h, slot, at), want[i]) << table->isa << i;
          ASSERT_EQ(value_at(type, v.data(), head_dim, h, slot, at), want[i]) << table->isa << i;
        }
        // Nothing else was written.
        for (const auto* page : {&k, &v}) {
          const auto untouched =
              std::count(page->data(), page->data() + page->size(), std::byte{0xa5});
          EXPECT_GE(static_cast<std::size_t>(untouched) + k.size() / kPageTokens, k.size());
        }
      }
    }
  }
}

}  // namespace
}  // namespace holdfast::kernels::testing
