#include "holdfast/observe/exposition.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>

#include "holdfast/base/utf8.h"

namespace holdfast::observe {
namespace {

Error malformed(std::string_view why) {
  return corrupt("the metrics cannot be understood", std::string(why));
}

bool is_name_character(char c, bool first) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
         (!first && c >= '0' && c <= '9');
}

bool is_kind(std::string_view text) {
  return text == "counter" || text == "gauge" || text == "histogram" || text == "summary" ||
         text == "untyped";
}

// The rest of a line, from which parts are taken.
class Line {
 public:
  explicit Line(std::string_view text) : text_(text) {}

  bool empty() const { return text_.empty(); }
  std::string_view rest() const { return text_; }
  bool take(char c) {
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  void skip_blanks() {
    while (take(' ') || take('\t')) continue;
  }
  // Empty where there is none.
  std::string_view name() {
    std::size_t n = 0;
    while (n < text_.size() && is_name_character(text_[n], n == 0)) ++n;
    return cut(n);
  }
  std::string_view word() { return cut(std::min(text_.find_first_of(" \t"), text_.size())); }
  // What follows an opening quote, to the closing one; false: there is none.
  bool quoted(std::string& out) {
    while (!text_.empty()) {
      const char c = text_.front();
      text_.remove_prefix(1);
      if (c == '"') return true;
      if (c != '\\') {
        out += c;
        continue;
      }
      if (text_.empty()) return false;
      const char escaped = text_.front();
      text_.remove_prefix(1);
      if (escaped != 'n' && escaped != '\\' && escaped != '"') return false;
      out += escaped == 'n' ? '\n' : escaped;
    }
    return false;
  }

 private:
  std::string_view cut(std::size_t n) {
    const std::string_view out = text_.substr(0, n);
    text_.remove_prefix(n);
    return out;
  }
  std::string_view text_;
};

bool parse_value(std::string_view text, double& out) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (code == std::errc::result_out_of_range) return false;
  return code == std::errc() && end == text.data() + text.size();
}

class Parser {
 public:
  explicit Parser(const ExpositionLimits& limits) : limits_(limits) {}

  Status line(std::string_view text) {
    Line line(text);
    line.skip_blanks();
    if (line.empty()) return ok_status();
    if (line.take('#')) return comment(line);
    return sample(line);
  }
  std::vector<ScrapedFamily> take() && { return std::move(families_); }

 private:
  Status comment(Line line) {
    line.skip_blanks();
    const std::string_view what = line.word();
    if (what != "HELP" && what != "TYPE") return ok_status();
    line.skip_blanks();
    const std::string_view name = line.name();
    if (name.empty() || name.size() > limits_.name_bytes_max) return malformed("a family's name");
    line.skip_blanks();
    HF_TRY(enter(name));
    if (what == "TYPE") {
      const std::string_view kind = line.word();
      if (!is_kind(kind) || !families_.back().samples.empty()) return malformed("a TYPE line");
      families_.back().kind = kind;
    } else {
      if (line.rest().size() > limits_.value_bytes_max) return exhausted("a help text is too long");
      families_.back().help = sanitize_utf8(line.rest());
    }
    return ok_status();
  }

  // The family of that name is the current one from now on.
  Status enter(std::string_view name) {
    if (!families_.empty() && families_.back().name == name) return ok_status();
    if (!names_.emplace(name).second) return malformed("a family in two places");
    if (families_.size() == limits_.samples_max) return exhausted("too many metrics");
    families_.push_back({std::string(name), "untyped", {}, {}});
    return ok_status();
  }

  // What follows the name of the current family, where its kind knows it.
  bool belongs(std::string_view name, std::string& suffix) const {
    if (families_.empty() || !name.starts_with(families_.back().name)) return false;
    const ScrapedFamily& family = families_.back();
    suffix = name.substr(family.name.size());
    if (suffix.empty()) return family.kind != "histogram";
    const bool parts = family.kind == "histogram" || family.kind == "summary";
    return parts && (suffix == "_sum" || suffix == "_count" ||
                     (suffix == "_bucket" && family.kind == "histogram"));
  }

  Status sample(Line line) {
    const std::string_view name = line.name();
    if (name.empty() || name.size() > limits_.name_bytes_max) return malformed("a sample's name");
    ScrapedSample out;
    if (!belongs(name, out.suffix)) {
      out.suffix.clear();
      HF_TRY(enter(name));
      if (families_.back().kind == "histogram") return malformed("a sample without its suffix");
    }
    if (line.take('{')) HF_TRY(labels(line, out));
    line.skip_blanks();
    if (!parse_value(line.word(), out.value)) return malformed("a value");
    line.skip_blanks();
    const std::string_view time = line.word();
    line.skip_blanks();
    double ignored = 0;
    if ((!time.empty() && !parse_value(time, ignored)) || !line.empty())
      return malformed("the end of a sample");
    if (++samples_ > limits_.samples_max) return exhausted("too many metrics");
    families_.back().samples.push_back(std::move(out));
    return ok_status();
  }

  Status labels(Line& line, ScrapedSample& out) const {
    while (true) {
      line.skip_blanks();
      if (line.take('}')) return ok_status();
      const std::string_view name = line.name();
      line.skip_blanks();
      std::string value;
      if (name.empty() || name.size() > limits_.name_bytes_max ||
          name.find(':') != std::string_view::npos || !line.take('='))
        return malformed("a label");
      line.skip_blanks();
      if (!line.take('"') || !line.quoted(value)) return malformed("a label's value");
      if (value.size() > limits_.value_bytes_max || out.labels.size() == limits_.labels_max)
        return exhausted("a sample's labels are too many or too long");
      const auto same = [&](const auto& other) { return other.first == name; };
      if (std::ranges::any_of(out.labels, same)) return malformed("a label in two places");
      out.labels.emplace_back(name, sanitize_utf8(value));
      line.skip_blanks();
      if (!line.take(',') && !line.rest().starts_with('}')) return malformed("the end of a label");
    }
  }

  const ExpositionLimits& limits_;
  std::vector<ScrapedFamily> families_;
  std::set<std::string, std::less<>> names_;
  std::size_t samples_ = 0;
};

}  // namespace

Result<std::vector<ScrapedFamily>> parse_exposition(std::string_view text,
                                                    const ExpositionLimits& limits) {
  if (text.size() > limits.bytes_max) return exhausted("the metrics are too long");
  Parser parser(limits);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    HF_TRY(parser.line(line));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return std::move(parser).take();
}

}  // namespace holdfast::observe
