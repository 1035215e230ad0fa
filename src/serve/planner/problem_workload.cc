#include "problem_parts.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "holdfast/planner/csv.h"

namespace holdfast::planner {

namespace {

constexpr std::size_t kClassesLimit = 16;
constexpr Range kTokensRange{1, 1e6};
constexpr Range kShareRange{0, 1};

// Seconds: a number, or "2023-11-16 18:15:46.68" since midnight of 1970.
Result<double> trace_time(const CsvTable& t, std::size_t row) {
  const std::string_view cell = t.text(row, "TIMESTAMP");
  if (const auto seconds = parse_number(cell); seconds && *seconds >= 0) return *seconds;
  const auto bad = [&] {
    return invalid_argument(t.place(row) +
                            ": TIMESTAMP must be seconds or \"YYYY-MM-DD HH:MM:SS\"");
  };
  if (cell.size() < 19 || (cell[10] != ' ' && cell[10] != 'T') || cell[13] != ':' ||
      cell[16] != ':')
    return bad();
  const auto days = days_between("1970-01-01", cell.substr(0, 10));
  const auto hour = parse_number(cell.substr(11, 2));
  const auto minute = parse_number(cell.substr(14, 2));
  std::string_view seconds_text = cell.substr(17);
  const std::size_t zone = seconds_text.find_first_of("Z+");
  if (zone != std::string_view::npos) seconds_text = seconds_text.substr(0, zone);
  const auto second = parse_number(seconds_text);
  if (!days || !hour || !minute || !second) return bad();
  return *days * 86400.0 + *hour * 3600 + *minute * 60 + *second;
}

// Parses the section into the problem.
class WorkloadParser {
 public:
  WorkloadParser(const ProblemInputs& inputs, Problem& problem) : in_(inputs), p_(problem) {}

  Status run(const json::Value* table) {
    if (table == nullptr && in_.trace_csv.empty())
      return invalid_argument("workload: is missing")
          .with_hint("[workload] with users, or rate_rps, and isl and osl");
    Fields f(table, "workload", p_.defaults);
    HF_TRY(rate(f));
    LengthSpec isl;
    LengthSpec osl;
    if (!in_.trace_csv.empty()) {
      HF_TRY(trace());
      isl = of_trace([](const TraceRow& r) { return r.isl; });
      osl = of_trace([](const TraceRow& r) { return r.osl; });
      f.any("isl");
      f.any("osl");
    } else {
      isl = lengths(f, "isl", 1155, "prompt work and memory");
      osl = lengths(f, "osl", 211, "tokens to make");
    }
    p_.workload.prefix_share =
        f.number("prefix_share", 0, {0, 0.999}, "share of prompts that need no work");
    HF_TRY(arrival(f));
    HF_TRY(growth(f));
    HF_TRY(classes(f, isl, osl));
    HF_TRY(f.finish());
    return ok_status();
  }

 private:
  LengthSpec lengths(Fields& f, const char* key, double otherwise, const char* effect) {
    LengthSpec out;
    const json::Value* v = f.any(key);
    if (v == nullptr) {
      if (effect != nullptr)
        p_.defaults.push_back({f.path(key), number_text(otherwise), effect, true});
      out.mean = otherwise;
      return out;
    }
    if (v->is_number()) {
      out.mean = v->as_double();
      if (out.mean < kTokensRange.low || out.mean > kTokensRange.high)
        f.fail(invalid_argument(f.path(key) + ": must be from 1 to 1000000 tokens, and is " +
                                number_text(out.mean)));
      p_.defaults.push_back(
          {f.path(key) + ".cv", "1", "spread of the lengths (log-normal)", false});
      return out;
    }
    if (v->is_array()) return histogram(f, key, *v);
    Fields t(v, f.path(key), p_.defaults);
    const auto p50 = t.maybe_number("p50", kTokensRange);
    const auto p90 = t.maybe_number("p90", kTokensRange);
    const auto p99 = t.maybe_number("p99", kTokensRange);
    const auto mean = t.maybe_number("mean", kTokensRange);
    out.cv = t.number("cv", 1, {0, 20}, p50 ? nullptr : "spread of the lengths (log-normal)");
    const auto bad = t.finish();
    if (!bad.ok()) f.fail(bad.error());
    if (!mean && !p50) f.fail(invalid_argument(f.path(key) + ": needs mean, or p50, p90 and p99"));
    if (p50 && (!p90 || !p99 || *p90 < *p50 || *p99 < *p90))
      f.fail(invalid_argument(f.path(key) + ": p50, p90 and p99 must be given together and rise"));
    if (p50) {
      out.p50 = *p50;
      out.p90 = p90.value_or(*p50);
      out.p99 = p99.value_or(*p50);
    }
    const double sigma = p50 ? std::log(std::max(1.0, out.p90 / out.p50)) / 1.2816 : 0;
    out.mean = mean.value_or(out.p50 * std::exp(sigma * sigma / 2));
    return out;
  }

