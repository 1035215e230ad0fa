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

void append_sample(std::string& out, std::string_view name, std::string_view suffix,
                   const Labels& names, const Labels& values, std::string_view le, double value) {
  out.append(name).append(suffix);
  char separator = '{';
  for (std::size_t i = 0; i < names.size(); ++i) {
    out += separator;
    out.append(names[i]).append("=\"");
    append_escaped(out, values[i], true);
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
  out += '\n';
}

void append_histogram(std::string& out, std::string_view name, const Labels& names,
                      const Labels& values, const Histogram& h) {
  double cumulative = 0;
  for (std::size_t i = 0; i < h.upper_bounds().size(); ++i) {
    cumulative += static_cast<double>(h.bucket_count(i));
    std::string le;
    append_value(le, h.upper_bounds()[i]);
    append_sample(out, name, "_bucket", names, values, le, cumulative);
  }
  cumulative += static_cast<double>(h.bucket_count(h.upper_bounds().size()));
  append_sample(out, name, "_bucket", names, values, "+Inf", cumulative);
  append_sample(out, name, "_sum", names, values, {}, h.sum());
  append_sample(out, name, "_count", names, values, {}, cumulative);
}

std::vector<std::string> checked_labels(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    HF_CHECK(is_name(name, false) && !name.starts_with("__") && name != "le");
  }
  return {names.begin(), names.end()};
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

void Histogram::observe(double value) {
  const auto it = std::ranges::lower_bound(upper_bounds_, value);
  counts_[static_cast<std::size_t>(it - upper_bounds_.begin())].fetch_add(
      1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
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
    if (series_.size() >= kSeriesPerMetricMax) key.assign(key.size(), "_other");
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
};

Registry::Registry() = default;
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
  HF_CHECK(it->second->kind == kind);
  return *it->second;
}

Family<Counter>& Registry::counter(std::string_view name, std::string_view help,
                                   std::initializer_list<std::string_view> label_names) {
  const std::lock_guard lock(mutex_);
  Entry& e = entry(name, help, 'c');
  if (!e.counters) {
    e.counters = std::make_unique<Family<Counter>>(checked_labels(label_names),
                                                   [] { return std::make_unique<Counter>(); });
  }
  return *e.counters;
}

Family<Gauge>& Registry::gauge(std::string_view name, std::string_view help,
                               std::initializer_list<std::string_view> label_names) {
  const std::lock_guard lock(mutex_);
  Entry& e = entry(name, help, 'g');
  if (!e.gauges) {
    e.gauges = std::make_unique<Family<Gauge>>(checked_labels(label_names),
                                               [] { return std::make_unique<Gauge>(); });
  }
  return *e.gauges;
}

Family<Histogram>& Registry::histogram(std::string_view name, std::string_view help,
                                       std::span<const double> upper_bounds,
                                       std::initializer_list<std::string_view> label_names) {
  const std::lock_guard lock(mutex_);
  Entry& e = entry(name, help, 'h');
  if (!e.histograms) {
    e.histograms = std::make_unique<Family<Histogram>>(
        checked_labels(label_names),
        [bounds = std::vector<double>(upper_bounds.begin(), upper_bounds.end())] {
          return std::make_unique<Histogram>(bounds);
        });
  }
  return *e.histograms;
}

void Registry::on_collect(std::function<void()> refresh) {
  const std::lock_guard lock(mutex_);
  refreshers_.push_back(std::move(refresh));
}

std::string Registry::expose_text() const {
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
    out.append("# HELP ").append(name) += ' ';
    append_escaped(out, e->help, false);
    out.append("\n# TYPE ").append(name);
    out += e->kind == 'c' ? " counter\n" : e->kind == 'g' ? " gauge\n" : " histogram\n";
    const auto scalar = [&](const auto& family) {
      family.for_each([&](const Labels& values, const auto& metric) {
        append_sample(out, name, {}, family.label_names(), values, {}, metric.value());
      });
    };
    if (e->counters) scalar(*e->counters);
    if (e->gauges) scalar(*e->gauges);
    if (e->histograms) {
      e->histograms->for_each([&](const Labels& values, const Histogram& h) {
        append_histogram(out, name, e->histograms->label_names(), values, h);
      });
    }
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
