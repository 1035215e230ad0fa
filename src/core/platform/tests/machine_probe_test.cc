// The probe measures what it is given. Oracles: the table of placement states, and work whose speed
// is known.
#include "holdfast/platform/machine_probe.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "holdfast/platform/clock.h"
#include "holdfast/platform/machine_state.h"

namespace holdfast::platform {
namespace {

TEST(Placement, OfMeasuredFigures) {
  const struct {
    unsigned threads;
    double barrier_ns;
    double scaling;
    const char* name;
  } cases[] = {
      {1, 0, 1, "single"},  {1, 900, 1, "single"}, {2, 16, 0.5, "smt"}, {2, 23.9, 1, "smt"},
      {2, 24, 1, "near"},   {2, 24, 0.64, "smt"},  {2, 59, 0.6, "smt"}, {2, 59, 0.65, "near"},
      {2, 60, 0.5, "near"}, {2, 89.9, 1, "near"},  {2, 90, 1, "far"},   {8, 165, 1, "far"},
      {2, 600, 1, "far"},   {2, 600.1, 1, "busy"}, {2, 0, 1, "busy"},  // not measured
  };
  for (const auto& c : cases) {
    MachineLimits m;
    m.threads = c.threads;
    m.barrier_ns = c.barrier_ns;
    m.int8_scaling = c.scaling;
    EXPECT_EQ(placement_name(m.placement()), c.name) << c.barrier_ns << " ns, " << c.scaling;
  }
}

TEST(MachineProbe, CountsWorkOfAllThreads) {
  std::atomic<int> calls = 0;
  std::atomic<int> others = 0;
  // A thousand operations a millisecond at most: sleeping, so that load does not make it faster.
  const auto work = [](std::atomic<int>& counter) {
    return [&counter] {
      ++counter;
      pause_for(std::chrono::milliseconds(1));
      return 1000.0;
    };
  };
  auto probe = MachineProbe::create(2, work(calls), work(others));
  ASSERT_TRUE(probe.ok()) << probe.error().to_string();
  const auto m = probe->measure();
  ASSERT_TRUE(m.ok()) << m.error().to_string();
  EXPECT_EQ(m->threads, 2u);
  EXPECT_GT(calls, 3);
  EXPECT_GT(others, 1);
  EXPECT_GT(m->int8_ops_per_second, 0);
  EXPECT_LE(m->int8_ops_per_second, 2.0e6);
  EXPECT_LE(m->f32_ops_per_second, 2.0e6);
  EXPECT_GT(m->int8_scaling, 0);
  EXPECT_GT(m->memory_bytes_per_second, 1e7);
  EXPECT_EQ(m->barrier_ns > 0, allowed_processors().size() > 1);
}

TEST(MachineProbe, OneThreadHasNoBarrier) {
  auto probe = MachineProbe::create(
      1, [] { return 1.0; }, [] { return 1.0; });
  ASSERT_TRUE(probe.ok()) << probe.error().to_string();
  const auto m = probe->measure();
  ASSERT_TRUE(m.ok());
  EXPECT_EQ(m->barrier_ns, 0);
  EXPECT_EQ(m->placement(), Placement::kSingle);
}

// More threads than processors: slow, but it ends.
TEST(MachineProbe, MoreThreadsThanProcessors) {
  const auto threads = static_cast<unsigned>(allowed_processors().size()) + 3;
  auto probe = MachineProbe::create(
      threads, [] { return 1.0; }, [] { return 1.0; });
  ASSERT_TRUE(probe.ok()) << probe.error().to_string();
  EXPECT_TRUE(probe->measure().ok());
}

}  // namespace
}  // namespace holdfast::platform
