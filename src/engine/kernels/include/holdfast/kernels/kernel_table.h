// The kernels of one instruction set as function pointers, and the plain arguments that they take.
//
// Contract of every kernel: plain data in, plain data out; no allocation, lock, exception, log or
// library call. Arguments were validated by the caller. Input and output may not overlap unless the
// entry says so. Every pointer needs the alignment of its element type alone. All functions are
// thread-safe: the caller shares rows, heads or tokens out among its threads and no result depends
// on how.
//
// Bits: for the same arguments every table gives the same bits, and the result of a column, row,
// head or token does not depend on how many others are computed in the same call. (The payload of a
// NaN is the one exception.)
#pragma once

#include <cstddef>
#include <cstdint>

#include "holdfast/kernels/kv_types.h"

namespace holdfast::kernels {

// Activations for quantised weights. Per 32 consecutive k: x = d * q with -127 <= q <= 127.
struct ActivationView {
  const std::int8_t* q;     // [n][q_stride], k used
  const float* d;           // [n][d_stride], k / 32 used
  const std::int32_t* s16;  // [n][s16_stride], k / 16 used: sums of 16 consecutive q
  std::uint32_t n;          // columns (tokens), >= 0
  std::uint32_t k;          // a multiple of 32; of 256 for the superblock formats
  std::size_t q_stride;     // bytes from one column to the next
  std::size_t d_stride;     // elements
  std::size_t s16_stride;   // elements
};

// Activations for float weights.
struct FloatView {
  const float* x;      // [n][stride], k used
  std::uint32_t n;     // columns (tokens), >= 0
  std::uint32_t k;     // any
  std::size_t stride;  // elements
};

// out[column * out_stride + row] = (W x[column])[row] for the rows of groups [group_begin,
// group_end) that are below `rows`. `matrix` is the base of the packed matrix (group 0;
// quant/packed_blocks.h) of `rows` x x.k. Nothing outside these elements of `out` is written, in
// particular no padding rows.
using QuantGemm = void (*)(const std::byte* matrix, std::uint32_t rows, std::uint32_t group_begin,
                           std::uint32_t group_end, const ActivationView& x, float* out,
                           std::size_t out_stride);
using FloatGemm = void (*)(const std::byte* matrix, std::uint32_t rows, std::uint32_t group_begin,
                           std::uint32_t group_end, const FloatView& x, float* out,
                           std::size_t out_stride);

// Attention rows (tokens x heads) that one pass over the keys serves.
constexpr std::uint32_t kAttentionRows = 12;
// Keys per step of the online softmax; tiles begin at multiples of it, counted from position 0.
constexpr std::uint32_t kAttentionTile = 64;
// Keys whose weighted sum is formed alone; then the sums of chunks are combined in ascending order.
// Chunks begin at multiples of it, counted from position 0. So chunks can be computed anywhere, by
// anyone, and the combination is the same. At 256 keys the combining costs less than 1 %, and a
// context of 1000 tokens has enough chunks for a few threads.
constexpr std::uint32_t kAttentionChunk = 256;

[[gnu::always_inline]] constexpr std::size_t attention_padded(std::uint32_t head_dim) {
  return (static_cast<std::size_t>(head_dim) + 15) / 16 * 16;
}
// Floats of scratch memory that attention needs for heads of `head_dim`.
[[gnu::always_inline]] constexpr std::size_t attention_scratch_floats(std::uint32_t head_dim) {
  return kAttentionRows * (kAttentionTile + 3 * attention_padded(head_dim)) +
         attention_padded(head_dim);
}
// Floats of one row's unfinished result: the weighted sum of values, the largest score, the sum of
// weights.
[[gnu::always_inline]] constexpr std::size_t attention_partial_floats(std::uint32_t head_dim) {
  return attention_padded(head_dim) + 2;
}

// Attention of n_tokens consecutive positions of one sequence, for the n_heads query heads that
// share one KV head. Token t has position first_position + t and sees keys (position - window,
// position], or all up to its own position when window is 0. score = (q . k) * scale, then softcap
// * tanh(score / softcap) when softcap > 0; plain softmax. With quantised keys, q is quantised as
// quantize_activations does it, and the dot products are exact integers per 32 dimensions.
struct AttentionArgs {
  const float* q;          // [n_tokens][q_stride] of [n_heads][head_dim]
  std::size_t q_stride;    // elements from one token to the next
  float* out;              // [n_tokens][out_stride] of [n_heads][head_dim]
  std::size_t out_stride;  // elements
  const std::byte* const*
      pages;  // page p holds positions [32 p, 32 p + 32); all keys that are seen must be stored
  std::size_t k_offset;  // bytes from a page to the keys of this layer and KV head (kv_types.h)
  std::size_t v_offset;  // bytes from a page to the values of this layer and KV head
  std::uint32_t first_position;
  std::uint32_t n_tokens;  // >= 1
  std::uint32_t n_heads;   // >= 1
  std::uint32_t head_dim;  // >= 1; one that the KV type can store
  std::uint32_t window;    // 0: none
  float scale;
  float softcap;   // 0: none
  float* scratch;  // attention_scratch_floats(head_dim), owned by the calling thread
  // Null: all keys, finished results to `out`. Otherwise only the keys of the chunk that begins at
  // key_begin, and [n_tokens * n_heads][attention_partial_floats(head_dim)] unfinished results to
  // `partial`, for merge_attention.
  float* partial;
  std::uint32_t key_begin;  // with `partial`: a multiple of kAttentionChunk
};
using Attention = void (*)(const AttentionArgs& args);
// Writes one token's keys or values, [n_kv_heads][head_dim], to place `slot` (0..31) of a page;
// `page` is the base of the layer's keys or values. f16 rounds to nearest even and saturates at
// +-65504; the scales of quantised types likewise. q8_0: d = f16(max|x| / 127), q = x (1 / d) to
// the nearest. q4_0: d = f16(-1/8 of the x largest in magnitude, the first of them), q = fma(x, 1 /
// d, 8) to the nearest, within 0..15. Ties to even; all q are 0 (or 8) where d is 0.
using KvStore = void (*)(const float* x, std::uint32_t n_kv_heads, std::uint32_t head_dim,
                         std::byte* page, std::uint32_t slot);
struct KvKernels {
  KvStore store_k;
  KvStore store_v;
  Attention attention;
};

// Static data; its functions as the contract above says. The names of the matrix kernels come from
// formats.def.
struct KernelTable {
  const char* isa;  // "scalar", "avx2", "avxvnni", "avx512", "amx", "neon": the name that forces it
  // Columns per call, where there are as many, for which quantised weights are decoded once.
  std::size_t pass_columns;

