#include "holdfast/observe/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "holdfast/base/check.h"
#include "holdfast/base/utf8.h"
#include "holdfast/platform/process.h"

namespace holdfast::observe {
namespace {

bool is_name(std::string_view name, bool colon_allowed) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::ranges::all_of(name, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (c == ':' && colon_allowed);
  });
}

void append_value(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    char text[64];
    out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
  }
}

void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

using Labels = std::vector<std::string>;

// The bound of a bucket as a label value: OpenMetrics wants "1.0" for 1.
std::string bound_text(double bound, bool openmetrics) {
  std::string out;
  append_value(out, bound);
  if (openmetrics && out.find_first_of(".eI") == std::string::npos) out += ".0";
  return out;
}

void append_exemplar(std::string& out, const Exemplar& exemplar) {
  out.append(" # {trace_id=\"").append(exemplar.trace_id.data(), exemplar.trace_id.size());
  out += "\"} ";
  append_value(out, exemplar.value);
  out += ' ';
  append_value(out, exemplar.unix_seconds);
}

struct SeriesName {
  std::string_view name;
  const Labels& label_names;
  const Labels& label_values;
};

// Without the newline, so that an exemplar can follow.
void append_sample(std::string& out, const SeriesName& series, std::string_view suffix,
                   std::string_view le, double value) {
  out.append(series.name).append(suffix);
  char separator = '{';
  for (std::size_t i = 0; i < series.label_names.size(); ++i) {
    out += separator;
    out.append(series.label_names[i]).append("=\"");
    append_escaped(out, series.label_values[i], true);
    out += '"';
    separator = ',';
  }
  if (!le.empty()) {
    out += separator;
    out.append("le=\"").append(le) += '"';
    separator = ',';
  }
  if (separator == ',') out += '}';
  out += ' ';
  append_value(out, value);
}

void append_histogram(std::string& out, const SeriesName& series, const Histogram& h,
                      bool openmetrics) {
  const std::size_t bounds = h.upper_bounds().size();
  double cumulative = 0;
  for (std::size_t i = 0; i <= bounds; ++i) {
    cumulative += static_cast<double>(h.bucket_count(i));
    const std::string le = i < bounds ? bound_text(h.upper_bounds()[i], openmetrics) : "+Inf";
    append_sample(out, series, "_bucket", le, cumulative);
    if (const auto exemplar = h.exemplar(i); openmetrics && exemplar) {
      append_exemplar(out, *exemplar);
    }
    out += '\n';
  }
  append_sample(out, series, "_sum", {}, h.sum());
  out += '\n';
  append_sample(out, series, "_count", {}, cumulative);
  out += '\n';
}

// Bounds of buckets are numbers, whose text is ours.
void append_scraped(std::string& out, std::string_view family, const ScrapedSample& sample,
                    bool openmetrics) {
  Labels names, values;
  std::string le;
  for (const auto& [name, value] : sample.labels) {
    double bound = 0;
    const bool is_bound =
        name == "le" && sample.suffix == "_bucket" &&
        std::from_chars(value.data(), value.data() + value.size(), bound).ec == std::errc();
    if (is_bound) {
      le = bound_text(bound, openmetrics);
    } else if (name == "le") {
      le = value == "+Inf" ? value : std::string();
    } else {
      names.push_back(name);
      values.push_back(value);
    }
  }
  append_sample(out, {family, names, values}, sample.suffix, le, sample.value);
  out += '\n';
}

// In OpenMetrics _total belongs to the samples of a counter, not to its name.
std::string_view family_name(std::string_view name, std::string_view kind, bool openmetrics) {
  constexpr std::string_view kTotal = "_total";
  if (openmetrics && kind == "counter" && name.ends_with(kTotal)) name.remove_suffix(kTotal.size());
  return name;
}

