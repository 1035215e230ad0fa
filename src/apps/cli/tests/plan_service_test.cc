// What the server's routes answer, without the server.
#include "../plan_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace holdfast::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class PlanServiceTest : public testing::Test {
 protected:
  PlanServiceTest() {
    context_.data_dir = testing::TempDir() + "/holdfast-plan-service";
    std::filesystem::remove_all(context_.data_dir);
  }
  Result<json::Value> plan(const std::string& body) {
    return plan_of_request(context_, *json::parse(body));
  }
  Result<json::Value> fit(const std::string& body) {
    return fit_of_request(context_, *json::parse(body));
  }
  static std::string why(const Result<json::Value>& r) {
    return r.ok() ? "ok" : r.error().client_message();
  }

  Context context_;
};

constexpr const char* kBody =
    R"({"workload":{"users":40,"isl":800,"osl":200},"models":[{"name":"llama-3.1-8b"}],)"
    R"("date":"2026-08-05"%})";

std::string body(const std::string& more = "") {
  std::string out = kBody;
  return out.replace(out.find('%'), 1, more);
}

TEST_F(PlanServiceTest, TheSameBodyGivesTheSameBytes) {
  const auto first = plan(body());
  ASSERT_TRUE(first.ok()) << why(first);
  EXPECT_EQ(first->find("schema")->as_string(), "holdfast.plan/1");
  EXPECT_EQ(json::write(*first), json::write(*plan(body())));
  EXPECT_NE(json::write(*first), json::write(*plan(body(R"(,"seed":9)"))));
}

TEST_F(PlanServiceTest, PricesDevicesAndTracesComeWithTheBody) {
  const auto priced = plan(body(R"(,"prices":[
      {"id":"cheap/llama-3.1-8b","kind":"token_in","price":0.001},
      {"id":"cheap/llama-3.1-8b","kind":"token_out","price":0.001}])"));
  ASSERT_TRUE(priced.ok()) << why(priced);
  EXPECT_THAT(priced->find("recommended")->as_string(), HasSubstr("cheap"));
  EXPECT_THAT(why(plan(body(R"(,"hardware_csv":"id,what\nx,1\n")"))), HasSubstr("hardware_csv"));
  EXPECT_THAT(why(plan(body(R"(,"trace_csv":"a,b\n1,2\n")"))), HasSubstr("TIMESTAMP"));
  EXPECT_THAT(why(plan(body(R"(,"prices":5)"))), StartsWith("prices"));
  EXPECT_THAT(why(plan(body(R"(,"hardware_csv":5)"))), StartsWith("hardware_csv: must be a text"));
}

TEST_F(PlanServiceTest, TooManyDevicesForARequest) {
  std::string csv =
      "id,vendor,class,mem_gb,mem_bw_gbs,fp16_tflops_dense,int8_tops_dense,fp8_tflops_dense,"
      "fp4_tflops_dense,tdp_w,link_gbs_per_dir,buy_usd_low,buy_usd_mid,buy_usd_high,"
      "rent_usd_h_ondemand,rent_usd_h_spot,spec_source,spec_confidence,note\\n";
  for (int i = 0; i < 257; ++i)
    csv += "d" + std::to_string(i) + ",NVIDIA,dc,80,2000,300,,,,300,,,,,,,,C,\\n";
  EXPECT_EQ(why(plan(body(R"(,"hardware_csv":")" + csv + "\""))),
            "hardware_csv: more than 256 devices");
}

TEST_F(PlanServiceTest, ErrorsBeginWithTheField) {
  EXPECT_THAT(why(plan("{}")), StartsWith("models: is missing"));
  EXPECT_THAT(why(plan(R"({"date":"soon"})")), StartsWith("date: "));
  EXPECT_THAT(why(plan(R"({"models":[{"name":"phi-4"},{"file":"/etc/passwd"}]})")),
              StartsWith("models[1].file: "));
  EXPECT_THAT(why(fit("{}")), StartsWith("model: is missing"));
  EXPECT_THAT(why(fit(R"({"model":5})")), StartsWith("model: "));
  EXPECT_THAT(why(fit(R"({"model":"phi-4","context":0})")), StartsWith("context: "));
  EXPECT_THAT(why(fit(R"({"model":"phi-4","parallel":2000,"device":"nvidia-l4-24"})")),
              StartsWith("parallel: "));
  EXPECT_THAT(why(fit(R"({"model":"phi-4","size":1})")), StartsWith("size: unknown"));
  EXPECT_THAT(why(fit(R"({"model":"/etc/passwd","device":"nvidia-l4-24"})")),
              StartsWith("model: there is no model"));
}

TEST_F(PlanServiceTest, FitAnswersForADevice) {
  const auto answer = fit(R"({"model":"phi-4","device":"nvidia-l4-24","context":4096})");
  ASSERT_TRUE(answer.ok()) << why(answer);
  EXPECT_TRUE(answer->find("fits")->as_bool());
  EXPECT_FALSE(answer->find("here")->as_bool());
  // Nothing was made in the data directory.
  EXPECT_FALSE(std::filesystem::exists(context_.data_dir));
}

}  // namespace
}  // namespace holdfast::cli
