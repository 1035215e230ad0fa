// Speed of every kernel of every table that this machine runs, one thread.
//
// Matrix products count 2 * rows * k * columns operations ("GOPS") and the bytes of the packed
// matrix ("GB/s"). The matrix of "stream" cases is larger than the caches, that of "cache" cases
// stays in them. Peak figures to compare with: docs/internals/kernels.md.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "holdfast/kernels/kernel_table.h"
#include "holdfast/kernels/select.h"
#include "holdfast/platform/cpu.h"
#include "holdfast/platform/huge_memory.h"
#include "holdfast/quant/packed.h"

namespace {

using namespace holdfast;
using kernels::KernelTable;
using quant::TensorType;

struct Matrix {
  Matrix(TensorType type, std::uint32_t rows, std::uint32_t k)
      : buffer(platform::LargeBuffer::allocate(quant::packed_bytes(type, rows, k).value(), nullptr)
                   .value()) {
    std::mt19937_64 random(1);
    // Small exponents: nothing is infinite or subnormal.
    for (std::byte& b : buffer.bytes()) b = std::byte(random() & 0x3f);
  }
  platform::LargeBuffer buffer;  // huge pages, as the engine has
};

struct Activations {
  Activations(const KernelTable& table, std::uint32_t n, std::uint32_t k)
      : x(std::size_t{n} * k),
        stride(kernels::activation_q_stride(k)),
        q(n * stride),
        d(std::size_t{n} * k / 32),
        s16(std::size_t{n} * k / 16),
        out_n(n),
        out_k(k) {
    std::mt19937_64 random(2);
    std::normal_distribution<float> normal;
    for (float& v : x) v = normal(random);
    for (std::size_t c = 0; c < n; ++c) {
      table.quantize_activations(x.data() + c * k, k, q.data() + c * stride,
                                 d.data() + c * (k / 32), s16.data() + c * (k / 16));
    }
  }
  kernels::ActivationView view() const {
    return {q.data(), d.data(), s16.data(), out_n, out_k, stride, out_k / 32, out_k / 16};
  }
  std::vector<float> x;
  std::size_t stride;
  std::vector<std::int8_t> q;
  std::vector<float> d;
  std::vector<std::int32_t> s16;
  std::uint32_t out_n;
  std::uint32_t out_k;
};

void report(benchmark::State& state, double operations, double bytes) {
  state.counters["GOPS"] =
      benchmark::Counter(operations * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["GB/s"] =
      benchmark::Counter(bytes * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void gemm(benchmark::State& state, const KernelTable* table, TensorType type, std::uint32_t rows,
          std::uint32_t k, std::uint32_t n) {
  const Matrix w(type, rows, k);
  const Activations x(*table, n, k);
  std::vector<float> out(std::size_t{n} * rows);
  for (auto _ : state) {
    if (const auto quantised = kernels::quant_gemm(*table, type)) {
      quantised(w.buffer.data(), rows, 0, rows / 16, x.view(), out.data(), rows);
    } else {
      kernels::float_gemm(*table, type)(w.buffer.data(), rows, 0, rows / 16, {x.x.data(), n, k, k},
                                        out.data(), rows);
    }
    benchmark::ClobberMemory();
  }
  report(state, 2.0 * rows * k * n, static_cast<double>(w.buffer.size()));
}

void attention(benchmark::State& state, const KernelTable* table, kernels::KvType type,
               std::uint32_t tokens, std::uint32_t heads, std::uint32_t head_dim,
               std::uint32_t depth) {
  const std::size_t part = kernels::kv_head_bytes(type, head_dim);
  const std::size_t pages = (depth + tokens + kernels::kPageTokens - 1) / kernels::kPageTokens;
  std::vector<std::byte> memory(pages * 2 * part);
  std::vector<const std::byte*> table_of_pages;
  for (std::size_t p = 0; p < pages; ++p) table_of_pages.push_back(memory.data() + p * 2 * part);
  std::mt19937_64 random(3);
  for (std::byte& b : memory) b = std::byte(random() & 0x2f);
  std::vector<float> q(std::size_t{tokens} * heads * head_dim, 0.01f);
  std::vector<float> out(q.size());
  std::vector<float> scratch(kernels::attention_scratch_floats(head_dim));
  const kernels::AttentionArgs args{.q = q.data(),
                                    .q_stride = heads * head_dim,
                                    .out = out.data(),
                                    .out_stride = heads * head_dim,
                                    .pages = table_of_pages.data(),
                                    .k_offset = 0,
                                    .v_offset = part,
                                    .first_position = depth,
                                    .n_tokens = tokens,
                                    .n_heads = heads,
                                    .head_dim = head_dim,
                                    .window = 0,
                                    .scale = 0.125f,
                                    .softcap = 0,
                                    .scratch = scratch.data(),
                                    .partial = nullptr,
                                    .key_begin = 0};
  for (auto _ : state) {
    kernels::kv_kernels(*table, type).attention(args);
    benchmark::ClobberMemory();
  }
  const double keys = tokens * (depth + 0.5 * (tokens + 1));
  report(state, 4.0 * keys * heads * head_dim, static_cast<double>(memory.size()));
}

// An operation on one vector, with the bytes that it moves per element.
template <class Run>
void vector_case(const std::string& name, std::uint32_t n, double bytes, Run run) {
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    std::vector<float> a(n, 0.7f);
    std::vector<float> b(n, 0.3f);
    std::vector<float> out(n);
    for (auto _ : state) {
      run(a.data(), b.data(), n, out.data());
      benchmark::ClobberMemory();
    }
    report(state, n, bytes * n);
  });
}

void register_vectors(const KernelTable* t) {
  const std::string prefix = std::string(t->isa) + "/";
  constexpr std::uint32_t n = 1536;
  vector_case(prefix + "rms_norm", n, 12, [=](float* a, float* b, std::uint32_t m, float* out) {
    t->rms_norm(a, b, m, 1e-5f, out);
  });
  vector_case(prefix + "silu_mul", n, 12,
              [=](float* a, float* b, std::uint32_t m, float* out) { t->silu_mul(a, b, m, out); });
  vector_case(
      prefix + "gelu_tanh_mul", n, 12,
      [=](float* a, float* b, std::uint32_t m, float* out) { t->gelu_tanh_mul(a, b, m, out); });
  vector_case(prefix + "softmax", n, 8,
              [=](float* a, float*, std::uint32_t m, float* out) { t->softmax(a, m, out); });
  vector_case(prefix + "add", n, 12,
              [=](float* a, float* b, std::uint32_t m, float* out) { t->add(a, b, m, out); });
  vector_case(
      prefix + "quantize_activations", n, 5, [=](float* a, float* b, std::uint32_t m, float* out) {
        std::int32_t sums[n / 16];
        t->quantize_activations(a, m, static_cast<std::int8_t*>(static_cast<void*>(out)), b, sums);
      });
}

void register_table(const KernelTable* table) {
  const std::string prefix = std::string(table->isa) + "/";
  const bool slow = table->isa[0] == 's';
  for (const quant::TypeInfo& type : quant::all_types()) {
    if (!type.is_packed()) continue;
    const std::string name = prefix + std::string(type.name);
    for (const std::uint32_t n : {1u, 2u, 4u, 8u, 12u, 16u, 96u}) {
      if (slow && n > 1) continue;
      benchmark::RegisterBenchmark((name + "/cache/n:" + std::to_string(n)).c_str(), gemm, table,
                                   type.type, 512, 1536, n);
    }
    if (!slow)
      benchmark::RegisterBenchmark((name + "/stream/n:1").c_str(), gemm, table, type.type, 32768,
                                   4096, 1);
  }
  for (std::size_t i = 0; i < kernels::kKvTypes; ++i) {
    const auto type = static_cast<kernels::KvType>(i);
    const std::string name = prefix + "attention_" + std::string(kernels::kv_type_name(type));
    benchmark::RegisterBenchmark((name + "/decode/3x64/depth:2048").c_str(), attention, table, type,
                                 1, 3, 64, 2048);
    if (slow) continue;
    benchmark::RegisterBenchmark((name + "/prefill/3x64/512@0").c_str(), attention, table, type,
                                 512, 3, 64, 0);
    benchmark::RegisterBenchmark((name + "/prefill/4x128/64@2048").c_str(), attention, table, type,
                                 64, 4, 128, 2048);
  }
  register_vectors(table);
}

// What the memory gives: the bound of every "stream" case.
void read_memory(benchmark::State& state) {
  platform::LargeBuffer buffer = platform::LargeBuffer::allocate(64u << 20, nullptr).value();
  for (std::byte& b : buffer.bytes()) b = std::byte{1};  // no page is the shared zero page
  const auto* words = static_cast<const std::uint64_t*>(static_cast<const void*>(buffer.data()));
  for (auto _ : state) {
    std::uint64_t sums[8] = {};
    for (std::size_t i = 0; i < buffer.size() / 8; i += 8) {
      for (std::size_t j = 0; j < 8; ++j) sums[j] += words[i + j];
    }
    benchmark::DoNotOptimize(sums);
  }
  report(state, 0, static_cast<double>(buffer.size()));
}

}  // namespace

int main(int argc, char** argv) {
  for (const KernelTable* table : kernels::available_kernels(platform::CpuFeatures::detect()))
    register_table(table);
  benchmark::RegisterBenchmark("memory/read", read_memory);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