void append_head(std::string& out, std::string_view name, std::string_view kind,
                 std::string_view help, bool openmetrics) {
  const std::string_view family = family_name(name, kind, openmetrics);
  out.append("# HELP ").append(family) += ' ';
  append_escaped(out, help, openmetrics);
  out.append("\n# TYPE ").append(family) += ' ';
  out.append(openmetrics && kind == "untyped" ? "unknown" : kind) += '\n';
}

// OpenMetrics has no counter without _total.
bool can_show(const ScrapedFamily& family, bool openmetrics) {
  return !openmetrics || family.kind != "counter" || family.name.ends_with("_total");
}

std::vector<std::string> checked_labels(const LabelNames& labels) {
  for (const std::string& name : labels.names) {
    HF_CHECK(is_name(name, false) && !name.starts_with("__") && name != "le");
  }
  return labels.names;
}

std::string_view kind_name(char kind) {
  return kind == 'c' ? "counter" : kind == 'g' ? "gauge" : "histogram";
}

}  // namespace

void Counter::add(double amount) {
  HF_CHECK(amount >= 0);
  value_.fetch_add(amount, std::memory_order_relaxed);
}

Histogram::Histogram(std::span<const double> upper_bounds)
    : upper_bounds_(upper_bounds.begin(), upper_bounds.end()),
      counts_(std::make_unique<std::atomic<std::uint64_t>[]>(upper_bounds.size() + 1)) {
  HF_CHECK(std::ranges::is_sorted(upper_bounds_, std::ranges::less_equal()) ||
           upper_bounds_.size() < 2);
}

std::size_t Histogram::bucket_of(double value) const {
  const auto it = std::ranges::lower_bound(upper_bounds_, value);
  return static_cast<std::size_t>(it - upper_bounds_.begin());
}

void Histogram::observe(double value, std::uint64_t times) {
  counts_[bucket_of(value)].fetch_add(times, std::memory_order_relaxed);
  sum_.fetch_add(value * static_cast<double>(times), std::memory_order_relaxed);
}

void Histogram::observe(const Exemplar& exemplar) {
  observe(exemplar.value);
  const std::lock_guard lock(exemplars_mutex_);
  exemplars_[bucket_of(exemplar.value)] = exemplar;
}

std::optional<Exemplar> Histogram::exemplar(std::size_t index) const {
  const std::lock_guard lock(exemplars_mutex_);
  const auto at = exemplars_.find(index);
  if (at == exemplars_.end()) return std::nullopt;
  return at->second;
}

LabelNames LabelNames::words(std::string_view text) {
  LabelNames out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    out.names.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::uint64_t Histogram::count() const {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i <= upper_bounds_.size(); ++i) total += bucket_count(i);
  return total;
}

template <typename Metric>
Metric& Family<Metric>::with(std::initializer_list<std::string_view> label_values) {
  HF_CHECK(label_values.size() == label_names_.size());
  std::vector<std::string> key;
  for (const std::string_view value : label_values) key.push_back(sanitize_utf8(value));
  const std::lock_guard lock(mutex_);
  auto it = series_.find(key);
  if (it == series_.end()) {
    if (series_.size() >= series_max_) key.assign(key.size(), "_other");
    it = series_.try_emplace(std::move(key)).first;
    if (!it->second.metric) it->second.metric = make_();
  }
  it->second.hidden = false;
  return *it->second.metric;
}

template <typename Metric>
void Family<Metric>::hide(std::initializer_list<std::string_view> label_values) {
  const std::vector<std::string> key(label_values.begin(), label_values.end());
  const std::lock_guard lock(mutex_);
  if (const auto it = series_.find(key); it != series_.end()) it->second.hidden = true;
}

template <typename Metric>
void Family<Metric>::for_each(
    const std::function<void(const std::vector<std::string>&, const Metric&)>& visit) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [labels, series] : series_) {
    if (!series.hidden) visit(labels, *series.metric);
  }
}

template class Family<Counter>;
template class Family<Gauge>;
template class Family<Histogram>;

