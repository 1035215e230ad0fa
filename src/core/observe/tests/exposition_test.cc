// Oracle: the text format as Prometheus documents it ("Exposition formats"), whose example is the
// first case.
#include "holdfast/observe/exposition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "holdfast/observe/metrics.h"

namespace holdfast::observe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

constexpr std::string_view kExample =
    R"(# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045

# A histogram, which has a pretty complex representation in the text format:
# HELP http_request_duration_seconds A histogram of the request duration.
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
http_request_duration_seconds_count 144320

# TYPE rpc_duration_seconds summary
rpc_duration_seconds{quantile="0.01"} 3102
rpc_duration_seconds_sum 1.7560473e+07
rpc_duration_seconds_count 2693
)";

TEST(Exposition, ExampleOfTheFormat) {
  const auto families = parse_exposition(kExample);
  ASSERT_TRUE(families.ok()) << families.error().to_string();
  ASSERT_EQ(families->size(), 6u);
  const ScrapedFamily& requests = (*families)[0];
  EXPECT_EQ(requests.name, "http_requests_total");
  EXPECT_EQ(requests.kind, "counter");
  EXPECT_EQ(requests.help, "The total number of HTTP requests.");
  ASSERT_EQ(requests.samples.size(), 2u);
  EXPECT_THAT(requests.samples[1].labels, ElementsAre(Pair("method", "post"), Pair("code", "400")));
  EXPECT_EQ(requests.samples[1].value, 3);
  EXPECT_EQ((*families)[1].samples[0].labels[0].second, "C:\\DIR\\FILE.TXT");
  EXPECT_EQ((*families)[1].samples[0].labels[1].second, "Cannot find file:\n\"FILE.TXT\"");
  EXPECT_EQ((*families)[2].kind, "untyped");
  EXPECT_EQ((*families)[2].samples[0].value, 12.47);
  EXPECT_TRUE(std::isinf((*families)[3].samples[0].value));
  const ScrapedFamily& durations = (*families)[4];
  EXPECT_EQ(durations.kind, "histogram");
  ASSERT_EQ(durations.samples.size(), 4u);
  EXPECT_EQ(durations.samples[0].suffix, "_bucket");
  EXPECT_EQ(durations.samples[2].suffix, "_sum");
  EXPECT_EQ((*families)[5].samples[0].labels[0].second, "0.01");
}

TEST(Exposition, OtherTextIsRefused) {
  for (const std::string_view text : {"{",
                                      "a",
                                      "a b",
                                      "a 1 2 3",
                                      "a{ 1",
                                      "a{b} 1",
                                      "a{b=c} 1",
                                      "a{b=\"c} 1",
                                      "a{b=\"c\"d=\"e\"} 1",
                                      "a{b=\"\\x\"} 1",
                                      "a{b=\"1\",b=\"2\"} 1",
                                      "a{x:y=\"1\"} 1",
                                      "0a 1",
                                      "a 1\nb 1\na 1",
                                      "# TYPE a b",
                                      "# TYPE",
                                      "# TYPE 1 counter",
                                      "a 1\n# TYPE a gauge",
                                      "a 1e999",
                                      "# TYPE a histogram\na 1",
                                      "<html>",
                                      "a{b=\"\xff"}) {
    const auto families = parse_exposition(text);
    ASSERT_FALSE(families.ok()) << text;
    EXPECT_EQ(families.error().code(), ErrorCode::kCorrupt) << text;
  }
}

