// The loader's traps, and what is derived from a row.
#include "holdfast/planner/device.h"

#include <gtest/gtest.h>

#include <set>

#include "holdfast/planner/shipped.h"

namespace holdfast::planner {
namespace {

Device shipped(std::string_view id) { return *shipped_devices().find(id); }

TEST(DeviceTest, LookAlikeNamesAreDifferentDevices) {
  // The L40S has twice the arithmetic of the L40, which has no row.
  EXPECT_EQ(shipped("nvidia-l40s-48").fp16, teraflops(362));
  const auto l40 = shipped_devices().find("nvidia-l40-48");
  ASSERT_FALSE(l40.ok());
  EXPECT_EQ(l40.error().code(), ErrorCode::kNotFound);
  EXPECT_NE(l40.error().client_message().find("nvidia-l40s-48"), std::string::npos);
}

TEST(DeviceTest, GeForceCountsAccumulationIn16Bits) {
  EXPECT_EQ(shipped("nvidia-rtx4090-24").prefill_peak(), teraflops(2 * 165.2));
  EXPECT_EQ(shipped("nvidia-rtx6000ada-48").prefill_peak(), teraflops(364));
  EXPECT_EQ(shipped("apple-m2ultra-76c-192").prefill_peak(), teraflops(27.2));
}

TEST(DeviceTest, ACutDataTypeIsNotUsed) {
  // INT8 of the B300 was cut to 153.5 TOPS, below its FP16.
  const Device b300 = shipped("nvidia-b300-270-sxm");
  EXPECT_EQ(b300.eight_bit_peak(), teraflops(4500));
  Device without = b300;
  without.fp8.reset();
  EXPECT_EQ(without.eight_bit_peak(), teraflops(2250));
}

TEST(DeviceTest, TheSystemKeepsAShareOfUnifiedMemory) {
  EXPECT_EQ(shipped("apple-m4-10c").usable_share(), 0.70);
  EXPECT_EQ(shipped("apple-m3max-40c-64").usable_share(), 0.78);
  EXPECT_EQ(shipped("nvidia-h100-80-sxm").usable_share(), 0.90);
  EXPECT_EQ(shipped("nvidia-gb10-dgxspark-128").usable_share(), 0.80);
}

TEST(DeviceTest, FamiliesOfMemory) {
  const std::pair<const char*, MemoryFamily> table[] = {
      {"nvidia-rtx4090-24", MemoryFamily::kCudaGddr},
      {"nvidia-l40s-48", MemoryFamily::kCudaGddr},
      {"nvidia-rtxpro6000-96-server", MemoryFamily::kCudaGddr},
      {"nvidia-a30-24", MemoryFamily::kCudaHbm},
      {"amd-mi300x-192", MemoryFamily::kCudaHbm},
      {"apple-m4-10c", MemoryFamily::kMetal},
      {"amd-strixhalo-395-128", MemoryFamily::kUnified},
      {"nvidia-jetson-agx-orin-64", MemoryFamily::kUnified},
      {"amd-rx7900xtx-24", MemoryFamily::kOtherGpu},
      {"intel-arc-b580-12", MemoryFamily::kIntelGpu},
      {"raspberrypi-5-16", MemoryFamily::kCpu},
      {"cpu-xeon-emr-2s", MemoryFamily::kCpu}};
  for (const auto& [id, family] : table) EXPECT_EQ(shipped(id).family(), family) << id;
}

TEST(DeviceTest, NamesAreFoundByTheirWords) {
  EXPECT_EQ(nearest_names("llama 8b", {"gemma-3-4b", "llama-3.1-8b", "llama-3.2-1b"}),
            std::vector<std::string>{"llama-3.1-8b"});
  EXPECT_EQ(did_you_mean("rtx 4090", {"nvidia-rtx4090-24", "nvidia-l4-24"}),
            "; did you mean nvidia-rtx4090-24?");
  EXPECT_EQ(did_you_mean("zzz", {"nvidia-l4-24"}), "");
}

constexpr const char* kHeader =
    "id,vendor,class,mem_gb,mem_bw_gbs,fp16_tflops_dense,int8_tops_dense,fp8_tflops_dense\n";

TEST(DeviceTest, FiguresWithSparsityAreNoticed) {
  const auto rows =
      parse_devices(std::string(kHeader) + "nvidia-h100-80-sxm,NVIDIA,dc,80,3350,1979,3958,3958\n" +
                        "nvidia-rtx4090-24,NVIDIA,gpu,24,1008,330.3,660.6,330.3\n" +
                        "nvidia-new-48,NVIDIA,dc,48,900,400,800,800\n",
                    "extra.csv", true);
  ASSERT_TRUE(rows.ok()) << rows.error().to_string();
  const auto& known = shipped_devices().all();
  ASSERT_EQ(suspicious((*rows)[0], known).size(), 1u);
  EXPECT_NE(suspicious((*rows)[0], known)[0].find("sparsity"), std::string::npos);
  EXPECT_NE(suspicious((*rows)[1], known)[0].find("32 bits"), std::string::npos);
  EXPECT_TRUE(suspicious((*rows)[2], known).empty());
}

TEST(DeviceTest, ShippedRowsAreNotSuspicious) {
  std::set<std::string> ids;
  for (const Device& d : shipped_devices().all()) {
    EXPECT_TRUE(ids.insert(d.id).second);
    // GeForce of the 40 series: FP8 equals FP16 with accumulation in 16 bits, twice the column.
    EXPECT_TRUE(suspicious(d, shipped_devices().all()).empty()) << d.id;
  }
  EXPECT_EQ(ids.size(), 62u);
}

TEST(DeviceTest, ErrorsNameLineAndColumn) {
  const auto message = [](const std::string& row) {
    const auto r = parse_devices(std::string(kHeader) + row, "extra.csv", true);
    return r.ok() ? std::string("ok") : r.error().client_message();
  };
  EXPECT_NE(message("x,V,gpu,0,100,10,,\n").find("extra.csv line 2: mem_gb"), std::string::npos);
  EXPECT_NE(message("x,V,gpu,24,-5,10,,\n").find("mem_bw_gbs"), std::string::npos);
  EXPECT_NE(message("x,V,gpu,24,100,,,\n").find("fp16_tflops_dense is missing"), std::string::npos);
  EXPECT_NE(message("x,V,tpu,24,100,10,,\n").find("class is \"tpu\""), std::string::npos);
  EXPECT_NE(message(",V,gpu,24,100,10,,\n").find("id is missing"), std::string::npos);
  EXPECT_NE(message("x,V,gpu,24,100,10,,\nx,V,gpu,24,100,10,,\n").find("twice"), std::string::npos);
  const auto unknown = parse_devices("id,memgb\nx,1\n", "extra.csv", true);
  EXPECT_NE(unknown.error().client_message().find("did you mean mem_gb"), std::string::npos);
}

TEST(DeviceTest, RowsOfTheUserReplaceShippedOnes) {
  DeviceTable table(shipped_devices().all());
  auto rows = parse_devices(std::string(kHeader) + "nvidia-t4-16,NVIDIA,dc,16,300,65,130,\n",
                            "extra.csv", true);
  table.merge(std::move(*rows));
  EXPECT_EQ(table.all().size(), 62u);
  EXPECT_EQ(table.find("nvidia-t4-16")->bandwidth, gigabytes_per_second(300));
  EXPECT_TRUE(table.find("nvidia-t4-16")->from_user);
}

}  // namespace
}  // namespace holdfast::planner