  // [{tokens, share}]: percentiles of the histogram.
  LengthSpec histogram(Fields& f, const char* key, const json::Value& list) {
    LengthSpec out;
    std::vector<std::pair<double, double>> bins;
    double total = 0;
    for (const json::Value& e : list.as_array()) {
      const json::Value* tokens = e.find("tokens");
      const json::Value* share = e.find("share");
      if (tokens == nullptr || share == nullptr || !tokens->is_number() || !share->is_number() ||
          tokens->as_double() < 1 || tokens->as_double() > 1e6 || share->as_double() < 0) {
        f.fail(invalid_argument(f.path(key) + ": a histogram is a list of {tokens, share}"));
        return out;
      }
      bins.emplace_back(tokens->as_double(), share->as_double());
      total += share->as_double();
    }
    if (bins.empty() || total <= 0) {
      f.fail(invalid_argument(f.path(key) + ": the histogram is empty"));
      return out;
    }
    std::sort(bins.begin(), bins.end());
    double seen = 0;
    for (const auto& [tokens, share] : bins) {
      out.mean += tokens * share / total;
      seen += share / total;
      if (out.p50 == 0 && seen >= 0.5) out.p50 = tokens;
      if (out.p90 == 0 && seen >= 0.9) out.p90 = tokens;
      if (out.p99 == 0 && seen >= 0.99 - 1e-12) out.p99 = tokens;
    }
    return out;
  }

  Status rate(Fields& f) {
    const auto rps = f.maybe_number("rate_rps", {0, 1e6});
    const auto users = f.maybe_number("users", {0, 1e9});
    const double sessions = f.number("sessions_per_user_day", 4, {0, 1e5},
                                     users && !rps ? "the number of requests" : nullptr, true);
    const double requests = f.number("requests_per_session", 5, {0, 1e5},
                                     users && !rps ? "the number of requests" : nullptr, true);
    HF_TRY(f.so_far());
    if (rps && users)
      return invalid_argument(
          "workload.rate_rps: both rate_rps and users are given: keep one of them");
    if (!rps && !users && in_.trace_csv.empty())
      return f.missing("users", " (or rate_rps, or a trace)");
    if (rps) p_.workload.rate_rps = *rps;
    if (users) p_.workload.rate_rps = *users * sessions * requests / 86400;
    return ok_status();
  }

  Status classes(Fields& f, const LengthSpec& isl, const LengthSpec& osl) {
    auto tables = f.tables("class", kClassesLimit);
    if (tables.empty()) {
      WorkloadClass all;
      all.isl = isl;
      all.osl = osl;
      all.slo = p_.slo;
      all.label = p_.label;
      p_.workload.classes.push_back(all);
      return ok_status();
    }
    double sum = 0;
    std::size_t index = 0;
    for (const json::Value* t : tables) {
      Fields c(t, "workload.class[" + std::to_string(index) + "]", p_.defaults);
      WorkloadClass out;
      out.name = c.text("name", ("class" + std::to_string(index + 1)).c_str());
      out.share = c.number("share", 1.0 / static_cast<double>(tables.size()), {0, 1},
                           "how the requests are split");
      out.priority = static_cast<int>(c.number("priority", 0, {0, 7}, nullptr));
      out.kind = static_cast<ServiceKind>(
          index_in(kServiceKinds,
                   c.word("kind", {"realtime", "interactive", "batch"}, "interactive", nullptr)));
      out.isl = c.has("isl") ? lengths(c, "isl", 0, nullptr) : (c.any("isl"), isl);
      out.osl = c.has("osl") ? lengths(c, "osl", 0, nullptr) : (c.any("osl"), osl);
      out.slo = p_.slo;
      HF_TRY(parse_slo(c.table("slo"), c.path("slo"), out.slo, false, p_.defaults));
      out.label = parse_label(c, "label", p_.label, nullptr);
      out.model = c.text("model", "");
      HF_TRY(c.finish());
      HF_TRY(check_model(out.model, index));
      sum += out.share;
      ++index;
      p_.workload.classes.push_back(std::move(out));
    }
    if (std::abs(sum - 1) > 0.01)
      return invalid_argument("workload.class: the shares add up to " + number_text(sum) +
                              ", and must to 1");
    return ok_status();
  }

