#include "holdfast/json/json.h"
#include "holdfast/json/stream.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

namespace holdfast::json {
namespace {

std::string round_trip(std::string_view text) {
  const Result<Value> v = parse(text);
  return v.ok() ? write(*v) : "error: " + v.error().client_message();
}

TEST(Json, KeepsOrderAndKinds) {
  const char* text = R"({"z":1,"a":[true,false,null,-3,0.7,"\u00e9\n"],"m":{}})";
  EXPECT_EQ(round_trip(text), "{\"z\":1,\"a\":[true,false,null,-3,0.7,\"\xC3\xA9\\n\"],\"m\":{}}");
  const Value v = *parse(text);
  EXPECT_TRUE(v.find("z")->is_int());
  EXPECT_EQ(v.find("a")->as_array()[4].as_double(), 0.7);
}

TEST(Json, RefusesWhatRfc8259Refuses) {
  const char* bad[] = {"",
                       "{",
                       "[1,]",
                       "{\"a\":1,}",
                       "{a:1}",
                       "'a'",
                       "nul",
                       "01",
                       "+1",
                       "1.",
                       ".5",
                       "NaN",
                       "Infinity",
                       "[1]x",
                       "\xEF\xBB\xBF{}",
                       "/* c */ 1",
                       "// c\n1",
                       "\"\x01\"",
                       "\"\xFF\"",
                       "\"\xC0\x80\"",
                       "\"\\ud800\"",
                       "\"\\udc00x\"",
                       "\"\\x41\"",
                       "{\"a\":1,\"a\":2}",
                       "1e400",
                       "[1 2]"};
  for (const char* text : bad) {
    const auto v = parse(text);
    ASSERT_FALSE(v.ok()) << text;
    EXPECT_EQ(v.error().code(), ErrorCode::kInvalidArgument) << text;
  }
}

TEST(Json, ErrorsNameThePosition) {
  const auto v = parse("{\"a\": 1,\n  \"b\": tru }");
  EXPECT_NE(v.error().client_message().find("line 2, column"), std::string::npos)
      << v.error().client_message();
  EXPECT_NE(parse("{\"k\":1,\"k\":2}").error().detail().find('k'), std::string::npos);
}

TEST(Json, LimitsHoldAtTheLimitAndRefuseBeyond) {
  const auto nested = [](std::size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_TRUE(parse(nested(32)).ok());
  EXPECT_EQ(parse(nested(33)).error().code(), ErrorCode::kExhausted);
  ParseLimits limits;
  limits.values_max = 4;
  EXPECT_TRUE(parse("[1,2,3]", limits).ok());
  EXPECT_EQ(parse("[1,2,3,4]", limits).error().code(), ErrorCode::kExhausted);
  limits.bytes_max = 7;
  EXPECT_TRUE(parse("[1,2,3]", limits).ok());
  EXPECT_EQ(parse("[1,2,3] ", limits).error().code(), ErrorCode::kExhausted);
}

TEST(Json, DeepNestingNeedsNoStack) {
  ParseLimits limits;
  limits.depth_max = 1 << 20;
  EXPECT_FALSE(parse(std::string(200000, '['), limits).ok());
}

TEST(Json, NumbersAreShortestAndPlain) {
  const std::pair<double, const char*> cases[] = {
      {0.7, "0.7"}, {1e15, "1000000000000000"}, {1e21, "1e+21"}, {1e-7, "1e-07"}, {-0.5, "-0.5"},
      {3.0, "3"},   {0.00001, "0.00001"}};
  for (const auto& [value, text] : cases) EXPECT_EQ(write(Value(value)), text);
  EXPECT_EQ(write(Value(std::nan(""))), "null");
  EXPECT_EQ(write(Value(std::numeric_limits<std::uint64_t>::max())), "18446744073709551616");
}

// Oracle: the C library's own conversion.
TEST(Json, DoublesAgreeWithStrtod) {
  std::mt19937_64 rng(7);
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t bits = rng();
    double d;
    std::memcpy(&d, &bits, sizeof d);
    if (!std::isfinite(d)) continue;
    char text[64];
    std::snprintf(text, sizeof text, "%.*g", 1 + static_cast<int>(rng() % 25), d);
    const double want = std::strtod(text, nullptr);
    if (!std::isfinite(want)) continue;
    const Value v = *parse(text);
    ASSERT_EQ(v.as_double(), want) << text;
    ASSERT_EQ(parse(write(v))->as_double(), want) << text;
  }
}

TEST(Json, IntegersFitOrBecomeDoubles) {
  EXPECT_EQ(parse("9223372036854775807")->as_int(), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(parse("-9223372036854775808")->as_int(), std::numeric_limits<std::int64_t>::min());
  EXPECT_FALSE(parse("9223372036854775808")->is_int());
  EXPECT_EQ(parse("1e-400")->as_double(), 0.0);
}

// Oracle: the C library, for numbers that only their point or their exponent brings in or out of
// range.
TEST(Json, LongNumbersAreRefusedAboveTheRangeAndZeroBelow) {
  const std::string zeros(400, '0');
  const std::string cases[] = {"1" + zeros,
                               "-1" + zeros + ".5",
                               "1" + zeros + "e-1",
                               "1" + zeros + ".0E-90",
                               "1" + zeros + "e-390",
                               "1" + zeros + ".5e-1000",
                               "0." + zeros + "1",
                               "-0." + zeros + "1e+5",
                               "0." + zeros + "1e401",
                               "0." + zeros + "1e800",
                               "0." + zeros + "e400",
                               "0e400",
                               "1e-400",
                               "1e400"};
  for (const std::string& text : cases) {
    const double want = std::strtod(text.c_str(), nullptr);
    const auto got = parse(text);
    ASSERT_EQ(got.ok(), std::isfinite(want)) << text;
    if (!got.ok()) continue;
    EXPECT_EQ(got->as_double(), want) << text;
  }
}

TEST(Json, TruncationAtEveryByteIsAnError) {
  const std::string text = R"({"a":[1,2.5,"x\u00e9y",{"b":null}],"c":true})";
  for (std::size_t n = 0; n < text.size(); ++n) EXPECT_FALSE(parse(text.substr(0, n)).ok()) << n;
  EXPECT_TRUE(parse(text).ok());
}

TEST(Json, LargeObjectsAreIndexedAndOrdered) {
  Object o;
  for (int i = 0; i < 1000; ++i) o.set("k" + std::to_string(i), i);
  o.set("k5", "five");
  o.erase("k0");
  EXPECT_EQ(o.size(), 999u);
  EXPECT_EQ(o.find("k999")->as_int(), 999);
  EXPECT_EQ(o.find("k5")->as_string(), "five");
  EXPECT_EQ(o.find("k0"), nullptr);
  EXPECT_EQ(o.begin()->key, "k1");
  const Object copy = o;
  EXPECT_TRUE(Value(copy) == Value(o));
}

TEST(Json, WriterEscapesAndSanitizes) {
  EXPECT_EQ(write(Value("a\"\\\b\f\n\r\t\x01\x7f")), "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u007f\"");
  EXPECT_EQ(write(Value("\xFF")), "\"\xEF\xBF\xBD\"");
  EXPECT_EQ(write(*parse(R"({"a":[1,{}]})"), {.indent = 2}),
            "{\n  \"a\": [\n    1,\n    {}\n  ]\n}");
}

TEST(Stream, HandsOverInOrderAndKeepsTheRest) {
  std::vector<std::string> taken;
  const auto take = [&](std::string_view key, Value v) {
    taken.push_back(std::string(key) + "=" + write(v));
    return ok_status();
  };
  const Stream streams[] = {{{"model", "vocab"}, take}, {{"model", "merges"}, take}};
  const auto v = parse(
      R"({"vocab":{"x":1},"model":{"vocab":{"a":0,"b":1,"a":2},"merges":["a b",["c","d"]],"t":[1]}})",
      {.values_max = 12}, streams);
  ASSERT_TRUE(v.ok()) << v.error().to_string();
  EXPECT_EQ(write(*v), R"({"vocab":{"x":1},"model":{"vocab":{},"merges":[],"t":[1]}})");
  EXPECT_EQ(taken, (std::vector<std::string>{"a=0", "b=1", "a=2", "=\"a b\"", R"(=["c","d"])"}));
}

TEST(Stream, CountsNothingOfWhatIsTakenButEachElement) {
  std::size_t n = 0;
  const Stream streams[] = {{{"a"}, [&](std::string_view, Value) {
                               ++n;
                               return ok_status();
                             }}};
  std::string text = R"({"a":[0)";
  for (int i = 1; i < 1000; ++i) text += ",[" + std::to_string(i) + "]";
  ASSERT_TRUE(parse(text + "]}", {.values_max = 4}, streams).ok());
  EXPECT_EQ(n, 1000u);
  EXPECT_EQ(parse(R"({"a":[[1,2,3]]})", {.values_max = 4}, streams).error().code(),
            ErrorCode::kExhausted);
}

TEST(Stream, EndsWithTheTakersError) {
  const Stream streams[] = {{{"a"}, [](std::string_view, Value v) {
                               return v == Value(3) ? Status(corrupt("three")) : ok_status();
                             }}};
  EXPECT_EQ(parse(R"({"a":[1,2,3,4]})", {}, streams).error().client_message(), "three");
  EXPECT_TRUE(parse(R"({"a":3,"b":{"a":[3]}})", {}, streams).ok());
}

}  // namespace
}  // namespace holdfast::json
