#include "holdfast/planner/queueing.h"

#include <gtest/gtest.h>

#include <cmath>

namespace holdfast::planner {
namespace {

Waiting wait(int servers, double lambda, double mu, double arrival_c2, double service_c2) {
  return multi_server_wait({.servers = servers,
                            .arrivals = PerSecond(lambda),
                            .service = PerSecond(mu),
                            .arrival_c2 = arrival_c2,
                            .service_c2 = service_c2})
      .value();
}

// k = 2, a = 1.6: B(1) = 1.6/2.6 = 8/13; B(2) = 1.6*8/13 / (2 + 1.6*8/13) = 0.329897; C = B / (1 -
// 0.8 * (1 - B)) = 0.711111. W = 0.711111 / (2 - 1.6) = 1.777778; times (4 + 0.5)/2 = 4.000.
TEST(QueueingTest, G9ErlangAndAllenCunneen) {
  EXPECT_NEAR(erlang_c(2, 1.6), 0.711111, 5e-7);
  EXPECT_NEAR(wait(2, 1.6, 1, 1, 1).mean.value(), 1.777778, 5e-7);
  EXPECT_NEAR(wait(2, 1.6, 1, 4, 0.5).mean.value(), 4.000, 5e-4);
}

// The defining sum, in long double.
double erlang_c_by_sum(int servers, double offered) {
  long double term = 1;
  long double sum = 0;
  for (int i = 0; i < servers; ++i) {
    sum += term;
    term *= static_cast<long double>(offered) / (i + 1);
  }
  const long double last = term * servers / (servers - offered);
  return static_cast<double>(last / (sum + last));
}

TEST(QueueingTest, ErlangCEqualsItsDefinition) {
  for (int servers : {1, 2, 5, 40, 400}) {
    for (double load : {0.0, 0.1, 0.5, 0.9, 0.99}) {
      EXPECT_NEAR(erlang_c(servers, load * servers), erlang_c_by_sum(servers, load * servers),
                  1e-12)
          << servers << " at " << load;
    }
  }
  const double huge = erlang_c(1 << 20, 0.9999 * (1 << 20));
  EXPECT_GT(huge, 0);
  EXPECT_LT(huge, 1);
  EXPECT_EQ(erlang_c(3, 3), 1);
}

// M/M/1 at 0.5: half of the arrivals wait, on average 1 s; P(W > t) = 0.5*exp(-0.5 t), so 99 % wait
// less than ln(50)/0.5 = 7.824 s.
TEST(QueueingTest, TailOfMm1) {
  const Waiting mm1 = wait(1, 0.5, 1, 1, 1);
  EXPECT_DOUBLE_EQ(mm1.mean.value(), 1);
  EXPECT_NEAR(mm1.exceeds(Seconds(2)), 0.5 * std::exp(-1), 1e-12);
  EXPECT_NEAR(mm1.quantile(0.99).value(), std::log(50) / 0.5, 1e-9);
  EXPECT_EQ(mm1.quantile(0.4), Seconds(0));
  EXPECT_TRUE(wait(1, 1, 1, 1, 1).unstable);
  EXPECT_FALSE(multi_server_wait({.servers = 0, .arrivals = {}, .service = {}}).ok());
}

SharedProcessorResult chain(double lambda, int batch, double output,
                            std::function<Seconds(int)> step) {
  return shared_processor({.arrivals = PerSecond(lambda),
                           .output = Tokens(output),
                           .batch_max = batch,
                           .step = std::move(step)})
      .value();
}

// A step that takes i * s/OSL makes mu constant: M/M/1 (processor sharing) with mean time in system
// s / (1 - rho) = 1 / (1 - 0.8) = 5.
TEST(QueueingTest, ChainWithConstantRateIsMm1) {
  for (int batch : {1, 7, 300}) {
    const SharedProcessorResult r =
        chain(0.8, batch, 100, [](int i) { return Seconds(i / 100.0); });
    EXPECT_NEAR(r.e2e.value(), 5, 1e-9) << batch;
    EXPECT_NEAR(r.busy, 0.8, 1e-9);
  }
}

// A step of constant time gives each its own server: M/M/B, W = C/(B*mu - lambda) + 1/mu.
TEST(QueueingTest, ChainWithConstantStepIsMmk) {
  for (int batch : {2, 16, 4096}) {
    const double lambda = 0.95 * batch;
    const SharedProcessorResult r = chain(lambda, batch, 50, [](int) { return Seconds(1 / 50.0); });
    const Waiting mmk = wait(batch, lambda, 1, 1, 1);
    EXPECT_NEAR(r.queue.value(), mmk.mean.value(), 1e-9) << batch;
    EXPECT_NEAR(r.e2e.value(), mmk.mean.value() + 1, 1e-9);
    EXPECT_NEAR(r.waits, mmk.probability, 1e-9);
    EXPECT_NEAR(r.running, lambda, 1e-6);
    EXPECT_DOUBLE_EQ(r.tpot_p99.value(), 1 / 50.0);
  }
}

// Two places, steps of 1 and 2 s for one token each: mu(1) = 1, mu(2) = 2/2 = 1; lambda 0.5: pi =
// 1/2, 1/4, 1/8, ... TPOT 1 s with weight 1 * 1/4, 2 s with weight 2 * (1/8 + 1/8 beyond) = 1/2.
TEST(QueueingTest, TpotIsWeightedByWhoMeetsIt) {
  const SharedProcessorResult r = chain(0.5, 2, 1, [](int i) { return Seconds(i); });
  EXPECT_NEAR(r.tpot_mean.value(), (0.25 * 1 + 0.5 * 2) / 0.75, 1e-12);
  EXPECT_EQ(r.tpot_p50, Seconds(2));
  EXPECT_NEAR(r.waits, 0.25, 1e-12);
}

TEST(QueueingTest, OverloadAndBadInput) {
  EXPECT_TRUE(chain(1.01, 4, 100, [](int i) { return Seconds(i / 100.0); }).unstable);
  const SharedProcessorResult near = chain(4095.9, 4096, 1, [](int) { return Seconds(1); });
  EXPECT_FALSE(near.unstable);
  EXPECT_TRUE(std::isfinite(near.e2e.value()));
  const auto zero = shared_processor(
      {.arrivals = PerSecond(1), .output = Tokens(1), .batch_max = 2, .step = [](int) {
         return Seconds(0);
       }});
  EXPECT_NE(zero.error().client_message().find("step time"), std::string::npos);
  EXPECT_FALSE(shared_processor({.arrivals = PerSecond(1),
                                 .output = Tokens(1),
                                 .batch_max = 5000,
                                 .step = [](int) { return Seconds(1); }})
                   .ok());
}

}  // namespace
}  // namespace holdfast::planner
