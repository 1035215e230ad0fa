// Metrics: counters, gauges and histograms with labels, shown in the Prometheus text format 0.0.4
// or as OpenMetrics 1.0.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/observe/exposition.h"

namespace holdfast::observe {

// Only goes up. Thread-safe, lock-free.
class Counter {
 public:
  void add(double amount = 1);  // >= 0
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_ = 0;
};

// Thread-safe, lock-free.
class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double amount) { value_.fetch_add(amount, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_ = 0;
};

// A value of a bucket and the trace that it belongs to.
struct Exemplar {
  std::array<char, 32> trace_id{};  // lower-case hex
  double value = 0;
  double unix_seconds = 0;
};

// Counts per bucket of an upper bound, and the sum. Thread-safe; lock-free without exemplars.
class Histogram {
 public:
  explicit Histogram(std::span<const double> upper_bounds);  // ascending, without +Inf
  void observe(double value, std::uint64_t times = 1);
  // The same, and the bucket shows this exemplar from now on. Its `value` is what is observed.
  void observe(const Exemplar& exemplar);
  std::uint64_t count() const;
  double sum() const { return sum_.load(std::memory_order_relaxed); }
  const std::vector<double>& upper_bounds() const { return upper_bounds_; }
  std::uint64_t bucket_count(std::size_t index) const {  // not cumulative; the last is +Inf
    return counts_[index].load(std::memory_order_relaxed);
  }
  std::optional<Exemplar> exemplar(std::size_t index) const;

 private:
  std::size_t bucket_of(double value) const;

  std::vector<double> upper_bounds_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> counts_;
  std::atomic<double> sum_ = 0;
  mutable std::mutex exemplars_mutex_;
  std::map<std::size_t, Exemplar> exemplars_;  // by bucket
};

// Combinations of label values of one metric, unless the registry says otherwise; above it, new
// ones share a series whose values are all "_other".
inline constexpr std::size_t kSeriesPerMetricMax = 1000;

// Names of the labels of a metric.
struct LabelNames {
  LabelNames() = default;
  LabelNames(std::initializer_list<std::string_view> list) : names(list.begin(), list.end()) {}
  // Separated by single spaces, as in a table.
  static LabelNames words(std::string_view text);

  std::vector<std::string> names;
};

// One metric name with its series. A reference returned by with() lives as long as the registry:
// look it up once, keep it. Thread-safe.
template <typename Metric>
class Family {
 public:
  Family(std::vector<std::string> label_names, std::size_t series_max,
         std::function<std::unique_ptr<Metric>()> make)
      : label_names_(std::move(label_names)), series_max_(series_max), make_(std::move(make)) {}
  // As many values as label names (HF_CHECK).
  Metric& with(std::initializer_list<std::string_view> label_values = {});
  // Takes a series out of the exposition's view, for labels of things that are gone. References to
  // it stay valid.
  void hide(std::initializer_list<std::string_view> label_values);
  const std::vector<std::string>& label_names() const { return label_names_; }
  // Calls back for each shown series in the order of its label values.
  void for_each(
      const std::function<void(const std::vector<std::string>&, const Metric&)>& visit) const;

 private:
  struct Series {
    std::unique_ptr<Metric> metric;
    bool hidden = false;
  };
  const std::vector<std::string> label_names_;
  const std::size_t series_max_;
  const std::function<std::unique_ptr<Metric>()> make_;
  mutable std::mutex mutex_;
  std::map<std::vector<std::string>, Series> series_;
};

// What a metric is, for documents.
struct MetricDescription {
  std::string name;
  std::string_view kind;  // "counter", "gauge", "histogram"
  std::string help;
  std::vector<std::string> label_names;
  std::vector<double> upper_bounds;  // of a histogram
  std::string alias_of;              // not empty: another name of that metric
};

// All metrics of a process; made by the composition root. Thread-safe. Names and labels are checked
// (HF_CHECK): they are our own constants. Asking again for a name gives the same family.
class Registry {
 public:
  explicit Registry(std::size_t series_per_metric_max = kSeriesPerMetricMax);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  Family<Counter>& counter(std::string_view name, std::string_view help,
                           const LabelNames& label_names = {});
  Family<Gauge>& gauge(std::string_view name, std::string_view help,
                       const LabelNames& label_names = {});
  Family<Histogram>& histogram(std::string_view name, std::string_view help,
                               std::span<const double> upper_bounds,
                               const LabelNames& label_names = {});
  // Shows the metric `name`, which exists (HF_CHECK), under a second name too.
  void alias(std::string_view second_name, std::string_view name);
  // Runs before each exposition, to refresh gauges that mirror state elsewhere.
  void on_collect(std::function<void()> refresh);
  // From now on the exposition shows these too, in place of those given before. One of a name that
  // is ours joins our family where its kind is the same and is left out where it is not; two of one
  // name are one family.
  void show_scraped(std::vector<ScrapedFamily> families);
  // Content type "text/plain; version=0.0.4; charset=utf-8".
  std::string expose_text() const;
  // "application/openmetrics-text; version=1.0.0; charset=utf-8"; the only form with exemplars.
  std::string expose_openmetrics() const;
  // In the order of names.
  std::vector<MetricDescription> describe() const;

 private:
  struct Entry;
  std::string expose(bool openmetrics) const;
  Entry& entry(std::string_view name, std::string_view help, char kind);
  const std::size_t series_max_;
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Entry>, std::less<>> entries_;
  std::vector<std::function<void()>> refreshers_;
  std::map<std::string, ScrapedFamily, std::less<>> scraped_;
};

// The standard process_* metrics of this process.
void register_process_metrics(Registry& registry);

// Bucket bounds of the published metrics.
std::span<const double> first_token_seconds_buckets();  // first token, queue, prefill
std::span<const double> inter_token_seconds_buckets();
std::span<const double> request_seconds_buckets();  // end to end, decode, inference
std::span<const double> iteration_tokens_buckets();
std::span<const double> http_seconds_buckets();
// 1 2 5 10 20 50 ... up to the context length.
std::vector<double> request_tokens_buckets(std::uint64_t context_tokens);

}  // namespace holdfast::observe
