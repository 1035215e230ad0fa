#include "holdfast/cli/bench_compare.h"

#include <algorithm>
#include <numeric>

#include "holdfast/json/json.h"

namespace holdfast::cli {

namespace {

// Facts that make two files incomparable, or explain a difference. Everything else in a line is
// either a result or a limit that is measured anew each time.
constexpr const char* kFacts[] = {"model", "cpu", "isa", "threads", "kv_type", "logits_sha256"};
constexpr std::int64_t kSizeMax = std::int64_t{1} << 40;
constexpr double kSame = 0.01;
constexpr int kResamples = 4000;

Error bad_line(std::size_t number, const std::string& what) {
  return invalid_argument("line " + std::to_string(number) + ": " + what);
}

bool is_speed(std::string_view test) {
  return test == "prefill" || test == "decode" || test == "batch" || test == "start";
}

Result<std::int64_t> size_of(const json::Value& line, const char* key, std::int64_t absent) {
  const json::Value* v = line.find(key);
  if (v == nullptr) return absent;
  if (!v->is_int() || v->as_int() < 0 || v->as_int() > kSizeMax)
    return invalid_argument("\"" + std::string(key) + "\" is not a number of tokens");
  return v->as_int();
}

Result<BenchTest> test_of(const json::Value& line, const std::string& name) {
  BenchTest t;
  t.name = name;
  HF_TRY_ASSIGN(t.prompt, size_of(line, "n_prompt", 0));
  HF_TRY_ASSIGN(t.generate, size_of(line, "n_gen", 0));
  HF_TRY_ASSIGN(t.depth, size_of(line, "depth", 0));
  HF_TRY_ASSIGN(t.batch, size_of(line, "batch", 1));
  return t;
}

Status add_rate(const json::Value& v, std::vector<double>& rates) {
  if (!v.is_number() || !(v.as_double() > 0)) return invalid_argument("a speed is not positive");
  if (rates.size() == kBenchRatesMax) return invalid_argument("a test has too many repetitions");
  rates.push_back(v.as_double());
  return ok_status();
}

Status add_rates(const json::Value& line, std::vector<double>& rates) {
  const json::Value* all = line.find("repetitions");
  const json::Value* median = line.find("tokens_per_second");
  if (all != nullptr && !all->is_array())
    return invalid_argument("\"repetitions\" is not a list of speeds");
  if (all != nullptr && !all->as_array().empty()) {
    for (const json::Value& v : all->as_array()) HF_TRY(add_rate(v, rates));
    return ok_status();
  }
  if (median == nullptr) return invalid_argument("there is no \"tokens_per_second\"");
  return add_rate(*median, rates);
}

void add_facts(const json::Value& line, BenchFile& out) {
  const auto add = [&out](const std::string& key, const json::Value* v) {
    if (v == nullptr || v->is_null() || v->is_array() || v->is_object()) return;
    out.facts[key].insert(v->is_string() ? v->as_string() : json::write(*v));
  };
  for (const char* key : kFacts) add(key, line.find(key));
  if (const json::Value* limits = line.find("limits"); limits != nullptr)
    add("placement", limits->find("placement"));
}

Status add_line(std::string_view text, BenchFile& out) {
  if (text.size() > kBenchLineBytesMax) return invalid_argument("it is too long");
  const json::ParseLimits limits{
      .bytes_max = kBenchLineBytesMax, .depth_max = 8, .values_max = 2 * kBenchRatesMax};
  HF_TRY_ASSIGN(const json::Value line, json::parse(text, limits));
  const json::Value* name = line.find("test");
  if (name == nullptr || !name->is_string())
    return invalid_argument("it is not an object with \"test\"");
  if (!is_speed(name->as_string())) return ok_status();
  HF_TRY_ASSIGN(const BenchTest test, test_of(line, name->as_string()));
  if (out.rates.size() == kBenchTestsMax && !out.rates.contains(test))
    return invalid_argument("there are too many tests");
  HF_TRY(add_rates(line, out.rates[test]));
  add_facts(line, out);
  return ok_status();
}

double median_of_sorted(const std::vector<double>& v) {
  const std::size_t n = v.size();
  return n % 2 == 1 ? v[n / 2] : std::midpoint(v[n / 2 - 1], v[n / 2]);
}

// Steele, Lea and Flood's SplitMix64: small, seeded, the same everywhere.
class Random {
 public:
  std::size_t below(std::size_t n) {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    // The bias of the remainder is below n / 2^64.
    return static_cast<std::size_t>((z ^ (z >> 31)) % n);
  }