  // W x for quantised weights. 32 k at a time, in ascending order, with `dot` exact integers:
  //   one scale:   acc = fma(float(dot(q - zero)), dw * d, acc)
  //   with a min:  then acc = fma(float(sum of q of x) * d, m, acc), m negated for the K formats
  //   two scales (16 k each): acc = fma(fma(float(dot1), dw1, float(dot0) * dw0), d, acc),
  //                then the mins of the halves, if any, in order
#define HF_QUANT_KERNEL(type, field) QuantGemm gemm_##field;
#define HF_FLOAT_KERNEL(type, field) FloatGemm gemm_##field;
#include "holdfast/kernels/formats.def"
#undef HF_QUANT_KERNEL
#undef HF_FLOAT_KERNEL

  // One row: per 32 values d = max|x| / 127, q = x * (127 / max|x|) to the nearest (ties to even),
  // s16 the sums. k a multiple of 32. A block whose maximum is below 1e-30 becomes zeros. NaN
  // becomes -127; the d of a block with an infinity is infinite.
  void (*quantize_activations)(const float* x, std::uint32_t k, std::int8_t* q, float* d,
                               std::int32_t* s16);

  // out = x / sqrt(mean(x^2) + eps) * weight; weight may be null. out may be x.
  void (*rms_norm)(const float* x, const float* weight, std::uint32_t n, float eps, float* out);
  // Element by element; out may be an input.
  void (*add)(const float* a, const float* b, std::uint32_t n, float* out);
  void (*mul)(const float* a, const float* b, std::uint32_t n, float* out);
  void (*scale)(const float* x, float factor, std::uint32_t n, float* out);
  // sum = fma(x, factor, sum): experts of a mixture.
  void (*add_scaled)(const float* x, float factor, std::uint32_t n, float* sum);
  // out = gate / (1 + exp(-gate)) * up
  void (*silu_mul)(const float* gate, const float* up, std::uint32_t n, float* out);
  // out = gate / 2 * (1 + tanh(sqrt(2 / pi) * (gate + 0.044715 gate^3))) * up
  void (*gelu_tanh_mul)(const float* gate, const float* up, std::uint32_t n, float* out);
  // out = cap * tanh(x / cap)
  void (*softcap)(const float* x, float cap, std::uint32_t n, float* out);
  // out = exp(x), 0 where that is below 2^-126
  void (*exp)(const float* x, std::uint32_t n, float* out);
  // out = softmax(x); out may be x. n >= 1.
  void (*softmax)(const float* x, std::uint32_t n, float* out);
  float (*max)(const float* x, std::uint32_t n);  // n >= 1
  // sum(exp(x - max)): log(sum_exp(x, n, max)) + max is the log of the softmax's denominator.
  float (*sum_exp)(const float* x, std::uint32_t n, float max);

