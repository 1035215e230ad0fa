// A machine that is known is found again from its speeds.
#include "holdfast/planner/local_efficiency.h"

#include <gtest/gtest.h>

#include <cmath>

#include "holdfast/planner/shipped.h"

namespace holdfast::planner {
namespace {

Device machine() {
  Device d = *shipped_devices().find("cpu-epyc9654-1s");
  d.bandwidth = gigabytes_per_second(40);
  d.fp16 = teraflops(0.4);
  return d;
}

CalibrationPoint point(std::string_view model, bool prefill, double tokens, double batch,
                       double depth) {
  CalibrationPoint p;
  p.model = *find_model(shipped_models(), model);
  p.weights = Bytes(p.model.params * 0.6);
  p.prefill = prefill;
  p.tokens = tokens;
  p.batch = batch;
  p.depth = depth;
  return p;
}

// The truth of the test: other constants than any class has.
LocalEfficiency truth() {
  LocalEfficiency t;
  t.decode.bytes_cost = 1.9;
  t.decode.kv_cost = 2.5;
  t.decode.layer = microseconds(20);
  t.decode.batch_flops_cost = 2;
  t.decode.sequence = microseconds(300);
  t.eta = {{128, 0.7}, {2048, 0.5}};
  return t;
}

std::vector<CalibrationPoint> measured() {
  std::vector<CalibrationPoint> out;
  for (const char* m : {"smollm2-135m", "gemma-3-270m"}) {
    for (const double n : {128.0, 512.0, 2048.0}) out.push_back(point(m, true, n, 1, 0));
    for (const double b : {1.0, 2.0, 4.0, 8.0}) out.push_back(point(m, false, 32, b, 16));
    out.push_back(point(m, false, 32, 1, 2000));
  }
  for (CalibrationPoint& p : out) p.tokens_per_s = predict_point(truth(), machine(), p);
  return out;
}

TEST(LocalEfficiencyTest, PredictsWhatWasNotMeasured) {
  const auto fit = fit_local(machine(), measured());
  ASSERT_TRUE(fit.ok()) << fit.error().to_string();
  EXPECT_EQ(fit->points, 16u);
  for (const CalibrationPoint& p :
       {point("smollm2-135m", false, 32, 3, 16), point("smollm2-135m", false, 32, 6, 500),
        point("gemma-3-270m", false, 32, 1, 1000), point("llama-3.2-1b", false, 32, 1, 16)}) {
    const double expected = predict_point(truth(), machine(), p);
    EXPECT_NEAR(predict_point(*fit, machine(), p) / expected, 1, 0.05)
        << p.model.id << " " << p.batch;
  }
  for (const double n : {200.0, 1000.0}) {
    const auto p = point("smollm2-135m", true, n, 1, 0);
    EXPECT_NEAR(predict_point(*fit, machine(), p) / predict_point(truth(), machine(), p), 1, 0.02);
  }
  // Its residuals are those of the numbers: nothing; the least is 5 %.
  EXPECT_EQ(fit->decode_sigma, 0.05);
}

TEST(LocalEfficiencyTest, NoisyMeasurementsWidenTheBand) {
  auto points = measured();
  for (std::size_t i = 0; i < points.size(); ++i) points[i].tokens_per_s *= i % 2 == 0 ? 1.25 : 0.8;
  EXPECT_GT(fit_local(machine(), points)->decode_sigma, 0.1);
}

TEST(LocalEfficiencyTest, BadPointsAreErrors) {
  EXPECT_FALSE(fit_local(machine(), {}).ok());
  auto points = measured();
  points[0].tokens_per_s = 0;
  EXPECT_FALSE(fit_local(machine(), points).ok());
  points = measured();
  std::erase_if(points, [](const CalibrationPoint& p) { return p.prefill; });
  EXPECT_FALSE(fit_local(machine(), points).ok());
}

}  // namespace
}  // namespace holdfast::planner
