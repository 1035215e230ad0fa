// Oracle: the grammar of the Prometheus text format 0.0.4 checked line by line, and
// sums by hand.
#include "holdfast/observe/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <limits>
#include <set>
#include <sstream>
#include <thread>

namespace holdfast::observe {
namespace {

bool take_name(std::string_view& line, std::string& name, bool colon_allowed) {
  std::size_t n = 0;
  while (n < line.size() && (std::isalnum(static_cast<unsigned char>(line[n])) || line[n] == '_' ||
                             (line[n] == ':' && colon_allowed))) {
    ++n;
  }
  name = line.substr(0, n);
  line.remove_prefix(n);
  return n > 0 && !std::isdigit(static_cast<unsigned char>(name[0]));
}

bool take(std::string_view& line, std::string_view text) {
  if (!line.starts_with(text)) return false;
  line.remove_prefix(text.size());
  return true;
}

// Inside quotes: any character but quote, backslash and newline, or \\ \" \n.
bool take_quoted(std::string_view& line) {
  if (!take(line, "\"")) return false;
  while (!line.empty() && line[0] != '"') {
    if (line[0] == '\\') {
      line.remove_prefix(1);
      if (line.empty() || std::string_view("\\\"n").find(line[0]) == std::string_view::npos)
        return false;
    }
    line.remove_prefix(1);
  }
  return take(line, "\"");
}

bool is_sample(std::string_view line, std::string& name) {
  if (!take_name(line, name, true)) return false;
  if (take(line, "{")) {
    do {
      std::string label;
      if (!take_name(line, label, false) || !take(line, "=") || !take_quoted(line)) return false;
    } while (take(line, ","));
    if (!take(line, "}")) return false;
  }
  if (!take(line, " ")) return false;
  if (line == "NaN" || line == "+Inf" || line == "-Inf") return true;
  char* end = nullptr;
  const std::string number(line);
  std::strtod(number.c_str(), &end);
  return !number.empty() && *end == '\0' &&
         std::string_view("-0123456789").find(number[0]) != std::string_view::npos;
}

// Checks every line and what promtool checks beyond: HELP and TYPE once and before the samples of
// their metric, no series twice.
void expect_valid_exposition(const std::string& text) {
  std::set<std::string> types, series;
  std::string current;
  ASSERT_TRUE(text.empty() || text.ends_with('\n'));
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    std::string_view rest = line;
    std::string name;
    if (take(rest, "# TYPE ")) {
      ASSERT_TRUE(take_name(rest, current, true)) << line;
      EXPECT_TRUE(rest == " counter" || rest == " gauge" || rest == " histogram") << line;
      EXPECT_TRUE(types.insert(current).second) << line;
    } else if (take(rest, "# HELP ")) {
      EXPECT_TRUE(take_name(rest, name, true) && rest.starts_with(' ')) << line;
      EXPECT_FALSE(types.contains(name)) << line;
    } else {
      ASSERT_TRUE(is_sample(line, name)) << line;
      EXPECT_TRUE(name == current || name == current + "_bucket" || name == current + "_sum" ||
                  name == current + "_count")
          << line;
      EXPECT_TRUE(series.insert(line.substr(0, line.rfind(' '))).second) << line;
    }
  }
}

TEST(Metrics, TheCheckItselfCatchesMistakes) {
  std::string name;
  for (const char* good : {"a 1", "a:b{c=\"d\"} -1.5e-09", "a{c=\"\\\\\\n\\\"\",d=\"\"} +Inf"}) {
    EXPECT_TRUE(is_sample(good, name)) << good;
  }
  for (const char* bad : {"1a 1", "a", "a  1", "a{} 1", "a{c=d} 1", "a{c=\"\\x\"} 1", "a{c=\"d\"",
                          "a inf", "a{c:d=\"\"} 1"}) {
    EXPECT_FALSE(is_sample(bad, name)) << bad;
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

TEST(Metrics, OpenMetricsByHand) {
  Registry r;
  r.counter("c_total", "A \"count\".").with().add(2);
  const double bounds[] = {0.5, 1};
  Histogram& h = r.histogram("t_seconds", "Time.", bounds).with();
  Exemplar exemplar;
  std::fill(exemplar.trace_id.begin(), exemplar.trace_id.end(), 'a');
  exemplar.value = 0.75;
  exemplar.unix_seconds = 1700000000.5;
  h.observe(exemplar);
  h.observe(9);
  EXPECT_EQ(r.expose_openmetrics(),
            "# HELP c A \\\"count\\\".\n"
            "# TYPE c counter\n"
            "c_total 2\n"
            "# HELP t_seconds Time.\n"
            "# TYPE t_seconds histogram\n"
            "t_seconds_bucket{le=\"0.5\"} 0\n"
            "t_seconds_bucket{le=\"1.0\"} 1 # {trace_id=\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"} 0.75 "
            "1700000000.5\n"
            "t_seconds_bucket{le=\"+Inf\"} 2\n"
            "t_seconds_sum 9.75\n"
            "t_seconds_count 2\n"
            "# EOF\n");
  EXPECT_EQ(r.expose_text().find("trace_id"), std::string::npos);
}

TEST(Metrics, AnAliasIsTheSameValue) {
  Registry r;
  r.counter("one_total", "x", {"m"}).with({"a"}).add(2);
  r.alias("two_total", "one_total");
  r.alias("two_total", "one_total");
  r.counter("one_total", "x", {"m"}).with({"a"}).add(1);
  EXPECT_NE(r.expose_text().find("\none_total{m=\"a\"} 3\n"), std::string::npos);
  EXPECT_NE(r.expose_text().find("\ntwo_total{m=\"a\"} 3\n"), std::string::npos);
  const auto all = r.describe();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].alias_of, "one_total");
  EXPECT_EQ(all[1].label_names, std::vector<std::string>{"m"});
}

TEST(Metrics, ObservingManyAtOnce) {
  const double bounds[] = {1, 10};
  Histogram h(bounds);
  h.observe(2.5, 4);
  EXPECT_EQ(h.count(), 4u);
  EXPECT_EQ(h.sum(), 10);
  EXPECT_EQ(h.bucket_count(1), 4u);
}

TEST(Metrics, LabelsFromWords) {
  EXPECT_EQ(LabelNames::words("").names, std::vector<std::string>{});
  EXPECT_EQ(LabelNames::words("a").names, std::vector<std::string>{"a"});
  EXPECT_EQ(LabelNames::words("a b_c d").names, (std::vector<std::string>{"a", "b_c", "d"}));
}

TEST(Metrics, TheLimitOfSeriesCanBeSet) {
  Registry r(2);
  auto& family = r.gauge("g", "x", {"m"});
  for (const char* m : {"a", "b", "c", "d"}) family.with({m}).add(1);
  EXPECT_NE(r.expose_text().find("g{m=\"b\"} 1"), std::string::npos);
  EXPECT_NE(r.expose_text().find("g{m=\"_other\"} 2"), std::string::npos);
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
