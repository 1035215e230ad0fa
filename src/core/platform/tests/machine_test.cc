// What the machine offers. Oracles: /proc/cpuinfo for instruction sets, written-down fake roots for
// limits.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <thread>

#include "holdfast/platform/clock.h"
#include "holdfast/platform/cpu.h"
#include "holdfast/platform/entropy.h"
#include "holdfast/platform/paths.h"
#include "holdfast/platform/thread.h"
#include "temporary_directory.h"

namespace holdfast::platform {
namespace {

#if defined(__x86_64__)
TEST(CpuFeatures, AgreeWithTheKernel) {
  std::ifstream in("/proc/cpuinfo");
  std::string line;
  while (std::getline(in, line) && !line.starts_with("flags")) {
  }
  std::istringstream words(line);
  const std::vector<std::string> flags{std::istream_iterator<std::string>(words), {}};
  const auto has = [&](const char* flag) { return std::ranges::find(flags, flag) != flags.end(); };
  const CpuFeatures f = CpuFeatures::detect();
  EXPECT_EQ(f.avx2, has("avx2"));
  EXPECT_EQ(f.fma, has("fma"));
  EXPECT_EQ(f.f16c, has("f16c"));
  EXPECT_EQ(f.bmi2, has("bmi2"));
  EXPECT_EQ(f.avx512f, has("avx512f"));
  EXPECT_EQ(f.avx512bw, has("avx512bw"));
  EXPECT_EQ(f.avx512vl, has("avx512vl"));
  EXPECT_EQ(f.avx512dq, has("avx512dq"));
  EXPECT_EQ(f.avx512vnni, has("avx512_vnni"));
  EXPECT_EQ(f.avx512bf16, has("avx512_bf16"));
  EXPECT_EQ(f.avx512vbmi, has("avx512vbmi"));
  EXPECT_EQ(f.avx512fp16, has("avx512_fp16"));
  EXPECT_EQ(f.avx_vnni, has("avx_vnni"));
  EXPECT_EQ(f.amx_int8, has("amx_int8"));
}
#endif

TEST(CpuTopology, CountsCoresAndQuota) {
  cpu_set_t set;
  ASSERT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  const TemporaryDirectory root;
  // Two hardware threads per core: pairs (0,1), (2,3), ...
  for (int cpu = 0; cpu < 1024; ++cpu) {
    if (!CPU_ISSET(static_cast<std::size_t>(cpu), &set)) continue;
    const std::string base = "sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    root.write(base + "physical_package_id", "0\n");
    root.write(base + "core_id", std::to_string(cpu / 2) + "\n");
  }
  root.write("proc/self/cgroup", "0::/a/b\n");
  root.write("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  root.write("sys/fs/cgroup/a/cpu.max", "150000 100000\n");
  const CpuTopology t = CpuTopology::detect(root.path());
  EXPECT_EQ(t.logical_allowed, CPU_COUNT(&set));
  EXPECT_LE(t.physical_allowed, CPU_COUNT(&set));
  EXPECT_GE(t.physical_allowed * 2, CPU_COUNT(&set));
  ASSERT_TRUE(t.cgroup_quota.has_value());
  EXPECT_DOUBLE_EQ(*t.cgroup_quota, 1.5);
  EXPECT_EQ(t.usable_cores(), 1);
}

// Two sockets of four cores with two threads each, whose numbers alternate between the sockets, as
// on many servers.
void write_two_sockets(const TemporaryDirectory& root) {
  for (int cpu = 0; cpu < 16; ++cpu) {
    const std::string base = "sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    root.write(base + "physical_package_id", std::to_string(cpu % 2) + "\n");
    root.write(base + "core_id", std::to_string(cpu % 8 / 2) + "\n");
  }
  root.write("sys/devices/system/node/online", "0-2\n");
  root.write("sys/devices/system/node/node0/cpulist", "0,2,4,6,8,10,12,14\n");
  root.write("sys/devices/system/node/node1/cpulist", "1,3,5,7,9,11,13,15\n");
  root.write("sys/devices/system/node/node2/cpulist", "\n");  // memory without processors
  root.write("proc/self/cgroup", "0::/\n");
}

TEST(CpuTopology, OneProcessorPerCoreNodeAfterNode) {
  const TemporaryDirectory root;
  write_two_sockets(root);
  root.write("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-15\nMems_allowed: 3\n");
  const CpuTopology t = CpuTopology::detect(root.path());
  EXPECT_EQ(t.logical_allowed, 16);
  EXPECT_EQ(t.physical_allowed, 8);
  EXPECT_EQ(t.numa_nodes, 2);
  EXPECT_EQ(t.core_cpus, (std::vector<int>{0, 2, 4, 6, 1, 3, 5, 7}));
  EXPECT_EQ(t.usable_cores(), 8);
  EXPECT_EQ(t.usable_cpus(), 16);
}

TEST(CpuTopology, AffinityAndQuotaNarrow) {
  const TemporaryDirectory root;
  write_two_sockets(root);
  // Both threads of one core, one of two more, all of one socket.
  root.write("proc/self/status", "Cpus_allowed_list:\t2,4,10,14\n");
  root.write("sys/fs/cgroup/cpu.max", "250000 100000\n");
  const CpuTopology t = CpuTopology::detect(root.path());
  EXPECT_EQ(t.allowed, (std::vector<int>{2, 4, 10, 14}));
  EXPECT_EQ(t.core_cpus, (std::vector<int>{2, 4, 14}));
  EXPECT_EQ(t.numa_nodes, 1);
  EXPECT_EQ(t.usable_cores(), 2);  // 2.5 rounded down: what runs all the time
  EXPECT_EQ(t.usable_cpus(), 3);   // and up: what can run at once
}

TEST(CpuTopology, MachinesWithoutNodes) {
  const TemporaryDirectory root;
  root.write("proc/self/status", "Cpus_allowed_list:\t0-2\n");
  const CpuTopology t = CpuTopology::detect(root.path());
  EXPECT_EQ(t.numa_nodes, 1);
  EXPECT_EQ(t.core_cpus, (std::vector<int>{0, 1, 2}));
}

TEST(CpuList, WhatTheKernelWrites) {
  EXPECT_EQ(*parse_cpu_list("0"), (std::vector<int>{0}));
  EXPECT_EQ(*parse_cpu_list("0-3,8"), (std::vector<int>{0, 1, 2, 3, 8}));
  EXPECT_EQ(*parse_cpu_list("5,1-1,65535"), (std::vector<int>{5, 1, 65535}));
  EXPECT_EQ(parse_cpu_list("0-65535")->size(), 65536u);
  for (const char* text : {"", ",", "0,", ",0", "-1", "1-", "3-1", "0,0", "0-2,1", "65536",
                           "0-65536", "a", "0 1", " 0", "0-3x", "99999999999999999999"}) {
    EXPECT_EQ(parse_cpu_list(text).error().code(), ErrorCode::kInvalidArgument) << text;
  }
}

TEST(CpuTopology, VersionOneQuota) {
  const TemporaryDirectory root;
  root.write("proc/self/cgroup", "4:cpuset:/x\n3:cpuacct,cpu:/x\n");
  root.write("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "50000\n");
  root.write("sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
  EXPECT_DOUBLE_EQ(CpuTopology::detect(root.path()).cgroup_quota.value_or(0), 0.5);
  root.write("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n");
  EXPECT_FALSE(CpuTopology::detect(root.path()).cgroup_quota.has_value());
}

TEST(MemoryLimits, TightestGroupOfVersionTwo) {
  const TemporaryDirectory root;
  root.write("proc/meminfo",
             "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:    9000000 kB\n");
  root.write("proc/self/cgroup", "0::/a/b\n");
  root.write("sys/fs/cgroup/a/b/memory.max", "max\n");
  root.write("sys/fs/cgroup/a/memory.max", "1000000000\n");
  root.write("sys/fs/cgroup/a/memory.current", "700000000\n");
  root.write("sys/fs/cgroup/a/memory.stat",
             "anon 1\ninactive_file 100000000\nactive_file 200000000\n");
  const MemoryLimits m = MemoryLimits::detect(root.path());
  EXPECT_EQ(m.host_total_bytes, 16000000ull * 1024);
  EXPECT_EQ(m.limit_bytes(), 1000000000u);
  EXPECT_EQ(m.available_bytes(), 600000000u);
}

TEST(MemoryLimits, VersionOneAndNoLimit) {
  const TemporaryDirectory root;
  root.write("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 600 kB\n");
  root.write("proc/self/cgroup", "7:memory:/x\n");
  root.write("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(MemoryLimits::detect(root.path()).limit_bytes(), 1024000u);
  root.write("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "500000\n");
  root.write("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "600000\n");
  EXPECT_EQ(MemoryLimits::detect(root.path()).limit_bytes(), 500000u);
  EXPECT_EQ(MemoryLimits::detect(root.path()).available_bytes(), 0u);
}

TEST(MemoryLimits, ThisMachineHasMemory) {
  const MemoryLimits m = MemoryLimits::detect();
  EXPECT_GT(m.limit_bytes(), 64u << 20);
  EXPECT_LE(m.available_bytes(), m.limit_bytes());
}

TEST(Clock, ManualMovesAndSteps) {
  ManualClock clock(1'000);
  const std::int64_t start = clock.monotonic_ns();
  const Deadline deadline = Deadline::after(std::chrono::seconds(5), clock);
  clock.step_wall(std::chrono::hours(-1));
  EXPECT_EQ(clock.monotonic_ns(), start);
  EXPECT_FALSE(deadline.passed(clock));
  EXPECT_EQ(deadline.poll_timeout_ms(clock), 5001);
  clock.advance(std::chrono::seconds(5));
  EXPECT_TRUE(deadline.passed(clock));
  EXPECT_EQ(deadline.poll_timeout_ms(clock), 0);
  EXPECT_EQ(unix_seconds(clock.wall_time()), 1'000 - 3'600 + 5);
  EXPECT_EQ(Deadline::never().poll_timeout_ms(clock), -1);
  EXPECT_TRUE(Deadline::after(std::chrono::nanoseconds::max(), clock).is_never());
}

TEST(Clock, Rfc3339) {
  EXPECT_EQ(format_rfc3339_ms(WallTime(std::chrono::nanoseconds(0))), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(format_rfc3339_ms(WallTime(std::chrono::milliseconds(1'709'251'199'999))),
            "2024-02-29T23:59:59.999Z");
  EXPECT_EQ(format_rfc3339_ms(WallTime(std::chrono::milliseconds(-1))), "1969-12-31T23:59:59.999Z");
}

TEST(Entropy, SeededRepeatsAndSystemDoesNot) {
  Bytes a(33), b(33), c(33), d(33);
  ASSERT_TRUE(SeededEntropy(7).fill(a).ok());
  ASSERT_TRUE(SeededEntropy(7).fill(b).ok());
  EXPECT_EQ(a, b);
  ASSERT_TRUE(fill_random(c).ok());
  ASSERT_TRUE(fill_random(d).ok());
  EXPECT_NE(c, d);
}

TEST(Paths, XdgRules) {
  EnvironmentMap env{
      {"HOME", "/home/u"}, {"XDG_DATA_HOME", "/data"}, {"XDG_CACHE_HOME", "relative"}};
  const auto d = user_directories(env);
  ASSERT_TRUE(d.ok());
  EXPECT_EQ(d->config, "/home/u/.config");
  EXPECT_EQ(d->data, "/data");
  EXPECT_EQ(d->cache, "/home/u/.cache");
  EXPECT_EQ(d->runtime, "");
  EXPECT_EQ(expand_home("~/x", env), "/home/u/x");
  EXPECT_EQ(expand_home("~u/x", env), "~u/x");
}

TEST(Thread, OnePerCoreIsAllowedAndPins) {
  const std::vector<int> cpus = one_cpu_per_core();
  ASSERT_FALSE(cpus.empty());
  EXPECT_TRUE(pin_current_thread(cpus.front()).ok());
  EXPECT_EQ(::sched_getcpu(), cpus.front());
  EXPECT_FALSE(pin_current_thread(-1).ok());
}

// The length of a turn of the calling thread as the kernel has it; 0: it does not tell.
std::uint64_t turn_ns() {
  struct {
    std::uint32_t size = 48, policy = 0;
    std::uint64_t flags = 0;
    std::int32_t nice = 0;
    std::uint32_t priority = 0;
    std::uint64_t runtime = 0, deadline = 0, period = 0;
  } attributes;
  ::syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0);
  return attributes.runtime;
}

TEST(Thread, ShortTurnsAreNotPassedOnToWhatItStarts) {
  std::uint64_t own = 0;
  std::uint64_t started = 0;
  std::thread([&] {
    ask_for_short_turns();
    own = turn_ns();
    std::thread([&] { started = turn_ns(); }).join();
  }).join();
  if (own == 0) GTEST_SKIP() << "turns have no length in this kernel";
  EXPECT_EQ(own, 100'000u);
  EXPECT_GT(started, own);
}

}  // namespace
}  // namespace holdfast::platform
