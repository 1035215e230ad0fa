// Oracles: the table that the planner ships, and rows written by hand.
#include "../machine_row.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace holdfast::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

MachineFacts facts() {
  MachineFacts f;
  f.cpu = "AMD EPYC 7352 24-Core Processor";
  f.threads = 24;
  f.isa = "avx2";
  f.placement = "far";
  f.memory_bytes = 134'900'000'000;
  f.memory_bytes_per_second = 150.25e9;
  f.int8_ops_per_second = 3.5e12;
  f.f32_ops_per_second = 1.2345e12;
  f.disk_read_bytes_per_second = 2.5709e9;
  f.date = "2026-12-01";
  return f;
}

TEST(MachineRow, HasTheColumnsOfThePlannersTable) {
  std::ifstream in(HOLDFAST_SOURCE_DIR "/src/serve/planner/data/hardware.csv");
  std::string header;
  ASSERT_TRUE(std::getline(in, header));
  EXPECT_THAT(machine_row_csv(facts()), ::testing::StartsWith(header + "\n"));
}

TEST(MachineRow, IsWrittenInTheTablesUnits) {
  const std::string csv = machine_row_csv(facts());
  EXPECT_EQ(csv.substr(csv.find('\n') + 1),
            "local-amd-epyc-7352-24-core-processor-24t,AMD,cpu,134.9,150.2,1.234,3.500,,,,,,,,,,"
            "measured on this machine 2026-12-01,A,"
            "\"24 threads (far), avx2; peaks and bus measured, f32 in place of fp16; "
            "disk read 2571 MB/s\"\n");
}

// A processor that says nothing, or anything.
TEST(MachineRow, NamesDoNotBreakTheRow) {
  MachineFacts f = facts();
  f.cpu = "";
  f.threads = 1;
  f.disk_read_bytes_per_second.reset();
  EXPECT_THAT(machine_row_csv(f), HasSubstr("\nlocal-cpu-1t,unknown,cpu,"));
  EXPECT_THAT(machine_row_csv(f), ::testing::Not(HasSubstr("disk")));
  f.cpu = "\"Intel,\n(R)\"";
  EXPECT_THAT(machine_row_csv(f), HasSubstr("\nlocal-intel-r-1t,Intel,cpu,"));
  f.placement = "a \"b\"";
  EXPECT_THAT(machine_row_csv(f), HasSubstr("\"1 thread (a \"\"b\"\"), avx2;"));
}

TEST(MachineRow, ThisMachineIsMeasured) {
  std::string dir = ::testing::TempDir() + "/holdfast-probe-XXXXXX";
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  Context context;
  context.data_dir = dir + "/data";
  const auto measured = probe_machine(context);
  ASSERT_TRUE(measured.ok()) << measured.error().to_string();
  EXPECT_GT(measured->memory_bytes, std::uint64_t{1} << 28);
  EXPECT_GT(measured->memory_bytes_per_second, 0);
  EXPECT_GT(measured->int8_ops_per_second, 0);
  EXPECT_GT(measured->f32_ops_per_second, 0);
  EXPECT_TRUE(measured->disk_read_bytes_per_second);
  EXPECT_THAT(measured->date, MatchesRegex("20[0-9][0-9]-[01][0-9]-[0-3][0-9]"));
  EXPECT_TRUE(std::filesystem::is_empty(context.data_dir)) << "the file is left";
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace holdfast::cli