 private:
  std::uint64_t state_ = 1;
};

double resampled_median(const std::vector<double>& values, Random& random,
                        std::vector<double>& scratch) {
  scratch.clear();
  for (std::size_t i = 0; i < values.size(); ++i)
    scratch.push_back(values[random.below(values.size())]);
  std::sort(scratch.begin(), scratch.end());
  return median_of_sorted(scratch);
}

// The two files were measured one after the other, so their repetitions are no pairs: each side is
// resampled by itself.
void add_interval(const std::vector<double>& a, const std::vector<double>& b, BenchRatio& out) {
  if (std::min(a.size(), b.size()) < kBenchPairsMin) return;
  Random random;
  std::vector<double> scratch;
  std::vector<double> ratios;
  for (int i = 0; i < kResamples; ++i) {
    const double mb = resampled_median(b, random, scratch);
    ratios.push_back(mb / resampled_median(a, random, scratch));
  }
  std::sort(ratios.begin(), ratios.end());
  out.low = ratios[kResamples / 20];
  out.high = ratios[kResamples - 1 - kResamples / 20];
  if (*out.low > 1 + kSame) {
    out.verdict = BenchVerdict::kFaster;
  } else if (*out.high < 1 - kSame) {
    out.verdict = BenchVerdict::kSlower;
  } else if (*out.low >= 1 - kSame && *out.high <= 1 + kSame) {
    out.verdict = BenchVerdict::kSame;
  }
}

std::string joined(const BenchFile& file, const std::string& fact) {
  std::string out;
  if (const auto found = file.facts.find(fact); found != file.facts.end()) {
    for (const std::string& v : found->second) out += (out.empty() ? "" : ", ") + v;
  }
  return out;
}

std::vector<BenchDifference> differences_of(const BenchFile& a, const BenchFile& b) {
  std::vector<BenchDifference> out;
  std::vector<std::string> keys(std::begin(kFacts), std::end(kFacts));
  keys.emplace_back("placement");
  for (const std::string& key : keys) {
    std::string va = joined(a, key);
    std::string vb = joined(b, key);
    if (va != vb) out.push_back({key, std::move(va), std::move(vb)});
  }
  return out;
}

}  // namespace

std::string BenchTest::label() const {
  std::string out = name;
  if (prompt > 0 || generate > 0) out += " " + std::to_string(prompt > 0 ? prompt : generate);
  if (batch > 1) out += " x " + std::to_string(batch);
  if (depth > 0) out += " after " + std::to_string(depth);
  return out;
}

std::string_view verdict_name(BenchVerdict verdict) {
  switch (verdict) {
    case BenchVerdict::kFaster:
      return "faster";
    case BenchVerdict::kSlower:
      return "slower";
    case BenchVerdict::kSame:
      return "same";
    case BenchVerdict::kOpen:
      return "open";
  }
  return "open";
}

Result<BenchFile> parse_bench_file(std::string_view text) {
  if (text.size() > kBenchFileBytesMax) return invalid_argument("the file is too large");
  BenchFile out;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    if (const Status s = add_line(line, out); !s.ok())
      return bad_line(number, s.error().client_message());
  }
  if (out.rates.empty()) return invalid_argument("the file holds no result of `holdfast bench`");
  return out;
}

Spread spread_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {median_of_sorted(values), values.front(), values.back()};
}

BenchComparison compare_benches(const BenchFile& a, const BenchFile& b) {
  BenchComparison out;
  for (const auto& [test, rates] : a.rates) {
    const auto other = b.rates.find(test);
    if (other == b.rates.end()) {
      out.only_a.push_back(test);
      continue;
    }
    BenchRatio r;
    r.test = test;
    r.a = spread_of(rates);
    r.b = spread_of(other->second);
    r.ratio = r.b.median / r.a.median;
    add_interval(rates, other->second, r);
    out.ratios.push_back(std::move(r));
  }
  for (const auto& [test, rates] : b.rates) {
    if (!a.rates.contains(test)) out.only_b.push_back(test);
  }
  out.differences = differences_of(a, b);
  return out;
}

}  // namespace holdfast::cli
