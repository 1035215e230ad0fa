// Names of one instruction set's kernels, HF_ISA, between its translation units. They are strong
// symbols in a namespace of their own, so that table.cc can be constant data.
#pragma once

#include <cstddef>
#include <cstdint>

#include "holdfast/kernels/kernel_table.h"

namespace holdfast::kernels::HF_ISA {

#define HF_QUANT_KERNEL(type, field)                                                        \
  void gemm_##field(const std::byte* matrix, std::uint32_t rows, std::uint32_t group_begin, \
                    std::uint32_t group_end, const ActivationView& x, float* out,           \
                    std::size_t out_stride);
#define HF_FLOAT_KERNEL(type, field)                                                        \
  void gemm_##field(const std::byte* matrix, std::uint32_t rows, std::uint32_t group_begin, \
                    std::uint32_t group_end, const FloatView& x, float* out,                \
                    std::size_t out_stride);
#include "holdfast/kernels/formats.def"
#undef HF_QUANT_KERNEL
#undef HF_FLOAT_KERNEL

void quantize_activations(const float* x, std::uint32_t k, std::int8_t* q, float* d,
                          std::int32_t* s16);
void rms_norm(const float* x, const float* weight, std::uint32_t n, float eps, float* out);
void add(const float* a, const float* b, std::uint32_t n, float* out);
void mul(const float* a, const float* b, std::uint32_t n, float* out);
void scale(const float* x, float factor, std::uint32_t n, float* out);
void add_scaled(const float* x, float factor, std::uint32_t n, float* sum);
void silu_mul(const float* gate, const float* up, std::uint32_t n, float* out);
void gelu_tanh_mul(const float* gate, const float* up, std::uint32_t n, float* out);
void softcap(const float* x, float cap, std::uint32_t n, float* out);
void exp(const float* x, std::uint32_t n, float* out);
void softmax(const float* x, std::uint32_t n, float* out);
float max(const float* x, std::uint32_t n);
float sum_exp(const float* x, std::uint32_t n, float max);
void rope_norm(float* x, std::uint32_t n_heads, std::uint32_t head_dim, std::uint32_t n_rot,
               const float* cos, const float* sin);
void rope_neox(float* x, std::uint32_t n_heads, std::uint32_t head_dim, std::uint32_t n_rot,
               const float* cos, const float* sin);
#define HF_KV_TYPE(enumerator, name)                                                    \
  void store_k_##name(const float* x, std::uint32_t n_kv_heads, std::uint32_t head_dim, \
                      std::byte* page, std::uint32_t slot);                             \
  void store_v_##name(const float* x, std::uint32_t n_kv_heads, std::uint32_t head_dim, \
                      std::byte* page, std::uint32_t slot);                             \
  void attention_##name(const AttentionArgs& args);
#include "holdfast/footprint/kv_types.def"
#undef HF_KV_TYPE
void merge_attention(const float* partials, std::size_t stride, std::uint32_t n_parts,
                     std::uint32_t head_dim, float* out, float* scratch);
void f16_to_f32(const std::uint16_t* x, std::uint32_t n, float* out);
void bf16_to_f32(const std::uint16_t* x, std::uint32_t n, float* out);
void f32_to_f16(const float* x, std::uint32_t n, std::uint16_t* out);
void prefetch(const std::byte* p, std::size_t bytes);
std::uint64_t peak_dot(const std::uint8_t* bytes, std::uint32_t rounds, std::int32_t* sum);
std::uint64_t peak_fma(float x, std::uint32_t rounds, float* sum);

}  // namespace holdfast::kernels::HF_ISA
