// Oracles: excerpts in the form of each catalogue, prices divided by hand.
#include "holdfast/planner/import_prices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "holdfast/json/toml.h"
#include "holdfast/planner/shipped.h"

namespace holdfast::planner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kDay = "2026-12-01";

Result<ImportedPrices> import(PriceFormat format, std::string_view text,
                              std::string_view day = kDay) {
  return import_prices(format, text, "file", "aws", day, shipped_devices());
}

double price_of(const ImportedPrices& imported, PriceKind kind, std::string_view id) {
  const Price* p = imported.book.find(kind, id);
  return p == nullptr ? -1 : p->price;
}

std::string message(const Result<ImportedPrices>& result) {
  return result.ok() ? "ok" : result.error().client_message();
}

constexpr std::string_view kSkyPilot =
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region\n"
    "p5.48xlarge,H100,8.0,192.0,2048.0,98.32,39.328,us-east-1\n"
    "p5.4xlarge,H100,1.0,16.0,256.0,13.0,,us-east-1\n"
    "p5.48xlarge,H100,8.0,192.0,2048.0,80.0,,us-west-2\n"
    "p4de.24xlarge,A100-80GB,8.0,96.0,1152.0,40.96,20.0,us-east-1\n"
    "m6i.large,,,2.0,8.0,0.096,0.03,us-east-1\n"
    "trn1.2xlarge,Trainium,1.0,8.0,32.0,1.34,,us-east-1\n";

// Of two ways to get an H100 in a region the cheaper: min(98.32 / 8, 13) = 12.29.
TEST(ImportPricesTest, InstancesAreDividedByTheirDevices) {
  const auto r = import(PriceFormat::kSkyPilot, kSkyPilot);
  ASSERT_TRUE(r.ok()) << message(r);
  const auto hours = r->book.find_all(PriceKind::kGpuHour, "nvidia-h100-80-sxm");
  ASSERT_EQ(hours.size(), 2u);
  EXPECT_EQ(hours[0]->region, "us-west-2");  // the cheapest comes first
  EXPECT_DOUBLE_EQ(hours[0]->price, 10.0);
  EXPECT_DOUBLE_EQ(hours[1]->price, 12.29);
  EXPECT_EQ(hours[0]->id, "aws/nvidia-h100-80-sxm");
  EXPECT_EQ(hours[0]->valid_from, kDay);
  EXPECT_DOUBLE_EQ(price_of(*r, PriceKind::kGpuHourSpot, "nvidia-h100-80-sxm"), 4.916);
  EXPECT_DOUBLE_EQ(price_of(*r, PriceKind::kGpuHour, "nvidia-a100-80-sxm"), 5.12);
  EXPECT_EQ(r->skipped, 2u);
  EXPECT_THAT(r->unknown, ElementsAre("Trainium"));
}

TEST(ImportPricesTest, AcceleratorsAreNeverMistakenForTheirLookAlikes) {
  const DeviceTable& d = shipped_devices();
  EXPECT_EQ(device_of_accelerator("L40S", d), "nvidia-l40s-48");
  EXPECT_EQ(device_of_accelerator("L40", d), std::nullopt);
  EXPECT_EQ(device_of_accelerator("A10", d), "nvidia-a10-24");
  EXPECT_EQ(device_of_accelerator("A10G", d), "nvidia-a10g-24");
  EXPECT_EQ(device_of_accelerator("a100-80gb", d), "nvidia-a100-80-sxm");
  EXPECT_EQ(device_of_accelerator("nvidia-t4-16", d), "nvidia-t4-16");
  for (const char* name : {"H100", "H100-PCIE", "H200", "GB200", "RTX4090", "MI300X", "T4", "L4"}) {
    const auto id = device_of_accelerator(name, d);
    ASSERT_TRUE(id) << name;
    EXPECT_TRUE(d.find(*id).ok()) << name;
  }
}