  // Rotation of the first n_rot values (even, <= head_dim) of each head, in place; x:
  // [n_heads][head_dim], cos and sin: [n_rot / 2] of this position. Pair i is (2i, 2i + 1) in
  // rope_norm (llama), (i, i + n_rot / 2) in rope_neox. a' = a cos - b sin, b' = a sin + b cos.
  void (*rope_norm)(float* x, std::uint32_t n_heads, std::uint32_t head_dim, std::uint32_t n_rot,
                    const float* cos, const float* sin);
  void (*rope_neox)(float* x, std::uint32_t n_heads, std::uint32_t head_dim, std::uint32_t n_rot,
                    const float* cos, const float* sin);

  // [KvType]
  KvKernels kv[kKvTypes];
  // out[head_dim] of one row from its n_parts >= 1 unfinished results, `stride` floats from one to
  // the next, in the order of their chunks. The same bits as attention over all keys at once.
  // `scratch`: attention_padded(head_dim) floats.
  void (*merge_attention)(const float* partials, std::size_t stride, std::uint32_t n_parts,
                          std::uint32_t head_dim, float* out, float* scratch);

  void (*f16_to_f32)(const std::uint16_t* x, std::uint32_t n, float* out);
  void (*bf16_to_f32)(const std::uint16_t* x, std::uint32_t n, float* out);
  void (*f32_to_f16)(const float* x, std::uint32_t n, std::uint16_t* out);  // ties to even

  // Asks for `bytes` from `p` on to be brought into the L2 cache; a hint without effect on results.
  void (*prefetch)(const std::byte* p, std::size_t bytes);

  // Measures of speed: the most dot products of bytes, and fma, that one thread can do, on
  // registers alone. They return the operations done (a multiply-add counts 2), which depend on the
  // table. *sum gets the sum over all of them, modulo 2^32 for bytes.
  //   peak_dot: per step bytes . bytes; 64 bytes below 64. Codes of 8 bits: tables without a
  //             four-way dot instruction do more operations on narrower ones, which they widen
  //             later.
  //   peak_fma: per lane and step x * x.
  std::uint64_t (*peak_dot)(const std::uint8_t* bytes, std::uint32_t rounds, std::int32_t* sum);
  std::uint64_t (*peak_fma)(float x, std::uint32_t rounds, float* sum);
};

// Strides that keep the columns of a panel out of each other's cache sets: an odd number of cache
// lines.
constexpr std::size_t activation_q_stride(std::uint32_t k) {
  const std::size_t lines = (static_cast<std::size_t>(k) + 63) / 64;
  return (lines | 1) * 64;
}

}  // namespace holdfast::kernels
