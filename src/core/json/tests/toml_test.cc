#include "holdfast/json/toml.h"

#include <gtest/gtest.h>

namespace holdfast::json {
namespace {

TEST(TomlTest, TablesArraysAndScalars) {
  const auto v = parse_toml(
      "[workload]\nusers = 200\nrate = 0.5\non = true\n[[models]]\nname = \"x\"\n"
      "[[models]]\nname = \"y\"\nwhen = 2026-08-05\n",
      "w.toml");
  ASSERT_TRUE(v.ok()) << v.error().to_string();
  EXPECT_EQ(write(*v), R"({"models":[{"name":"x"},{"name":"y","when":"2026-08-05"}],)"
                       R"("workload":{"on":true,"rate":0.5,"users":200}})");
}

TEST(TomlTest, ErrorsNameDocumentAndLine) {
  const auto bad = parse_toml("a = 1\nb = \n", "w.toml");
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.error().client_message().find("w.toml line 2"), std::string::npos);
  EXPECT_EQ(parse_toml("a = nan", "w").error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(parse_toml("a = inf", "w").error().code(), ErrorCode::kInvalidArgument);
}

TEST(TomlTest, LimitsHold) {
  EXPECT_EQ(parse_toml(std::string(kTomlBytesMax + 1, '#'), "w").error().code(),
            ErrorCode::kExhausted);
  std::string deep = "a = ";
  for (int i = 0; i < 40; ++i) deep += '[';
  for (int i = 0; i < 40; ++i) deep += ']';
  EXPECT_EQ(parse_toml(deep, "w").error().code(), ErrorCode::kExhausted);
  std::string deeper = "a = " + std::string(100'000, '[');
  EXPECT_FALSE(parse_toml(deeper, "w").ok());
}

}  // namespace
}  // namespace holdfast::json