// Per token: 2.5e-6 is 2.50 per million.
TEST(ImportPricesTest, LiteLlm) {
  const auto r = import(PriceFormat::kLiteLlm, R"({
    "sample_spec": {"litellm_provider": "one of ...", "input_cost_per_token": 0.0},
    "gpt-4o": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2.5e-06,
      "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1.25e-06},
    "groq/llama-3.1-8b-instant": {"litellm_provider": "groq", "mode": "chat",
      "input_cost_per_token": 5e-08, "output_cost_per_token": 8e-08},
    "dall-e-3": {"litellm_provider": "openai", "mode": "image_generation"},
    "no-price": {"litellm_provider": "x", "mode": "chat"},
    "absurd": {"litellm_provider": "x", "mode": "chat", "input_cost_per_token": 1,
      "output_cost_per_token": -1}})");
  ASSERT_TRUE(r.ok()) << message(r);
  EXPECT_EQ(r->book.all().size(), 5u);
  EXPECT_DOUBLE_EQ(price_of(*r, PriceKind::kTokenIn, "openai/gpt-4o"), 2.5);
  EXPECT_DOUBLE_EQ(price_of(*r, PriceKind::kTokenOut, "openai/gpt-4o"), 10);
  EXPECT_DOUBLE_EQ(price_of(*r, PriceKind::kTokenInCached, "openai/gpt-4o"), 1.25);
  EXPECT_NEAR(price_of(*r, PriceKind::kTokenOut, "groq/llama-3.1-8b-instant"), 0.08, 1e-12);
  EXPECT_EQ(r->skipped, 4u);
}

constexpr std::string_view kGenAi = R"([{"id":"anthropic","models":[
  {"id":"plain","prices":{"input_mtok":8,"output_mtok":24,"cache_read_mtok":0.8}},
  {"id":"tiers","prices":{"input_mtok":{"base":3,"tiers":[{"start":200000,"price":6}]},
    "output_mtok":{"base":15}}},
  {"id":"dated","prices":[{"prices":{"input_mtok":10,"output_mtok":20}},
    {"constraint":{"start_date":"2026-03-13"},"prices":{"input_mtok":5,"output_mtok":25}}]},
  {"id":"night","prices":[{"constraint":{"start_time":"00:30:00Z","end_time":"16:30:00Z"},
    "prices":{"input_mtok":1,"output_mtok":2}},{"prices":{"input_mtok":3,"output_mtok":4}}]},
  {"id":"embedding","prices":{"input_mtok":0.1}}]}])";

TEST(ImportPricesTest, GenAiPricesWithConditions) {
  const auto r = import(PriceFormat::kGenAiPrices, kGenAi);
  ASSERT_TRUE(r.ok()) << message(r);
  EXPECT_DOUBLE_EQ(price_of(*r, PriceKind::kTokenIn, "anthropic/plain"), 8);
  EXPECT_DOUBLE_EQ(price_of(*r, PriceKind::kTokenInCached, "anthropic/plain"), 0.8);
  EXPECT_DOUBLE_EQ(price_of(*r, PriceKind::kTokenIn, "anthropic/tiers"), 3);
  EXPECT_DOUBLE_EQ(price_of(*r, PriceKind::kTokenOut, "anthropic/dated"), 25);
  EXPECT_DOUBLE_EQ(price_of(*r, PriceKind::kTokenOut, "anthropic/night"), 4);
  EXPECT_EQ(r->skipped, 1u);
  // The day before the new price began.
  const auto before = import(PriceFormat::kGenAiPrices, kGenAi, "2026-03-12");
  EXPECT_DOUBLE_EQ(price_of(*before, PriceKind::kTokenOut, "anthropic/dated"), 20);
}

// Two years of 365.25 days before the file's date is 730.5 days; 2024-12-01 is 730 before
// 2026-12-01, so T = 730 / 365.25 = 1.998631. Input: 4 -> 2 -> 1, each step ln 2: drift
// -2 ln 2 / T = -0.693622, sigma sqrt(2) ln 2 / sqrt(T) = 0.693384.
TEST(ImportPricesTest, AHistoryGivesVolatility) {
  const auto r = import(PriceFormat::kLlmPrices, R"({"prices":[
    {"id":"m","vendor":"v","input":1,"output":5,"from_date":"2026-06-01","to_date":null},
    {"id":"m","vendor":"v","input":2,"output":5,"from_date":"2025-06-01","to_date":"2026-06-01"},
    {"id":"m","vendor":"v","input":4,"output":5,"from_date":"2024-12-01","to_date":"2025-06-01"},
    {"id":"n","vendor":"v","input":3,"output":6}]})");
  ASSERT_TRUE(r.ok()) << message(r);
  EXPECT_DOUBLE_EQ(price_of(*r, PriceKind::kTokenIn, "v/m"), 1);
  EXPECT_EQ(r->book.find(PriceKind::kTokenIn, "v/m")->valid_from, "2026-06-01");
  EXPECT_DOUBLE_EQ(price_of(*r, PriceKind::kTokenOut, "v/n"), 6);
  ASSERT_EQ(r->volatility.size(), 2u);
  EXPECT_EQ(r->volatility[0].prices, 3u);
  EXPECT_NEAR(r->volatility[0].years, 1.998631, 1e-6);
  EXPECT_NEAR(r->volatility[0].drift_year, -0.693622, 1e-6);
  EXPECT_NEAR(r->volatility[0].sigma_year, 0.693384, 1e-6);
  EXPECT_EQ(r->volatility[1].sigma_year, 0);
}

