// Properties of the scheduler over seeded scenarios. What a single run must keep is checked inside
// Simulation; here is what it must come to.
#include "simulation.h"

#include <cmath>
#include <random>

namespace holdfast::runtime {
namespace {

using End = SimulatedJob::End;

double quantile(std::vector<double> values, double q) {
  std::ranges::sort(values);
  return values.at(static_cast<std::size_t>(q * static_cast<double>(values.size() - 1)));
}

std::vector<SimulatedJob> random_jobs(std::mt19937& random) {
  const auto below = [&](std::uint32_t n) { return static_cast<double>(random() % n); };
  std::vector<SimulatedJob> jobs;
  const std::uint32_t tenants = 1 + random() % 4;
  const double spread_s = 0.05 * below(20);
  for (std::uint32_t i = 0, n = 2 + random() % 30; i < n; ++i) {
    SimulatedJob j;
    j.arrival_s = spread_s * below(1000) / 1000;
    const std::uint32_t tenant = random() % tenants;
    j.tenant = std::string(1, static_cast<char>('a' + tenant));
    j.weight = 1 + tenant;
    j.priority = static_cast<Priority>(random() % 3);
    j.prompt = 1 + random() % (random() % 5 == 0 ? 1500 : 100);
    j.answer = 1 + random() % 60;
    if (random() % 5 == 0) j.deadline_s = 0.01 * below(100);
    if (random() % 7 == 0) j.leaves_s = 0.01 * below(100);
    jobs.push_back(std::move(j));
  }
  return jobs;
}

TEST(Simulation, EveryRequestOfEveryScenarioEndsOnceAndInTime) {
  std::size_t served = 0, expired = 0, refused = 0, restarted = 0;
  for (std::uint32_t seed = 1; seed <= 10'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    SimulatedEngine engine;
    engine.scheduler = {1 + static_cast<std::uint32_t>(random() % 8),
                        static_cast<std::uint32_t>(random() % 2),
                        2 + static_cast<std::uint32_t>(random() % 20)};
    engine.pages = 49 + random() % 100;  // the largest request fits
    Simulation simulation(engine, random_jobs(random));
    simulation.run();
    // A step may be the widest there is when the deadline passes.
    const double step_s = 0.6;
    for (const SimulatedJob& j : simulation.jobs()) {
      ASSERT_EQ(j.ends, 1);
      if (j.end == End::kServed) {
        ASSERT_EQ(j.token_times.size(), j.answer);
        ASSERT_TRUE(std::ranges::is_sorted(j.token_times));
      }
      if (j.deadline_s) {
        ASSERT_LE(j.ended_s - j.arrival_s, *j.deadline_s + step_s);
      }
      served += j.end == End::kServed;
      expired += j.end == End::kExpired;
      refused += j.end == End::kRefused;
      restarted += j.restarts > 0;
    }
    if (testing::Test::HasFailure()) return;
  }
  // The scenarios reach what they are for.
  EXPECT_GT(served, 50'000u);
  EXPECT_GT(expired, 1'000u);
  EXPECT_GT(refused, 1'000u);
  EXPECT_GT(restarted, 1'000u);
}

// Tenants that always have work get tokens in proportion to their weights. Deficit round robin
// keeps a constant distance from that, here three of the largest requests; the rest is the error.
double share_error(std::uint32_t seed, bool one_tenant) {
  std::mt19937 random(seed);
  SimulatedEngine engine;
  engine.scheduler = {8, 1, 100'000};
  engine.one_tenant = one_tenant;
  engine.until_s = 30;
  std::vector<SimulatedJob> jobs;
  const std::uint32_t tenants = 2 + random() % 3;
  std::uint32_t weights = 0;
  for (std::uint32_t t = 0; t < tenants; ++t) {
    const std::uint32_t weight = 1 + random() % 4;
    weights += weight;
    // Each asks in its own way: many small, few large; and the first in line is not always the
    // same.
    const std::size_t prompt = 40 + random() % 200;
    const std::size_t answer = 10 + random() % 60;
    for (int i = 0; i < 3000; ++i) {
      SimulatedJob j;
      j.tenant = std::string(1, static_cast<char>('a' + t));
      j.weight = weight;
      j.prompt = prompt / 2 + random() % prompt;
      j.answer = 1 + answer / 2 + random() % answer;
      j.arrival_s = 1e-6 * static_cast<double>(random() % 1000);
      jobs.push_back(std::move(j));
    }
  }
  Simulation simulation(engine, std::move(jobs));
  simulation.run();
  double total = 0;
  for (const auto& [tenant, tokens] : simulation.tokens_of_tenants())
    total += static_cast<double>(tokens);
  std::map<std::string, std::uint32_t> weight_of;
  double largest = 0;
  for (const SimulatedJob& j : simulation.jobs()) {
    weight_of[j.tenant] = j.weight;
    largest = std::max(largest, static_cast<double>(j.prompt + j.answer));
  }
  double worst = 0;
  for (const auto& [tenant, weight] : weight_of) {
    const double fair = total * weight / weights;
    const auto it = simulation.tokens_of_tenants().find(tenant);
    const double got =
        it == simulation.tokens_of_tenants().end() ? 0 : static_cast<double>(it->second);
    worst = std::max(worst, (std::abs(got - fair) - 3 * largest) / fair);
  }
  return worst;
}

TEST(Simulation, BackloggedTenantsShareByWeight) {
  for (std::uint32_t seed = 1; seed <= 40; ++seed)
    EXPECT_LT(share_error(seed, false), 0.05) << "seed " << seed;
}

// A check that cannot fail is a defect: without tenants the shares are not kept.
TEST(Simulation, CanarySharesAreNotKeptWithoutTenants) {
  double worst = 0;
  for (std::uint32_t seed = 1; seed <= 10; ++seed) worst = std::max(worst, share_error(seed, true));
  EXPECT_GT(worst, 0.3);
}

// One tenant asks now and then; another sends 200 requests at once.
std::vector<double> first_tokens(std::uint32_t seed, bool crowd, bool one_tenant) {
  std::mt19937 random(seed);
  SimulatedEngine engine;
  engine.scheduler = {8, 1, 1000};
  engine.one_tenant = one_tenant;
  std::vector<SimulatedJob> jobs;
  for (int i = 0; i < 200 && crowd; ++i) {
    SimulatedJob j;
    j.tenant = "crowd";
    j.prompt = 64;
    j.answer = 64;
    jobs.push_back(std::move(j));
  }
  for (int i = 0; i < 12; ++i) {
    SimulatedJob j;
    j.tenant = "light";
    j.prompt = 64;
    j.answer = 8;
    j.arrival_s = 0.5 * (i + 1) + 1e-4 * static_cast<double>(random() % 1000);
    jobs.push_back(std::move(j));
  }
  Simulation simulation(engine, std::move(jobs));
  simulation.run();
  std::vector<double> out;
  for (const SimulatedJob& j : simulation.jobs()) {
    if (j.tenant == "light") out.push_back(j.ttft_s());
  }
  return out;
}

double slowdown(bool one_tenant) {
  std::vector<double> alone, beside;
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    for (const double s : first_tokens(seed, false, one_tenant)) alone.push_back(s);
    for (const double s : first_tokens(seed, true, one_tenant)) beside.push_back(s);
  }
  return quantile(beside, 0.5) / quantile(alone, 0.5);
}

TEST(Simulation, ACrowdOfOneTenantHardlyDelaysAnothersFirstToken) {
  EXPECT_LT(slowdown(false), 1.5);
}

TEST(Simulation, CanaryTheCrowdWouldDelayItsOwn) { EXPECT_GT(slowdown(true), 5.0); }

// Answers keep their pace while a long prompt is read.
TEST(Simulation, ALongPromptDoesNotStopRunningAnswers) {
  for (const double per_prompt_token_s : {1e-4, 6e-4, 1e-3}) {
    SimulatedEngine engine;
    engine.per_prompt_token_s = per_prompt_token_s;
    engine.scheduler = {8, 1, 100};
    std::vector<SimulatedJob> jobs(9);
    for (std::size_t i = 0; i < 8; ++i) {
      jobs[i].tenant = "a";
      jobs[i].answer = 1800;
      jobs[i].prompt = 16;
    }
    jobs[8].tenant = "b";
    jobs[8].arrival_s = 3;
    jobs[8].prompt = 3000;
    engine.pages = 1000;
    Simulation simulation(engine, std::move(jobs));
    simulation.run();
    const SimulatedJob& guest = simulation.jobs()[8];
    std::vector<double> idle, stalled;
    for (std::size_t i = 0; i < 8; ++i) {
      const std::vector<double>& t = simulation.jobs()[i].token_times;
      for (std::size_t k = 100; k + 1 < t.size(); ++k) {
        const double gap = t[k + 1] - t[k];
        if (t[k] >= guest.arrival_s && t[k + 1] <= guest.first_token_s) stalled.push_back(gap);
        if (t[k + 1] < guest.arrival_s) idle.push_back(gap);
      }
    }
    EXPECT_LE(quantile(stalled, 0.99), 2.0 * quantile(idle, 0.5)) << per_prompt_token_s;
    EXPECT_GT(guest.first_token_s, 0);
  }
}

// The lowest class moves on under endless work of a higher one.
TEST(Simulation, NoClassIsStarved) {
  SimulatedEngine engine;
  engine.scheduler = {4, 0, 10'000};
  engine.until_s = 60;
  std::vector<SimulatedJob> jobs;
  for (int i = 0; i < 9000; ++i) {
    SimulatedJob j;
    j.tenant = i % 3 == 0 ? "b" : "a";
    j.priority = i % 3 == 0 ? Priority::kBatch : Priority::kInteractive;
    jobs.push_back(std::move(j));
  }
  Simulation simulation(engine, std::move(jobs));
  simulation.run();
  std::map<Priority, std::size_t> served;
  for (const SimulatedJob& j : simulation.jobs()) served[j.priority] += j.end == End::kServed;
  EXPECT_GT(served[Priority::kBatch] * 25, served[Priority::kInteractive]);
  EXPECT_LT(served[Priority::kBatch] * 10, served[Priority::kInteractive]);
}

TEST(StepPacer, LearnsUnderLoadThatNeverPauses) {
  StepPacer pacer(8);
  pacer.observe(0, 100, 0.1);  // the first prompt, alone: a millisecond a token
  const StepPacer::Load load{.answer_tokens = 1, .answers = 1, .prompts = 7};
  EXPECT_EQ(pacer.room(load, 192).paced, StepPacer::kUnmeasured);
  pacer.observe(1, 16, 0.036);  // its answer and others' prompts: 20 ms and 16 tokens
  EXPECT_GT(pacer.room(load, 192).paced, 90u);
  EXPECT_GT(pacer.room(load, 192).finishing, 100u);
}

TEST(ShareOut, TheFirstMovesOnAndShortOnesNeedNotWaitForIt) {
  using Sizes = std::vector<std::size_t>;
  const auto shares = [](const Sizes& left, std::size_t paced) {
    return share_out(left, left, {paced, 0});
  };
  EXPECT_EQ(shares({}, 10), Sizes{});
  EXPECT_EQ(shares({100}, 10), Sizes{10});
  EXPECT_EQ(shares({100, 100}, 10), (Sizes{10, 0}));
  EXPECT_EQ(shares({100, 8, 3}, 10), (Sizes{7, 0, 3}));
  EXPECT_EQ(shares({100, 2, 3}, 10), (Sizes{5, 2, 3}));
  EXPECT_EQ(shares({4, 100, 100}, 10), (Sizes{4, 6, 0}));
  EXPECT_EQ(shares({1, 1, 1}, 10), (Sizes{1, 1, 1}));
  EXPECT_EQ(shares({5, 5}, 1), (Sizes{1, 0}));
  // What fits the room for short ones ends at once; the end of a long one is no short one.
  EXPECT_EQ(share_out(Sizes{100, 20, 30}, Sizes{100, 20, 30}, {8, 40}), (Sizes{2, 20, 0}));
  EXPECT_EQ(share_out(Sizes{20, 20}, Sizes{500, 20}, {8, 40}), (Sizes{2, 20}));
  EXPECT_EQ(share_out(Sizes{20, 20}, Sizes{40, 41}, {8, 40}), (Sizes{20, 2}));
  EXPECT_EQ(share_out(Sizes{20}, Sizes{20}, {8, 40}), (Sizes{20}));
}

}  // namespace
}  // namespace holdfast::runtime
