#include "holdfast/planner/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace holdfast::planner {

namespace {

// Splits text into records of cells, one record at a time.
class Reader {
 public:
  Reader(std::string_view text, std::string_view name) : text_(text), name_(name) {}

  bool done() const { return at_ >= text_.size(); }
  std::size_t line() const { return line_; }

  Result<std::vector<std::string>> record() {
    std::vector<std::string> cells;
    for (;;) {
      HF_TRY_ASSIGN(std::string cell, this->cell());
      cells.push_back(std::move(cell));
      if (cells.size() > kCsvColumnsMax) {
        return exhausted(where() + ": more than " + std::to_string(kCsvColumnsMax) + " columns");
      }
      if (done() || text_[at_] != ',') break;
      ++at_;
    }
    end_line();
    return cells;
  }

 private:
  std::string where() const { return std::string(name_) + " line " + std::to_string(line_); }

  Result<std::string> cell() {
    if (!done() && text_[at_] == '"') return quoted();
    const std::size_t end = std::min(text_.find_first_of(",\r\n", at_), text_.size());
    const std::string_view raw = text_.substr(at_, end - at_);
    if (raw.find('"') != std::string_view::npos) {
      return invalid_argument(where() + ": a quote inside a cell that does not begin with one");
    }
    at_ = end;
    return std::string(raw);
  }

  Result<std::string> quoted() {
    std::string out;
    for (++at_; !done(); ++at_) {
      if (text_[at_] == '\n') ++line_;
      if (text_[at_] != '"') {
        out += text_[at_];
      } else if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
        out += text_[at_++];
      } else {
        ++at_;
        if (!done() && text_[at_] != ',' && text_[at_] != '\n' && text_[at_] != '\r')
          return invalid_argument(where() + ": text after a closing quote");
        return out;
      }
    }
    return invalid_argument(where() + ": a quote is not closed");
  }

  void end_line() {
    if (!done() && text_[at_] == '\r') ++at_;
    if (!done() && text_[at_] == '\n') ++at_;
    ++line_;
  }

  std::string_view text_;
  std::string_view name_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
};

bool is_blank(const std::vector<std::string>& cells) {
  return cells.size() == 1 && cells[0].empty();
}

}  // namespace

Result<CsvTable> CsvTable::parse(std::string_view text, std::string_view name) {
  if (text.size() > kCsvBytesMax)
    return exhausted(std::string(name) + ": the file is larger than 16 MiB");
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // spreadsheets write it
  CsvTable table;
  table.name_ = name;
  Reader reader(text, name);
  if (reader.done()) return invalid_argument(std::string(name) + ": the file is empty");
  HF_TRY_ASSIGN(table.columns_, reader.record());
  for (const std::string& c : table.columns_) {
    if (std::count(table.columns_.begin(), table.columns_.end(), c) > 1)
      return invalid_argument(std::string(name) + ": column \"" + c + "\" comes twice");
  }
  while (!reader.done()) {
    const std::size_t line = reader.line();
    HF_TRY_ASSIGN(auto cells, reader.record());
    if (is_blank(cells)) continue;
    if (cells.size() != table.columns_.size()) {
      return invalid_argument(std::string(name) + " line " + std::to_string(line) + ": " +
                              std::to_string(cells.size()) + " cells, but the header has " +
                              std::to_string(table.columns_.size()));
    }
    if (table.cells_.size() == kCsvRowsMax)
      return exhausted(std::string(name) + ": more than a million rows");
    table.cells_.push_back(std::move(cells));
    table.lines_.push_back(line);
  }
  return table;
}

std::optional<std::size_t> CsvTable::column(std::string_view name) const {
  const auto at = std::find(columns_.begin(), columns_.end(), name);
  if (at == columns_.end()) return std::nullopt;
  return static_cast<std::size_t>(at - columns_.begin());
}

std::string_view CsvTable::text(std::size_t row, std::string_view column) const {
  const auto index = this->column(column);
  return index ? std::string_view(cells_[row][*index]) : std::string_view();
}

Result<std::optional<double>> CsvTable::number(std::size_t row, std::string_view column, double low,
                                               double high) const {
  const std::string_view cell = text(row, column);
  if (cell.empty()) return std::optional<double>();
  const auto value = parse_number(cell);
  if (value && *value >= low && *value <= high) return value;
  std::string range = "a number from " + std::to_string(low) + " to " + std::to_string(high);
  return invalid_argument(place(row) + ": " + std::string(column) + " is \"" +
                          std::string(cell.substr(0, 40)) + "\", and must be " + range);
}

Result<double> CsvTable::required(std::size_t row, std::string_view column, double low,
                                  double high) const {
  HF_TRY_ASSIGN(const auto value, number(row, column, low, high));
  if (value) return *value;
  return invalid_argument(place(row) + ": " + std::string(column) + " is missing");
}

std::string CsvTable::place(std::size_t row) const {
  return name_ + " line " + std::to_string(lines_[row]);
}

std::string csv_cell(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

std::optional<double> parse_number(std::string_view text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

}  // namespace holdfast::planner
