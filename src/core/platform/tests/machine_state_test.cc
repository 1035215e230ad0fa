// What /proc and /sys say of the machine. Oracles: written-down fake roots, and this process
// itself.
#include "holdfast/platform/machine_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstring>

#include "holdfast/platform/huge_memory.h"
#include "temporary_directory.h"

namespace holdfast::platform {
namespace {

double ticks(double n) { return n / static_cast<double>(::sysconf(_SC_CLK_TCK)); }

TEST(CpuTimes, CountsTheChosenProcessors) {
  const TemporaryDirectory root;
  root.write("proc/stat",
             "cpu  999 999 999 999 999 999 999 999 0 0\n"
             "cpu0 100 20 30 4000 500 6 7 80 90 0\n"
             "cpu1 1 1 1 1 1 1 1 1 1 1\n"
             "cpu2 10 0 0 0 0 0 0 5 0 0\n"
             "intr 12345\n");
  const CpuTimes t = CpuTimes::read({0, 2}, root.path());
  EXPECT_EQ(t.processors, 2u);
  EXPECT_DOUBLE_EQ(t.busy_seconds, ticks(100 + 20 + 30 + 6 + 7 + 80 + 15));
  EXPECT_DOUBLE_EQ(t.steal_seconds, ticks(85));
}

TEST(CpuTimes, OfAnOldKernelOrNone) {
  const TemporaryDirectory root;
  EXPECT_EQ(CpuTimes::read({0}, root.path()).processors, 0u);
  root.write("proc/stat", "cpu0 7 0 0 9\ncpu1\ncpux 5 5\n");  // no columns after idle
  const CpuTimes t = CpuTimes::read({0, 1}, root.path());
  EXPECT_EQ(t.processors, 2u);
  EXPECT_DOUBLE_EQ(t.busy_seconds, ticks(7));
  EXPECT_DOUBLE_EQ(t.steal_seconds, 0);
}

TEST(CpuTimes, OfThisMachine) {
  const CpuTimes t = CpuTimes::read(allowed_processors());
  EXPECT_EQ(t.processors, allowed_processors().size());
  EXPECT_GT(t.busy_seconds, 0);
}

TEST(ProcessCpu, NamesMayHoldAnything) {
  const TemporaryDirectory root;
  root.write("proc/7/stat", "7 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 300 41 12 13\n");
  ASSERT_TRUE(process_cpu_seconds(7, root.path()).has_value());
  EXPECT_DOUBLE_EQ(*process_cpu_seconds(7, root.path()), ticks(366));
  root.write("proc/8/stat", "8 (short) R 1 2 3");
  EXPECT_FALSE(process_cpu_seconds(8, root.path()).has_value());
  EXPECT_FALSE(process_cpu_seconds(9, root.path()).has_value());
}

TEST(ProcessCpu, OfThisProcess) {
  // The kernel counts in ticks, and on a busy machine a while passes until this process has had
  // one.
  const auto start = std::chrono::steady_clock::now();
  double seconds = 0;
  while (seconds == 0 && std::chrono::steady_clock::now() - start < std::chrono::seconds(30))
    seconds = process_cpu_seconds(::getpid()).value_or(0);
  EXPECT_GT(seconds, 0);
}

TEST(ProcessMemory, WhatTheKernelTells) {
  const TemporaryDirectory root;
  root.write("proc/7/status", "Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n");
  ProcessMemory m = ProcessMemory::read(7, root.path());
  EXPECT_EQ(m.resident_peak_bytes, 2048u * 1024);
  EXPECT_EQ(m.resident_bytes, 1024u * 1024);
  EXPECT_FALSE(m.huge_page_bytes.has_value());  // hidden
  root.write("proc/7/smaps_rollup", "55-66 ---p\nRss: 1 kB\nAnonHugePages:    4096 kB\n");
  m = ProcessMemory::read(7, root.path());
  EXPECT_EQ(m.huge_page_bytes, 4096u * 1024);
}

TEST(ProcessMemory, NumbersThatOverflowAreAbsent) {
  const TemporaryDirectory root;
  root.write("proc/7/status", "VmHWM: 18446744073709551615 kB\nVmRSS: 99999999999999999999 kB\n");
  const ProcessMemory m = ProcessMemory::read(7, root.path());
  EXPECT_FALSE(m.resident_peak_bytes.has_value());
  EXPECT_FALSE(m.resident_bytes.has_value());
}

TEST(ProcessMemory, OfThisProcessGrows) {
  constexpr std::uint64_t kBytes = 32u << 20;
  const auto before = ProcessMemory::read(::getpid());
  auto buffer = LargeBuffer::allocate(kBytes, nullptr, {});
  ASSERT_TRUE(buffer.ok());
  std::memset(buffer->data(), 1, kBytes);
  const auto after = ProcessMemory::read(::getpid());
  ASSERT_TRUE(before.resident_bytes && after.resident_bytes && after.resident_peak_bytes);
  EXPECT_GT(*after.resident_bytes, *before.resident_bytes + kBytes / 2);
  EXPECT_GE(*after.resident_peak_bytes, *after.resident_bytes);
}

TEST(HugePages, TheSettingInForce) {
  const TemporaryDirectory root;
  const char* path = "sys/kernel/mm/transparent_hugepage/enabled";
  EXPECT_EQ(transparent_huge_pages(root.path()), "");
  root.write(path, "always [madvise] never\n");
  EXPECT_EQ(transparent_huge_pages(root.path()), "madvise");
  root.write(path, "always madvise never");
  EXPECT_EQ(transparent_huge_pages(root.path()), "");
  root.write(path, "] always [");
  EXPECT_EQ(transparent_huge_pages(root.path()), "");
}

TEST(ClockState, GovernorAndFrequency) {
  const TemporaryDirectory root;
  EXPECT_EQ(ClockState::read(3, root.path()).governor, "");
  EXPECT_FALSE(ClockState::read(3, root.path()).hertz.has_value());
  const std::string base = "sys/devices/system/cpu/cpu3/cpufreq/";
  root.write(base + "scaling_governor", "powersave\n");
  root.write(base + "scaling_cur_freq", "2400000\n");
  root.write(base + "cpuinfo_max_freq", "none\n");
  const ClockState c = ClockState::read(3, root.path());
  EXPECT_EQ(c.governor, "powersave");
  EXPECT_EQ(c.hertz, 2.4e9);
  EXPECT_FALSE(c.hertz_max.has_value());
}

}  // namespace
}  // namespace holdfast::platform
