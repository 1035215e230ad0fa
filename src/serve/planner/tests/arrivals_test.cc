#include "holdfast/planner/arrivals.h"

#include <gtest/gtest.h>

#include <cmath>

#include "holdfast/planner/sobol.h"

namespace holdfast::planner {
namespace {

std::vector<double> draw(const Arrivals& arrivals, int count) {
  ArrivalTimes times(arrivals, 7);
  std::vector<double> drawn(static_cast<std::size_t>(count));
  for (double& t : drawn) t = times.next_s();
  return drawn;
}

double rate_of(const std::vector<double>& times) {
  return static_cast<double>(times.size()) / times.back();
}

Arrivals stream(double rate, const Burstiness& shape) {
  return {.rate = PerSecond(rate), .shape = shape};
}

TEST(ArrivalsTest, PoissonHasNoBursts) {
  const auto times = draw(stream(5, {}), 1000000);
  const Burstiness b = measure_burstiness(times);
  EXPECT_NEAR(rate_of(times), 5, 0.05);
  EXPECT_NEAR(b.c2a, 1, 0.01);
  EXPECT_NEAR(b.idc_1s, 1, 0.02);
  EXPECT_NEAR(b.idc_60s, 1, 0.06);
}

// Section 10: an hour of conversation traffic, CV 1.09, and of code completion, CV 13.2.
TEST(ArrivalsTest, ReferenceShapesAreReproduced) {
  const auto chat = draw(
      stream(5.53, {.c2a = 1.09 * 1.09, .idc_1s = 1.4, .idc_10s = 3.9, .idc_60s = 16}), 2000000);
  const Burstiness c = measure_burstiness(chat);
  EXPECT_NEAR(rate_of(chat), 5.53, 0.1);
  EXPECT_NEAR(c.c2a, 1.19, 0.05);
  EXPECT_NEAR(c.idc_1s, 1.4, 0.05);
  EXPECT_NEAR(c.idc_10s, 3.9, 0.2);
  EXPECT_NEAR(c.idc_60s, 16, 1);
  const auto code = draw(
      stream(2.57, {.c2a = 13.2 * 13.2, .idc_1s = 13, .idc_10s = 72, .idc_60s = 164}), 2000000);
  const Burstiness k = measure_burstiness(code);
  EXPECT_NEAR(rate_of(code), 2.57, 0.1);
  EXPECT_NEAR(k.c2a, 174, 26);
  EXPECT_NEAR(k.idc_1s, 13, 2);
  EXPECT_NEAR(k.idc_10s, 72, 11);
  EXPECT_NEAR(k.idc_60s, 164, 25);
}

TEST(ArrivalsTest, GapsHaveTheVariationAskedFor) {
  for (double c2a : {0.25, 4.0, 30.0}) {
    const auto times = draw(stream(5, {.c2a = c2a}), 1000000);
    EXPECT_NEAR(rate_of(times), 5, 0.1) << c2a;
    EXPECT_NEAR(measure_burstiness(times).c2a, c2a, 0.05 * c2a);
  }
}

// Hours weighted 1, 3: a quarter and three quarters of the requests.
TEST(ArrivalsTest, HourlyProfile) {
  Arrivals arrivals = stream(2, {});
  arrivals.hourly_weight = {1, 3, 0};
  double in_first = 0;
  double in_third = 0;
  const auto times = draw(arrivals, 400000);
  for (double t : times) {
    const double hour = std::fmod(t / 3600, 3);
    in_first += hour < 1 ? 1 : 0;
    in_third += hour > 2.0001 ? 1 : 0;
  }
  EXPECT_NEAR(in_first / 400000, 0.25, 0.01);
  EXPECT_EQ(in_third, 0);
  EXPECT_NEAR(rate_of(times), 2, 0.05);
}

std::vector<double> lengths(const Lengths& from) {
  const LengthSampler sampler(from);
  std::vector<double> drawn;
  for (int i = 0; i < 100000; ++i) drawn.push_back(sampler((i + 0.5) / 100000));
  return drawn;
}

TEST(ArrivalsTest, LengthsGoThroughTheirPercentiles) {
  const auto isl = lengths({.p50 = 1020, .p90 = 2735, .p99 = 4142});
  EXPECT_NEAR(quantile(isl, 0.5), 1020, 2);
  EXPECT_NEAR(quantile(isl, 0.9), 2735, 4);
  EXPECT_NEAR(quantile(isl, 0.99), 4142, 8);
  double sum = 0;
  for (double length : lengths({.mean = 500, .cv = 1})) sum += length;
  EXPECT_NEAR(sum / 100000, 500, 3);
  EXPECT_EQ(LengthSampler({.mean = 42, .cv = 0})(0.9), 42);
  EXPECT_EQ(LengthSampler({.mean = 1, .cv = 5})(1e-9), 1);
}

TEST(ArrivalsTest, BadInputIsNamed) {
  EXPECT_FALSE(check_arrivals(stream(0, {})).ok());
  EXPECT_FALSE(check_arrivals(stream(std::nan(""), {})).ok());
  EXPECT_FALSE(check_arrivals(stream(1, {.c2a = 0})).ok());
  Arrivals back = stream(1, {});
  back.trace = {{Seconds(2), 1, 1}, {Seconds(1), 1, 1}};
  EXPECT_NE(check_arrivals(back).error().client_message().find("trace time"), std::string::npos);
  Arrivals silent = stream(1, {});
  silent.hourly_weight = {0, 0};
  EXPECT_FALSE(check_arrivals(silent).ok());
  EXPECT_FALSE(check_lengths({.p50 = 10, .p90 = 5, .p99 = 20}, "isl").ok());
  EXPECT_FALSE(check_lengths({.mean = 0.5}, "osl").ok());
}

}  // namespace
}  // namespace holdfast::planner
