// The planner's own error on devices that it was not fitted on: bars PL-02 to PL-05. The rows are
// published measurements; the oracle is that each is predicted by constants fitted without it.
#include "holdfast/planner/validate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "holdfast/planner/csv.h"
#include "holdfast/planner/shipped.h"

namespace holdfast::planner {
namespace {

const std::map<std::string, ErrorSummary>& report() {
  static const std::map<std::string, ErrorSummary> byname = [] {
    std::map<std::string, ErrorSummary> out;
    for (const ErrorSummary& s : summarize(leave_one_device_out(shipped_measurements())))
      out[s.name] = s;
    return out;
  }();
  return byname;
}

TEST(ValidationTest, AllRowsAreRead) { EXPECT_EQ(shipped_measurements().size(), 609u); }

TEST(ValidationTest, DecodeOfDevicesLeftOut) {
  const ErrorSummary& all = report().at("decode_tps, all");
  EXPECT_EQ(all.rows, 397u);
  EXPECT_LE(all.mean_error, 0.12);
  EXPECT_LE(all.p90_error, 0.25);
  EXPECT_GE(all.coverage, 0.75);
  EXPECT_LE(all.coverage, 0.90);
}

TEST(ValidationTest, PrefillOfDevicesLeftOut) {
  const ErrorSummary& all = report().at("prefill_tps, all but contradicted");
  EXPECT_LE(all.mean_error, 0.25);
  EXPECT_GE(all.coverage, 0.75);
  EXPECT_LE(all.coverage, 0.90);
  // Sixteen-bit prompts of an A100 and of four RTX 5000 Ada, an order of magnitude too slow.
  EXPECT_GE(report().at("prefill_tps, all").rows - all.rows, 4u);
  EXPECT_LE(report().at("prefill_tps, all").rows - all.rows, 24u);
}

TEST(ValidationTest, ThroughputOfChipsLeftOut) {
  const ErrorSummary& all = report().at("throughput_tps, all");
  EXPECT_EQ(all.rows, 212u);
  EXPECT_LE(all.mean_error, 0.25);
  EXPECT_GE(all.coverage, 0.75);
}

// A constant per device would make the error on its own rows nearly nothing: seeing a device must
// not matter much.
TEST(ValidationTest, NoConstantBelongsToADevice) {
  std::vector<Prediction> seen;
  for (const Measurement& m : shipped_measurements())
    for (Prediction& p : predict_row(m, Efficiencies::shipped())) seen.push_back(p);
  std::map<std::string, ErrorSummary> by_name;
  for (const ErrorSummary& s : summarize(seen)) by_name[s.name] = s;
  EXPECT_GT(by_name["decode_tps, all"].mean_error, 0.5 * report().at("decode_tps, all").mean_error);
}

TEST(ValidationTest, LeavingADeviceOutLeavesItsRowsOut) {
  std::vector<Measurement> broken;
  for (Measurement m : shipped_measurements()) {
    if (m.device.id == "nvidia-rtx3090-24" && m.decode_tps) m.decode_tps = *m.decode_tps * 3;
    if (m.device.id != "nvidia-rtx3090-24") broken.push_back(m);
  }
  const Measurement* row = nullptr;
  for (const Measurement& m : shipped_measurements())
    if (m.device.id == "nvidia-rtx3090-24" && row == nullptr) row = &m;
  const auto without = Efficiencies::without_device("nvidia-rtx3090-24");
  const auto same = Efficiencies::fit(broken);
  ASSERT_NE(row, nullptr);
  EXPECT_EQ(predict_row(*row, without)[0].predicted.p50, predict_row(*row, same)[0].predicted.p50);
  EXPECT_NE(predict_row(*row, without)[0].predicted.p50,
            predict_row(*row, Efficiencies::shipped())[0].predicted.p50);
}

TEST(ValidationTest, BandsAreOrderedAndWide) {
  const Band b = band(100, 0.09);
  // ln(1.1223) / 1.2816 = 0.09.
  EXPECT_NEAR(b.p90, 112.23, 0.01);
  EXPECT_NEAR(b.p10 * b.p90, 100.0 * 100.0, 1e-6);
}

TEST(MeasurementsTest, UnknownDevicesAreProblemsAndBadCellsErrors) {
  const std::string header =
      "id,hw,n,engine,model,params_b,active_b,quant,weights_gib,kind,pp_len,tg_len,depth,batch,"
      "pp_tps,tg_tps,power_w,date\n";
  const auto parse = [&](const std::string& row) {
    return parse_measurements(header + row, "rows.csv", shipped_devices(), shipped_models());
  };
  auto rows = parse(
      "A,nvidia-rtx9999,1,llama.cpp,llama-3-8b,8,8,F16,15,llama-bench,512,128,,1,1,1,,2024\n"
      "B,nvidia-t4-16,1,x,new-13b,13,13,Q4_K_M,,ollama-eval-rate,,,,1,,20,,2025\n");
  ASSERT_TRUE(rows.ok()) << rows.error().to_string();
  EXPECT_FALSE((*rows)[0].measurement.has_value());
  EXPECT_NE((*rows)[0].problem.find("rtx9999"), std::string::npos);
  ASSERT_TRUE((*rows)[1].measurement.has_value());
  EXPECT_TRUE((*rows)[1].measurement->model.estimated);
  const auto bad = parse("A,nvidia-t4-16,1,x,m,-8,8,F16,15,llama-bench,,,,1,1,1,,2024\n");
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.error().client_message().find("rows.csv line 2: params_b"), std::string::npos);
  EXPECT_FALSE(parse_measurements("id,hw\n", "rows.csv", shipped_devices(), shipped_models()).ok());
}

}  // namespace
}  // namespace holdfast::planner