  Status check_model(const std::string& name, std::size_t index) {
    if (name.empty()) return ok_status();
    std::vector<std::string> names;
    for (const ModelNeed& m : p_.models) names.push_back(m.shape.id);
    if (std::find(names.begin(), names.end(), name) != names.end()) return ok_status();
    return invalid_argument("workload.class[" + std::to_string(index) + "].model: \"" +
                            name.substr(0, 80) + "\" is none of models" +
                            did_you_mean(name, names));
  }

  Status arrival(Fields& f) {
    const json::Value* v = f.any("arrival");
    ArrivalSpec& a = p_.workload.arrival;
    // The conversation trace of the specification's section 10.
    a = {ArrivalKind::kBursty, 1.19, 1.4, 3.9, 16, "office", 0, -1};
    if (v == nullptr) {
      p_.defaults.push_back(
          {"workload.arrival",
           "bursty, as an hour of real conversations (gaps with c2a 1.19, index of "
           "dispersion 1.4, 3.9, 16 at 1, 10, 60 s), office hours",
           "percentiles of latency and the size for the peak", false});
      return ok_status();
    }
    if (v->is_string()) return arrival_word(v->as_string());
    Fields t(v, "workload.arrival", p_.defaults);
    const std::string kind = t.word("kind", {"poisson", "bursty", "trace"}, "bursty", nullptr);
    HF_TRY(arrival_word(kind));
    a.c2a = t.number("c2a", a.c2a, {0.01, 1e4}, nullptr);
    a.idc_1s = t.number("idc_1s", a.idc_1s, {0, 1e5}, nullptr);
    a.idc_10s = t.number("idc_10s", a.idc_10s, {0, 1e5}, nullptr);
    a.idc_60s = t.number("idc_60s", a.idc_60s, {0, 1e5}, nullptr);
    a.profile = t.word("profile", {"flat", "diurnal", "office"}, "office",
                       "how demand moves over the week");
    a.peak_to_mean = t.number("peak_to_mean", 0, {1, 100}, nullptr);
    a.weekend_share = t.number("weekend_share", -1, kShareRange, nullptr);
    return t.finish();
  }

  Status arrival_word(const std::string& word) {
    ArrivalSpec& a = p_.workload.arrival;
    if (word == "poisson") {
      a.kind = ArrivalKind::kPoisson;
      a.c2a = 1;
      a.idc_1s = a.idc_10s = a.idc_60s = 0;
      return ok_status();
    }
    if (word == "bursty") return ok_status();
    if (word != "trace")
      return invalid_argument("workload.arrival: must be poisson, bursty, trace or a table");
    if (in_.trace_csv.empty())
      return invalid_argument("workload.arrival: \"trace\" needs a trace (--trace FILE.csv)");
    return ok_status();
  }

  Status growth(Fields& f) {
    Workload& w = p_.workload;
    const json::Value* v = f.any("growth");
    if (v == nullptr) {
      p_.defaults.push_back(
          {"workload.growth", "0 (low -0.1, high 0.3)", "size in later years", true});
      w.growth_low = -0.1;
      w.growth_high = 0.3;
      return ok_status();
    }
    if (v->is_number()) {
      w.growth = v->as_double();
      if (w.growth < -0.9 || w.growth > 10)
        return invalid_argument("workload.growth: must be a yearly rate from -0.9 to 10");
      w.growth_low = w.growth - 0.1;
      w.growth_high = w.growth + 0.2;
      return ok_status();
    }
    Fields t(v, "workload.growth", p_.defaults);
    w.growth = t.number("base", 0, {-0.9, 10}, "size in later years");
    w.growth_low = t.number("low", w.growth, {-0.9, 10}, nullptr);
    w.growth_high = t.number("high", w.growth, {-0.9, 10}, nullptr);
    HF_TRY(t.finish());
    if (w.growth_low > w.growth || w.growth > w.growth_high)
      return invalid_argument("workload.growth: low, base and high must rise");
    return ok_status();
  }