struct Registry::Entry {
  char kind = 0;
  std::string help;
  std::unique_ptr<Family<Counter>> counters;
  std::unique_ptr<Family<Gauge>> gauges;
  std::unique_ptr<Family<Histogram>> histograms;
  std::vector<double> upper_bounds;
  std::string_view alias_of;        // the key of
  const Entry* original = nullptr;  // the entry that this is another name of
};

Registry::Registry(std::size_t series_per_metric_max) : series_max_(series_per_metric_max) {}
Registry::~Registry() = default;

// Called with the lock held.
Registry::Entry& Registry::entry(std::string_view name, std::string_view help, char kind) {
  HF_CHECK(is_name(name, true));
  auto it = entries_.find(name);
  if (it == entries_.end()) {
    it = entries_.emplace(std::string(name), std::make_unique<Entry>()).first;
    it->second->kind = kind;
    it->second->help = help;
  }
  HF_CHECK(it->second->kind == kind && it->second->original == nullptr);
  return *it->second;
}

Family<Counter>& Registry::counter(std::string_view name, std::string_view help,
                                   const LabelNames& label_names) {
  const std::lock_guard lock(mutex_);
  Entry& e = entry(name, help, 'c');
  if (!e.counters) {
    e.counters = std::make_unique<Family<Counter>>(checked_labels(label_names), series_max_,
                                                   [] { return std::make_unique<Counter>(); });
  }
  return *e.counters;
}

Family<Gauge>& Registry::gauge(std::string_view name, std::string_view help,
                               const LabelNames& label_names) {
  const std::lock_guard lock(mutex_);
  Entry& e = entry(name, help, 'g');
  if (!e.gauges) {
    e.gauges = std::make_unique<Family<Gauge>>(checked_labels(label_names), series_max_,
                                               [] { return std::make_unique<Gauge>(); });
  }
  return *e.gauges;
}

Family<Histogram>& Registry::histogram(std::string_view name, std::string_view help,
                                       std::span<const double> upper_bounds,
                                       const LabelNames& label_names) {
  const std::lock_guard lock(mutex_);
  Entry& e = entry(name, help, 'h');
  if (!e.histograms) {
    e.histograms = std::make_unique<Family<Histogram>>(
        checked_labels(label_names), series_max_,
        [bounds = std::vector<double>(upper_bounds.begin(), upper_bounds.end())] {
          return std::make_unique<Histogram>(bounds);
        });
    e.upper_bounds.assign(upper_bounds.begin(), upper_bounds.end());
  }
  return *e.histograms;
}

void Registry::on_collect(std::function<void()> refresh) {
  const std::lock_guard lock(mutex_);
  refreshers_.push_back(std::move(refresh));
}

void Registry::alias(std::string_view second_name, std::string_view name) {
  const std::lock_guard lock(mutex_);
  HF_CHECK(is_name(second_name, true));
  const auto original = entries_.find(name);
  HF_CHECK(original != entries_.end() && original->second->original == nullptr);
  auto e = std::make_unique<Entry>();
  e->kind = original->second->kind;
  e->help = original->second->help;
  e->original = original->second.get();
  e->alias_of = original->first;
  const auto [at, added] = entries_.emplace(std::string(second_name), std::move(e));
  HF_CHECK(added || at->second->alias_of == name);
}

void Registry::show_scraped(std::vector<ScrapedFamily> families) {
  std::map<std::string, ScrapedFamily, std::less<>> shown;
  for (ScrapedFamily& family : families) {
    const auto at = shown.find(family.name);
    if (at == shown.end()) {
      std::string name = family.name;
      shown.emplace(std::move(name), std::move(family));
    } else if (at->second.kind == family.kind) {
      std::ranges::move(family.samples, std::back_inserter(at->second.samples));
    }
  }
  const std::lock_guard lock(mutex_);
  scraped_ = std::move(shown);
}