TEST(ImportPricesTest, TheFileOfOneVendor) {
  const auto r = import(PriceFormat::kLlmPrices, R"({"vendor":"deepseek","models":[
    {"id":"deepseek-chat","name":"DeepSeek Chat","price_history":[
      {"input":0.27,"output":1.1,"from_date":"2025-02-08","to_date":null},
      {"input":0.14,"output":0.28,"from_date":null,"to_date":"2025-02-08"}]}]})");
  ASSERT_TRUE(r.ok()) << message(r);
  EXPECT_DOUBLE_EQ(price_of(*r, PriceKind::kTokenIn, "deepseek/deepseek-chat"), 0.27);
}

TEST(ImportPricesTest, ForeignFilesAreRefusedWithTheirName) {
  EXPECT_THAT(message(import(PriceFormat::kSkyPilot, "a,b\n1,2\n")),
              HasSubstr("no column AcceleratorName"));
  EXPECT_THAT(
      message(import(PriceFormat::kSkyPilot, "AcceleratorName,AcceleratorCount,Price\nT4,1,x\n")),
      HasSubstr("line 2"));
  EXPECT_THAT(message(import(PriceFormat::kLiteLlm, "[]")), HasSubstr("file: must be an object"));
  EXPECT_THAT(message(import(PriceFormat::kLiteLlm, "{")), HasSubstr("file: "));
  EXPECT_THAT(message(import(PriceFormat::kGenAiPrices, "{}")), HasSubstr("list of providers"));
  EXPECT_THAT(message(import(PriceFormat::kGenAiPrices, R"([{"id":"x"}])")),
              HasSubstr("no models"));
  EXPECT_THAT(message(import(PriceFormat::kLlmPrices, "{}")), HasSubstr("neither"));
  EXPECT_THAT(message(import(PriceFormat::kLlmPrices,
                             R"({"prices":[{"id":"a","vendor":"b","from_date":"soon"}]})")),
              HasSubstr("b/a: from_date"));
  EXPECT_THAT(message(import(PriceFormat::kSkyPilot,
                             "AcceleratorName,AcceleratorCount,Price,Region\nT4,1,1,u\xa5s\n")),
              HasSubstr("UTF-8"));
  EXPECT_THAT(message(import(PriceFormat::kLiteLlm, "{}", "yesterday")), HasSubstr("YYYY-MM-DD"));
}

// What is written is read as the same book.
TEST(ImportPricesTest, BooksSurviveTheirFiles) {
  const auto r = import(PriceFormat::kSkyPilot, kSkyPilot);
  ASSERT_TRUE(r.ok());
  PriceBook book = r->book;
  Price odd = book.all()[0];
  odd.id = "a \"quoted\\name\x7f\xc3\xa9";
  odd.price = 3;
  book.add(odd);
  const auto toml = json::parse_toml(price_book_toml(book), "t");
  ASSERT_TRUE(toml.ok()) << toml.error().client_message();
  for (const json::Value& document : {*toml, price_book_json(book)}) {
    const auto again = PriceBook::parse(document, "again");
    ASSERT_TRUE(again.ok()) << again.error().client_message();
    EXPECT_TRUE(diff_prices(book, *again).empty());
    ASSERT_EQ(again->all().size(), book.all().size());
    EXPECT_EQ(again->all().back().id, odd.id);
    EXPECT_EQ(again->all()[0].valid_from, kDay);
  }
}

TEST(ImportPricesTest, DifferencesAreChangedNewAndGone) {
  const auto parse = [](const char* text) { return *PriceBook::parse(*json::parse(text), "book"); };
  const PriceBook a = parse(R"([{"id":"x","kind":"gpu_hour","price":2},
    {"id":"y","kind":"gpu_hour","price":3},{"id":"same","kind":"gpu_hour","price":1}])");
  const PriceBook b = parse(R"([{"id":"x","kind":"gpu_hour","price":1.5},
    {"id":"z","kind":"token_in","price":4},{"id":"same","kind":"gpu_hour","price":1}])");
  const auto d = diff_prices(a, b);
  ASSERT_EQ(d.size(), 3u);
  EXPECT_EQ(d[0].id, "x");
  EXPECT_EQ(d[0].before, 2);
  EXPECT_EQ(d[0].after, 1.5);
  EXPECT_EQ(d[1].id, "y");
  EXPECT_EQ(d[1].after, std::nullopt);
  EXPECT_EQ(d[2].id, "z");
  EXPECT_EQ(d[2].before, std::nullopt);
}

}  // namespace
}  // namespace holdfast::planner
