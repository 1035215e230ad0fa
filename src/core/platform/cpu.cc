#include "holdfast/platform/cpu.h"

#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace holdfast::platform {
namespace {

#if defined(__x86_64__)

struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf = 0) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d) == 0) return {};
  return r;
}

bool bit(unsigned value, unsigned index) { return ((value >> index) & 1u) != 0; }

// Which register files the operating system saves. Only callable where OSXSAVE is set.
std::uint64_t read_xcr0() {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (std::uint64_t{high} << 32) | low;
}

// Linux gives the tile registers only to processes that ask (arch_prctl(2), since 5.16); threads
// inherit the permission, programs that are executed do not.
bool may_use_tiles() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

void read_names(CpuFeatures& f) {
  const Registers vendor = cpuid(0);
  char text[13] = {};
  std::memcpy(text, &vendor.b, 4);
  std::memcpy(text + 4, &vendor.d, 4);
  std::memcpy(text + 8, &vendor.c, 4);
  f.vendor = text;
  char brand[49] = {};
  for (unsigned i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002u + i);
    std::memcpy(brand + 16 * i, &r, 16);
  }
  f.model = brand;
  while (f.model.ends_with(' ')) f.model.pop_back();
  while (f.model.starts_with(' ')) f.model.erase(0, 1);
}

void read_avx512(CpuFeatures& f, const Registers& leaf7, const Registers& leaf7_1) {
  f.avx512f = bit(leaf7.b, 16);
  f.avx512dq = bit(leaf7.b, 17);
  f.avx512bw = bit(leaf7.b, 30);
  f.avx512vl = bit(leaf7.b, 31);
  f.avx512vbmi = bit(leaf7.c, 1);
  f.avx512vnni = bit(leaf7.c, 11);
  f.avx512fp16 = bit(leaf7.d, 23);
  f.avx512bf16 = bit(leaf7_1.a, 5);
}

void detect_isa(CpuFeatures& f) {
  read_names(f);
  const Registers leaf1 = cpuid(1);
  if (!bit(leaf1.c, 27)) return;  // OSXSAVE: without it no wide register survives a context switch
  constexpr std::uint64_t kAvxState = 0x6;      // SSE and AVX halves
  constexpr std::uint64_t kAvx512State = 0xe6;  // and opmask, upper halves, upper registers
  constexpr std::uint64_t kAmxState = 0x60000;  // tile configuration and data
  const std::uint64_t xcr0 = read_xcr0();
  const Registers leaf7 = cpuid(7);
  const Registers leaf7_1 = cpuid(7, 1);
  f.bmi2 = bit(leaf7.b, 8);
  if ((xcr0 & kAvxState) == kAvxState && bit(leaf1.c, 28)) {
    f.avx2 = bit(leaf7.b, 5);
    f.fma = bit(leaf1.c, 12);
    f.f16c = bit(leaf1.c, 29);
    f.avx_vnni = bit(leaf7_1.a, 4);
  }
  if (f.avx2 && (xcr0 & kAvx512State) == kAvx512State) read_avx512(f, leaf7, leaf7_1);
  if ((xcr0 & kAmxState) == kAmxState && bit(leaf7.d, 24) && may_use_tiles()) {
    f.amx_bf16 = bit(leaf7.d, 22);
    f.amx_tile = bit(leaf7.d, 24);
    f.amx_int8 = bit(leaf7.d, 25);
  }
}

#elif defined(__aarch64__)

void detect_isa(CpuFeatures& f) {
  const unsigned long caps = ::getauxval(AT_HWCAP);
  const unsigned long caps2 = ::getauxval(AT_HWCAP2);
  f.neon = (caps & HWCAP_ASIMD) != 0;
  f.dotprod = (caps & HWCAP_ASIMDDP) != 0;
  f.fp16_arith = (caps & HWCAP_ASIMDHP) != 0;
  f.sve = (caps & HWCAP_SVE) != 0;
  f.i8mm = (caps2 & HWCAP2_I8MM) != 0;
  f.bf16 = (caps2 & HWCAP2_BF16) != 0;
}

#else

void detect_isa(CpuFeatures&) {}

#endif

}  // namespace

const CpuFeatures& CpuFeatures::detect() {
  static const CpuFeatures features = [] {
    CpuFeatures f;
    detect_isa(f);
    return f;
  }();
  return features;
}

}  // namespace holdfast::platform