std::string Registry::expose_text() const { return expose(false); }
std::string Registry::expose_openmetrics() const { return expose(true) + "# EOF\n"; }

std::string Registry::expose(bool openmetrics) const {
  std::vector<std::function<void()>> refreshers;
  {
    const std::lock_guard lock(mutex_);
    refreshers = refreshers_;
  }
  // Outside the lock: a refresher may look up families.
  for (const auto& refresh : refreshers) refresh();
  const std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& [name, e] : entries_) {
    const Entry& source = e->original == nullptr ? *e : *e->original;
    append_head(out, name, kind_name(e->kind), e->help, openmetrics);
    const auto scalar = [&, &name = name](const auto& family) {
      family.for_each([&](const Labels& values, const auto& metric) {
        append_sample(out, {name, family.label_names(), values}, {}, {}, metric.value());
        out += '\n';
      });
    };
    if (source.counters) scalar(*source.counters);
    if (source.gauges) scalar(*source.gauges);
    if (source.histograms) {
      source.histograms->for_each([&, &name = name](const Labels& values, const Histogram& h) {
        append_histogram(out, {name, source.histograms->label_names(), values}, h, openmetrics);
      });
    }
    const auto more = scraped_.find(name);
    if (more == scraped_.end() || more->second.kind != kind_name(e->kind)) continue;
    for (const ScrapedSample& sample : more->second.samples)
      append_scraped(out, name, sample, openmetrics);
  }
  for (const auto& [name, family] : scraped_) {
    if (entries_.contains(name) || !can_show(family, openmetrics)) continue;
    append_head(out, name, family.kind, family.help, openmetrics);
    for (const ScrapedSample& sample : family.samples)
      append_scraped(out, name, sample, openmetrics);
  }
  return out;
}

std::vector<MetricDescription> Registry::describe() const {
  const std::lock_guard lock(mutex_);
  std::vector<MetricDescription> out;
  for (const auto& [name, e] : entries_) {
    const Entry& source = e->original == nullptr ? *e : *e->original;
    MetricDescription d{name, kind_name(e->kind),  e->help,
                        {},   source.upper_bounds, std::string(e->alias_of)};
    if (source.counters) d.label_names = source.counters->label_names();
    if (source.gauges) d.label_names = source.gauges->label_names();
    if (source.histograms) d.label_names = source.histograms->label_names();
    out.push_back(std::move(d));
  }
  return out;
}

void register_process_metrics(Registry& registry) {
  Counter& cpu =
      registry.counter("process_cpu_seconds_total", "User and system processor time in seconds.")
          .with();
  Gauge& resident =
      registry.gauge("process_resident_memory_bytes", "Resident memory size in bytes.").with();
  Gauge& virtual_bytes =
      registry.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.").with();
  Gauge& open_fds = registry.gauge("process_open_fds", "Number of open file descriptors.").with();
  Gauge& max_fds =
      registry.gauge("process_max_fds", "Maximum number of open file descriptors.").with();
  Gauge& threads = registry.gauge("process_threads", "Number of threads.").with();
  Gauge& start =
      registry.gauge("process_start_time_seconds", "Start time since the Unix epoch in seconds.")
          .with();
  registry.on_collect([&, mutex = std::make_shared<std::mutex>()] {
    const platform::ProcessUsage usage = platform::read_own_usage();
    const std::lock_guard lock(*mutex);
    cpu.add(std::max(0.0, usage.cpu_seconds - cpu.value()));
    resident.set(static_cast<double>(usage.resident_bytes));
    virtual_bytes.set(static_cast<double>(usage.virtual_bytes));
    open_fds.set(static_cast<double>(usage.open_fds));
    max_fds.set(static_cast<double>(usage.max_fds));
    threads.set(static_cast<double>(usage.threads));
    start.set(usage.start_unix_seconds);
  });
}

}  // namespace holdfast::observe