  Status trace() {
    Workload& w = p_.workload;
    HF_TRY_ASSIGN(w.trace, parse_trace(in_.trace_csv, "trace"));
    const double span = std::max(1.0, w.trace.back().at_s);
    if (w.rate_rps == 0) w.rate_rps = static_cast<double>(w.trace.size()) / span;
    w.arrival.kind = ArrivalKind::kTrace;
    return ok_status();
  }

  template <typename Get>
  LengthSpec of_trace(Get get) const {
    std::vector<double> values;
    LengthSpec out;
    for (const TraceRow& r : p_.workload.trace) values.push_back(std::max(1.0, get(r)));
    std::sort(values.begin(), values.end());
    for (const double v : values) out.mean += v / static_cast<double>(values.size());
    const auto at = [&values](double q) {
      return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
    };
    out.p50 = at(0.5);
    out.p90 = at(0.9);
    out.p99 = at(0.99);
    return out;
  }

  const ProblemInputs& in_;
  Problem& p_;
};

}  // namespace

Label parse_label(Fields& f, const char* key, Label otherwise, const char* effect) {
  const std::string word = f.word(key, {"none", "internal", "confidential", "regulated", "secret"},
                                  std::string(label_name(otherwise)).c_str(), effect);
  return static_cast<Label>(index_in(kLabels, word));
}

Status parse_slo(const json::Value* table, const std::string& path, Slo& out, bool top,
                 std::vector<DefaultUsed>& defaults) {
  Fields f(table, path, defaults);
  const Slo above = out;
  const auto limit = [&](const char* key, double otherwise) {
    return f.number(key, otherwise, {0.01, 1e9}, nullptr);
  };
  out.ttft_p99_ms = limit("ttft_p99_ms", above.ttft_p99_ms);
  out.tpot_p99_ms = limit("tpot_p99_ms", above.tpot_p99_ms);
  out.e2e_p99_ms = limit("e2e_p99_ms", above.e2e_p99_ms);
  out.control_loop_ms = limit("control_loop_ms", above.control_loop_ms);
  const auto availability = f.maybe_number("availability", {0, 1 - 1e-12});
  if (availability) out.availability = *availability;
  if (top && !f.has("ttft_p99_ms"))
    defaults.push_back({path + ".ttft_p99_ms", "none", "no limit on the first token", false});
  if (top && !f.has("tpot_p99_ms"))
    defaults.push_back({path + ".tpot_p99_ms", "none", "batches grow to what memory holds", false});
  if (top && !availability) {
    out.availability = 0.99;
    defaults.push_back({path + ".availability", "0.99", "how many spare machines there are", true});
  }
  HF_TRY(f.finish());
  if (out.e2e_p99_ms > 0 && out.ttft_p99_ms > out.e2e_p99_ms)
    return invalid_argument(path + ".ttft_p99_ms: is above " + path +
                            ".e2e_p99_ms, which includes it");
  return ok_status();
}

Status parse_workload(const json::Value* table, const ProblemInputs& inputs, Problem& problem) {
  return WorkloadParser(inputs, problem).run(table);
}

Result<std::vector<TraceRow>> parse_trace(std::string_view csv, std::string_view name) {
  HF_TRY_ASSIGN(const CsvTable t, CsvTable::parse(csv, name));
  for (const char* column : {"TIMESTAMP", "ContextTokens", "GeneratedTokens"})
    if (!t.column(column))
      return invalid_argument(std::string(name) + ": there is no column " + column);
  if (t.rows() == 0) return invalid_argument(std::string(name) + ": there is no request");
  std::vector<TraceRow> rows;
  for (std::size_t row = 0; row < t.rows(); ++row) {
    TraceRow r;
    HF_TRY_ASSIGN(r.at_s, trace_time(t, row));
    HF_TRY_ASSIGN(r.isl, t.required(row, "ContextTokens", 0, 1e7));
    HF_TRY_ASSIGN(r.osl, t.required(row, "GeneratedTokens", 0, 1e7));
    rows.push_back(r);
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const TraceRow& a, const TraceRow& b) { return a.at_s < b.at_s; });
  const double first = rows.front().at_s;
  for (TraceRow& r : rows) r.at_s -= first;
  return rows;
}

}  // namespace holdfast::planner
