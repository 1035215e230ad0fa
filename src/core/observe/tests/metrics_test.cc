// Oracle: the grammar of the Prometheus text format 0.0.4 as a regular expression per line, and
// sums by hand.
#include "holdfast/observe/metrics.h"

#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

namespace holdfast::observe {
namespace {

// Checks every line and what promtool checks beyond: HELP and TYPE once and before the samples of
// their metric, no series twice, buckets cumulative and ending in +Inf.
void expect_valid_exposition(const std::string& text) {
  const std::regex help(R"(# HELP [a-zA-Z_:][a-zA-Z0-9_:]* (?:[^\\]|\\\\|\\n)*)");
  const std::regex type(R"(# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram))");
  const std::regex sample(
      R"re(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\["\\n])*",?)*\})? (NaN|[+-]Inf|-?[0-9.]+(?:e[+-]?[0-9]+)?))re");
  std::set<std::string> types, series;
  std::string current;
  ASSERT_TRUE(text.empty() || text.ends_with('\n'));
  std::istringstream in(text);
  std::smatch m;
  for (std::string line; std::getline(in, line);) {
    if (std::regex_match(line, m, type)) {
      current = m[1];
      EXPECT_TRUE(types.insert(current).second) << line;
    } else if (line.starts_with("#")) {
      EXPECT_TRUE(std::regex_match(line, help)) << line;
    } else {
      ASSERT_TRUE(std::regex_match(line, m, sample)) << line;
      const std::string name = m[1];
      EXPECT_TRUE(name == current || name == current + "_bucket" || name == current + "_sum" ||
                  name == current + "_count")
          << line;
      EXPECT_TRUE(series.insert(name + m[2].str()).second) << line;
    }
  }
}

TEST(Metrics, ExpositionByHand) {
  Registry r;
  r.counter("vllm:prompt_tokens_total", "Prompt tokens.", {"model_name"})
      .with({"a\"b\\c\nd"})
      .add(3);
  r.gauge("holdfast_engine_up", "Up.").with().set(-0.5);
  const double bounds[] = {0.1, 1, 10};
  Histogram& h = r.histogram("t_seconds", "Time\nwith \\.", bounds, {"model_name"}).with({"m"});
  for (const double v : {0.05, 0.1, 0.5, 100.0}) h.observe(v);
  EXPECT_EQ(r.expose_text(),
            "# HELP holdfast_engine_up Up.\n"
            "# TYPE holdfast_engine_up gauge\n"
            "holdfast_engine_up -0.5\n"
            "# HELP t_seconds Time\\nwith \\\\.\n"
            "# TYPE t_seconds histogram\n"
            "t_seconds_bucket{model_name=\"m\",le=\"0.1\"} 2\n"
            "t_seconds_bucket{model_name=\"m\",le=\"1\"} 3\n"
            "t_seconds_bucket{model_name=\"m\",le=\"10\"} 3\n"
            "t_seconds_bucket{model_name=\"m\",le=\"+Inf\"} 4\n"
            "t_seconds_sum{model_name=\"m\"} 100.65\n"
            "t_seconds_count{model_name=\"m\"} 4\n"
            "# HELP vllm:prompt_tokens_total Prompt tokens.\n"
            "# TYPE vllm:prompt_tokens_total counter\n"
            "vllm:prompt_tokens_total{model_name=\"a\\\"b\\\\c\\nd\"} 3\n");
}

TEST(Metrics, ExpositionIsValid) {
  Registry r;
  register_process_metrics(r);
  r.gauge("odd", "").with().set(std::numeric_limits<double>::quiet_NaN());
  r.gauge("large", "x").with().set(1e300);
  r.gauge("small", "x").with().set(-1.5e-9);
  r.gauge("endless", "x", {"a", "b"}).with({"1", ""}).set(std::numeric_limits<double>::infinity());
  r.histogram("vllm:time_to_first_token_seconds", "x", first_token_seconds_buckets(),
              {"model_name"})
      .with({"\xff invalid"})
      .observe(0.3);
  const std::string text = r.expose_text();
  expect_valid_exposition(text);
  EXPECT_NE(text.find("process_resident_memory_bytes "), std::string::npos);
  EXPECT_NE(text.find("process_cpu_seconds_total "), std::string::npos);
}