TEST(Exposition, AtEachLimitAndAboveIt) {
  ExpositionLimits limits;
  limits.bytes_max = 200;
  limits.samples_max = 3;
  limits.labels_max = 2;
  limits.name_bytes_max = 10;
  limits.value_bytes_max = 5;
  const auto code = [&](const std::string& text) {
    const auto families = parse_exposition(text, limits);
    return families.ok() ? std::string("ok")
                         : std::string(error_code_name(families.error().code()));
  };
  EXPECT_EQ(code("a 1\n" + std::string(196, ' ')), "ok");
  EXPECT_EQ(code("a 1\n" + std::string(197, ' ')), "exhausted");
  EXPECT_EQ(code("a 1\nb 1\nc 1"), "ok");
  EXPECT_EQ(code("a 1\na 1\na 1\na 1"), "exhausted");
  EXPECT_EQ(code("a{b=\"12345\",c=\"\"} 1"), "ok");
  EXPECT_EQ(code("a{b=\"\",c=\"\",d=\"\"} 1"), "exhausted");
  EXPECT_EQ(code("a{b=\"123456\"} 1"), "exhausted");
  EXPECT_EQ(code("# HELP a 123456"), "exhausted");
  EXPECT_EQ(code("abcdefghij 1"), "ok");
  EXPECT_EQ(code("abcdefghijk 1"), "corrupt");
  EXPECT_EQ(code("# HELP a\n# HELP b\n# HELP c\n# HELP d"), "exhausted");
}

TEST(Exposition, JoinsOurFamiliesOrStandsBesideThem) {
  Registry registry;
  registry.counter("vllm:prompt_tokens_total", "Ours.", {"model_name"}).with({"mine"}).add(5);
  registry.gauge("vllm:num_requests_running", "Ours.").with().set(1);
  auto scraped = parse_exposition(R"(# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{model="theirs"} 7
# TYPE vllm:num_requests_running counter
vllm:num_requests_running 9
# HELP vllm:steps steps
# TYPE vllm:steps histogram
vllm:steps_bucket{le="1"} 2
vllm:steps_bucket{le="+Inf"} 3
vllm:steps_sum 4
vllm:steps_count 3
# TYPE vllm:old counter
vllm:old 1
)");
  ASSERT_TRUE(scraped.ok());
  registry.show_scraped(*scraped);
  const std::string text = registry.expose_text();
  EXPECT_THAT(text, HasSubstr("# TYPE vllm:prompt_tokens_total counter\n"
                              "vllm:prompt_tokens_total{model_name=\"mine\"} 5\n"
                              "vllm:prompt_tokens_total{model=\"theirs\"} 7\n"));
  EXPECT_THAT(text, Not(HasSubstr("vllm:num_requests_running 9")));
  EXPECT_THAT(text, HasSubstr("# HELP vllm:steps steps\n# TYPE vllm:steps histogram\n"
                              "vllm:steps_bucket{le=\"1\"} 2\nvllm:steps_bucket{le=\"+Inf\"} 3\n"
                              "vllm:steps_sum 4\nvllm:steps_count 3\n"));
  EXPECT_THAT(text, HasSubstr("vllm:old 1\n"));
  const std::string open = registry.expose_openmetrics();
  EXPECT_THAT(open, HasSubstr("# TYPE vllm:prompt_tokens counter\n"));
  EXPECT_THAT(open, HasSubstr("vllm:steps_bucket{le=\"1.0\"} 2\n"));
  EXPECT_THAT(open, Not(HasSubstr("vllm:old")));
  ASSERT_TRUE(parse_exposition(text).ok());
  registry.show_scraped({});
  EXPECT_THAT(registry.expose_text(), Not(HasSubstr("theirs")));
}

TEST(Exposition, TwoOfOneNameAreOneFamily) {
  Registry registry;
  registry.show_scraped({{"vllm:a", "gauge", "h", {{"", {{"backend", "x"}}, 1}}},
                         {"vllm:a", "gauge", "h", {{"", {{"backend", "y"}}, 2}}},
                         {"vllm:a", "counter", "h", {{"", {{"backend", "z"}}, 3}}}});
  EXPECT_EQ(registry.expose_text(),
            "# HELP vllm:a h\n# TYPE vllm:a gauge\n"
            "vllm:a{backend=\"x\"} 1\nvllm:a{backend=\"y\"} 2\n");
}

}  // namespace
}  // namespace holdfast::observe
