// Speed of every kernel of every table that this machine runs, one thread.
//
// Matrix products count 2 * rows * k * columns operations ("GOPS") and the bytes of the packed
// matrix ("GB/s"). The matrix of "stream" cases is larger than the caches, that of "cache" cases
// stays in them. "of_peak" is the share of what the table's own peak loop reached right before and
// after the case: dots of bytes for quantised weights, fma for floats and attention. With --shares
// the program prints one line per format instead: the shares of its tiles.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
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

enum class Peak { kDot, kFma };

// Operations per second of the table's peak loop on this thread, over 10 ms.
double peak_rate(const KernelTable& table, Peak peak) {
  using Clock = std::chrono::steady_clock;
  std::array<std::uint8_t, 64> ones;
  ones.fill(1);
  std::int32_t dots = 0;
  float sums = 0;
  double operations = 0;
  const auto start = Clock::now();
  while (Clock::now() - start < std::chrono::milliseconds(10)) {
    operations += static_cast<double>(peak == Peak::kDot ? table.peak_dot(ones.data(), 2000, &dots)
                                                         : table.peak_fma(1.0f, 2000, &sums));
    benchmark::DoNotOptimize(dots);
    benchmark::DoNotOptimize(sums);
  }
  return operations / std::chrono::duration<double>(Clock::now() - start).count();
}

// The peak before a case and after it: on a shared machine it moves.
class PeakAround {
 public:
  PeakAround(const KernelTable& table, Peak peak)
      : table_(table), peak_(peak), before_(peak_rate(table, peak)) {}
  void report(benchmark::State& state, double operations) const {
    const double mean = (before_ + peak_rate(table_, peak_)) / 2;
    state.counters["of_peak"] =
        benchmark::Counter(operations / mean, benchmark::Counter::kIsIterationInvariantRate);
  }

 private:
  const KernelTable& table_;
  Peak peak_;
  double before_;
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
  const PeakAround peak(*table,
                        kernels::quant_gemm(*table, type) != nullptr ? Peak::kDot : Peak::kFma);
  for (auto _ : state) {
    if (const auto quantised = kernels::quant_gemm(*table, type)) {
      quantised(w.buffer.data(), rows, 0, rows / 16, x.view(), out.data(), rows);
    } else {
      kernels::float_gemm(*table, type)(w.buffer.data(), rows, 0, rows / 16, {x.x.data(), n, k, k},
                                        out.data(), rows);
    }
    benchmark::ClobberMemory();
  }
  peak.report(state, 2.0 * rows * k * n);
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
  const PeakAround peak(*table, Peak::kFma);
  for (auto _ : state) {
    kernels::kv_kernels(*table, type).attention(args);
    benchmark::ClobberMemory();
  }
  const double keys = tokens * (depth + 0.5 * (tokens + 1));
  peak.report(state, 4.0 * keys * heads * head_dim);
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

// Tiles of 12 and 96 columns from caches, in this many rounds of about 20 ms; the medians.
constexpr int kShareRounds = 7;

double tile_share(const KernelTable& table, const Matrix& w, TensorType type, std::uint32_t n) {
  constexpr std::uint32_t kRows = 512;
  constexpr std::uint32_t kColumns = 1536;
  using Clock = std::chrono::steady_clock;
  const Activations x(table, n, kColumns);
  std::vector<float> out(std::size_t{n} * kRows);
  const auto quantised = kernels::quant_gemm(table, type);
  const Peak peak = quantised != nullptr ? Peak::kDot : Peak::kFma;
  std::vector<double> shares;
  for (int round = 0; round < kShareRounds; ++round) {
    const double before = peak_rate(table, peak);
    double operations = 0;
    const auto start = Clock::now();
    while (Clock::now() - start < std::chrono::milliseconds(20)) {
      if (quantised != nullptr) {
        quantised(w.buffer.data(), kRows, 0, kRows / 16, x.view(), out.data(), kRows);
      } else {
        kernels::float_gemm(table, type)(w.buffer.data(), kRows, 0, kRows / 16,
                                         {x.x.data(), n, kColumns, kColumns}, out.data(), kRows);
      }
      operations += 2.0 * kRows * kColumns * n;
    }
    const double rate = operations / std::chrono::duration<double>(Clock::now() - start).count();
    shares.push_back(2 * rate / (before + peak_rate(table, peak)));
  }
  std::nth_element(shares.begin(), shares.begin() + kShareRounds / 2, shares.end());
  return shares[kShareRounds / 2];
}

// CSV: what share of the peak each format's tiles reach.
int print_shares() {
  std::printf("isa,format,peak,peak_gops,share_12_columns,share_96_columns\n");
  for (const KernelTable* table : kernels::available_kernels(platform::CpuFeatures::detect())) {
    if (table->isa[0] == 's') continue;
    for (const quant::TypeInfo& type : quant::all_types()) {
      if (!type.is_packed()) continue;
      const bool dots = kernels::quant_gemm(*table, type.type) != nullptr;
      const Matrix w(type.type, 512, 1536);
      std::printf("%s,%s,%s,%.0f,%.3f,%.3f\n", table->isa, std::string(type.name).c_str(),
                  dots ? "int8" : "f32", peak_rate(*table, dots ? Peak::kDot : Peak::kFma) / 1e9,
                  tile_share(*table, w, type.type, 12), tile_share(*table, w, type.type, 96));
      std::fflush(stdout);
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--shares") == 0) return print_shares();
  for (const KernelTable* table : kernels::available_kernels(platform::CpuFeatures::detect()))
    register_table(table);
  benchmark::RegisterBenchmark("memory/read", read_memory);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
