// Choice of a table: forced names, machines without features. Oracle: enumeration.
#include <cstdlib>
#include <cstring>
#include <string>

#include "holdfast/platform/cpu.h"
#include "kernel_test_support.h"

namespace holdfast::kernels {
namespace {

using platform::CpuFeatures;

TEST(SelectTest, ForcedTableIsTheOneThatComes) {
  for (const KernelTable* table : available_kernels(CpuFeatures::detect())) {
    const auto chosen = select_kernels(CpuFeatures::detect(), table->isa);
    ASSERT_TRUE(chosen.ok());
    EXPECT_EQ(chosen.value(), table);
    EXPECT_STREQ(chosen.value()->isa, table->isa);
  }
}

TEST(SelectTest, BareMachineGetsTheScalarTable) {
  const auto chosen = select_kernels(CpuFeatures{}, "");
  ASSERT_TRUE(chosen.ok());
  EXPECT_STREQ(chosen.value()->isa, "scalar");
}

TEST(SelectTest, ForcedTableThatTheMachineLacksIsUnsupportedAndNamed) {
  for (const char* isa : {"avx2", "avxvnni", "avx512", "amx", "neon"}) {
    const auto chosen = select_kernels(CpuFeatures{}, isa);
    ASSERT_FALSE(chosen.ok());
    EXPECT_EQ(chosen.error().code(), ErrorCode::kUnsupported);
    EXPECT_NE(chosen.error().client_message().find(isa), std::string::npos);
  }
}

// The other tests compare every table with the scalar one, which says nothing where there is no
// other. Machines that are emulated for the sake of one table name it (tools/test_avx512).
TEST(SelectTest, ThereIsAVectorTableToTest) {
  if (const char* isa = std::getenv("HOLDFAST_EXPECT_ISA")) {
    EXPECT_STREQ(available_kernels(CpuFeatures::detect()).back()->isa, isa);
  }
#if defined(__aarch64__)
  EXPECT_STREQ(available_kernels(CpuFeatures::detect()).back()->isa, "neon");
#else
  if (!CpuFeatures::detect().avx2)
    GTEST_SKIP() << "this machine has no vector instructions that Holdfast uses";
  EXPECT_GT(available_kernels(CpuFeatures::detect()).size(), 1u);
#endif
}

TEST(SelectTest, UnknownNameIsInvalid) {
  const auto chosen = select_kernels(CpuFeatures::detect(), "sse9");
  ASSERT_FALSE(chosen.ok());
  EXPECT_EQ(chosen.error().code(), ErrorCode::kInvalidArgument);
}

#if defined(__x86_64__)
TEST(SelectTest, EveryFeatureOfATableIsNeeded) {
  CpuFeatures all;
  all.avx2 = all.fma = all.f16c = true;
  EXPECT_STREQ(select_kernels(all, "").value()->isa, "avx2");
  all.avx512f = all.avx512bw = all.avx512vl = all.avx512dq = all.avx512vnni = true;
  EXPECT_STREQ(select_kernels(all, "").value()->isa, "avx512");
  for (bool CpuFeatures::*needed :
       {&CpuFeatures::avx512f, &CpuFeatures::avx512bw, &CpuFeatures::avx512vl,
        &CpuFeatures::avx512dq, &CpuFeatures::avx512vnni}) {
    CpuFeatures without = all;
    without.*needed = false;
    EXPECT_STREQ(select_kernels(without, "").value()->isa, "avx2");
  }
  for (bool CpuFeatures::*needed : {&CpuFeatures::avx2, &CpuFeatures::fma, &CpuFeatures::f16c}) {
    CpuFeatures without = all;
    without.*needed = false;
    EXPECT_STREQ(select_kernels(without, "").value()->isa, "scalar");
  }
  all.amx_tile = true;
  EXPECT_STREQ(select_kernels(all, "").value()->isa, "avx512");
  all.amx_int8 = true;
  EXPECT_STREQ(select_kernels(all, "").value()->isa, "amx");
  EXPECT_STREQ(select_kernels(all, "avx512").value()->isa, "avx512");
}

TEST(SelectTest, DotProductsOfBytesAreBetterThanAvx2AndWorseThanAvx512) {
  CpuFeatures cpu;
  cpu.avx2 = cpu.fma = cpu.f16c = cpu.avx_vnni = true;
  EXPECT_STREQ(select_kernels(cpu, "").value()->isa, "avxvnni");
  EXPECT_STREQ(select_kernels(cpu, "avx2").value()->isa, "avx2");
  for (bool CpuFeatures::*needed : {&CpuFeatures::avx2, &CpuFeatures::fma, &CpuFeatures::f16c}) {
    CpuFeatures without = cpu;
    without.*needed = false;
    EXPECT_STREQ(select_kernels(without, "").value()->isa, "scalar");
  }
  cpu.avx512f = cpu.avx512bw = cpu.avx512vl = cpu.avx512dq = cpu.avx512vnni = true;
  EXPECT_STREQ(select_kernels(cpu, "").value()->isa, "avx512");
}
#endif

TEST(SelectTest, EveryEntryOfEveryTableIsThere) {
  // The table is a name followed by function pointers alone.
  for (const KernelTable* table : testing::tables()) {
    const auto* bytes = static_cast<const unsigned char*>(static_cast<const void*>(table));
    for (std::size_t i = 0; i < sizeof(KernelTable); i += sizeof(void*)) {
      void* entry = nullptr;
      std::memcpy(&entry, bytes + i, sizeof entry);
      EXPECT_NE(entry, nullptr) << table->isa << " entry " << i / sizeof(void*);
    }
  }
}

TEST(SelectTest, EveryPackedTypeHasExactlyOneKindOfKernel) {
  const KernelTable& table = testing::scalar();
  for (const quant::TypeInfo& type : quant::all_types()) {
    const bool as_quant = quant_gemm(table, type.type) != nullptr;
    const bool as_float = float_gemm(table, type.type) != nullptr;
    EXPECT_EQ(as_quant + as_float, type.is_packed() ? 1 : 0) << type.name;
  }
}

}  // namespace
}  // namespace holdfast::kernels