TEST(Metrics, SeriesAreBoundedByOther) {
  Registry r;
  auto& family = r.counter("c_total", "x", {"model_name"});
  for (int i = 0; i < 1500; ++i) family.with({std::to_string(i)}).add();
  double other = 0;
  std::size_t series = 0;
  family.for_each([&](const std::vector<std::string>& labels, const Counter& c) {
    ++series;
    if (labels[0] == "_other") other = c.value();
  });
  EXPECT_EQ(series, kSeriesPerMetricMax + 1);
  EXPECT_EQ(other, 500);
  family.with({"7"}).add();
  EXPECT_EQ(family.with({"7"}).value(), 2);
}

TEST(Metrics, HiddenSeriesLeaveTheExposition) {
  Registry r;
  auto& family = r.gauge("g", "x", {"m"});
  Gauge& gone = family.with({"gone"});
  family.with({"here"}).set(1);
  family.hide({"gone"});
  gone.set(5);  // the reference stays valid
  EXPECT_EQ(r.expose_text().find("gone"), std::string::npos);
  family.with({"gone"});
  EXPECT_NE(r.expose_text().find("g{m=\"gone\"} 5"), std::string::npos);
}

TEST(Metrics, CountsOfManyThreadsAddUp) {
  Registry r;
  auto& counters = r.counter("c_total", "x", {"t"});
  const double bounds[] = {1, 2};
  Histogram& h = r.histogram("h", "x", bounds).with();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10'000; ++i) {
        counters.with({std::to_string(i % 3)}).add();
        h.observe(t);
      }
    });
  }
  std::string last;
  for (int i = 0; i < 20; ++i) last = r.expose_text();
  for (auto& t : threads) t.join();
  double total = 0;
  counters.for_each([&](const auto&, const Counter& c) { total += c.value(); });
  EXPECT_EQ(total, 40'000);
  EXPECT_EQ(h.count(), 40'000u);
  EXPECT_EQ(h.sum(), 60'000);
  EXPECT_EQ(h.bucket_count(0), 20'000u);  // 0 and 1
  EXPECT_EQ(h.bucket_count(2), 10'000u);  // 3
}

TEST(Metrics, CollectorsRunBeforeEachExposition) {
  Registry r;
  int calls = 0;
  r.on_collect([&] { r.gauge("g", "x").with().set(++calls); });
  EXPECT_NE(r.expose_text().find("g 1\n"), std::string::npos);
  EXPECT_NE(r.expose_text().find("g 2\n"), std::string::npos);
}

TEST(Metrics, TokenBucketsGoUpToTheContext) {
  EXPECT_EQ(request_tokens_buckets(100), (std::vector<double>{1, 2, 5, 10, 20, 50, 100}));
  EXPECT_EQ(request_tokens_buckets(1), (std::vector<double>{1}));
  EXPECT_EQ(request_tokens_buckets(0), std::vector<double>{});
  EXPECT_EQ(first_token_seconds_buckets().size(), 20u);
}

using MetricsDeathTest = testing::Test;
TEST(MetricsDeathTest, BadNamesAreOurOwnBugs) {
  Registry r;
  EXPECT_DEATH(r.counter("bad-name", "x"), "");
  EXPECT_DEATH(r.counter("ok", "x", {"__reserved"}), "");
  EXPECT_DEATH(r.counter("ok", "x", {"a"}).with({}), "");
  r.counter("taken", "x");
  EXPECT_DEATH(r.gauge("taken", "x"), "");
}

}  // namespace
}  // namespace holdfast::observe
