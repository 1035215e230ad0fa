#include "holdfast/kernels/select.h"

#include <array>
#include <string>

namespace holdfast::kernels {

// One per folder of kernels; each is compiled with the flags of its instruction set.
extern const KernelTable kKernelsScalar;
#if HOLDFAST_KERNELS_X86
extern const KernelTable kKernelsAvx2;
extern const KernelTable kKernelsAvxVnni;
extern const KernelTable kKernelsAvx512;
extern const KernelTable kKernelsAmx;
#endif
#if HOLDFAST_KERNELS_NEON
extern const KernelTable kKernelsNeon;
#endif

namespace {

using Usable = bool (*)(const platform::CpuFeatures&);

struct Candidate {
  const char* isa;
  const KernelTable* table;  // nullptr: not in a build for this architecture
  Usable usable;  // every feature that the folder's compile flags allow the compiler to use
};

#if HOLDFAST_KERNELS_X86
constexpr const KernelTable* kAvx2 = &kKernelsAvx2;
constexpr const KernelTable* kAvxVnni = &kKernelsAvxVnni;
constexpr const KernelTable* kAvx512 = &kKernelsAvx512;
constexpr const KernelTable* kAmx = &kKernelsAmx;
#else
constexpr const KernelTable* kAvx2 = nullptr;
constexpr const KernelTable* kAvxVnni = nullptr;
constexpr const KernelTable* kAvx512 = nullptr;
constexpr const KernelTable* kAmx = nullptr;
#endif
#if HOLDFAST_KERNELS_NEON
constexpr const KernelTable* kNeon = &kKernelsNeon;
#else
constexpr const KernelTable* kNeon = nullptr;
#endif

bool has_avx2(const platform::CpuFeatures& cpu) { return cpu.avx2 && cpu.fma && cpu.f16c; }
bool has_avx512(const platform::CpuFeatures& cpu) {
  return has_avx2(cpu) && cpu.avx512f && cpu.avx512bw && cpu.avx512vl && cpu.avx512dq &&
         cpu.avx512vnni;
}

// The worst first.
constexpr std::array kCandidates = {
    Candidate{"scalar", &kKernelsScalar, [](const platform::CpuFeatures&) { return true; }},
    Candidate{"neon", kNeon,
              [](const platform::CpuFeatures& cpu) { return cpu.neon && cpu.dotprod; }},
    Candidate{"avx2", kAvx2, has_avx2},
    Candidate{"avxvnni", kAvxVnni,
              [](const platform::CpuFeatures& cpu) { return has_avx2(cpu) && cpu.avx_vnni; }},
    // A machine with AVX-512 but without VNNI is served by the AVX2 table.
    Candidate{"avx512", kAvx512, has_avx512},
    Candidate{"amx", kAmx,
              [](const platform::CpuFeatures& cpu) {
                return has_avx512(cpu) && cpu.amx_tile && cpu.amx_int8;
              }},
};

bool runs(const Candidate& candidate, const platform::CpuFeatures& cpu) {
  return candidate.table != nullptr && candidate.usable(cpu);
}

}  // namespace

Result<const KernelTable*> select_kernels(const platform::CpuFeatures& cpu,
                                          std::string_view forced) {
  if (forced.empty()) return available_kernels(cpu).back();
  for (const Candidate& candidate : kCandidates) {
    if (forced != candidate.isa) continue;
    if (runs(candidate, cpu)) return candidate.table;
    return unsupported("The instruction set '" + std::string(forced) +
                       "' was asked for, but this machine or this build does not have it.");
  }
  return invalid_argument("Unknown instruction set '" + std::string(forced) +
                          "'; known are scalar, avx2, avxvnni, avx512, amx and neon.");
}

std::vector<const KernelTable*> available_kernels(const platform::CpuFeatures& cpu) {
  std::vector<const KernelTable*> tables;
  for (const Candidate& candidate : kCandidates) {
    if (runs(candidate, cpu)) tables.push_back(candidate.table);
  }
  return tables;
}

QuantGemm quant_gemm(const KernelTable& table, quant::TensorType packed) {
  switch (packed) {
#define HF_QUANT_KERNEL(type, field) \
  case quant::TensorType::k##type:   \
    return table.gemm_##field;
#include "holdfast/kernels/formats.def"
#undef HF_QUANT_KERNEL
    default:
      return nullptr;
  }
}

FloatGemm float_gemm(const KernelTable& table, quant::TensorType packed) {
  switch (packed) {
#define HF_FLOAT_KERNEL(type, field) \
  case quant::TensorType::k##type:   \
    return table.gemm_##field;
#include "holdfast/kernels/formats.def"
#undef HF_FLOAT_KERNEL
    default:
      return nullptr;
  }
}

}  // namespace holdfast::kernels
