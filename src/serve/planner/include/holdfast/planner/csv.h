// CSV (RFC 4180) with a header line: what the planner's data files are made of.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::planner {

inline constexpr std::size_t kCsvBytesMax = std::size_t{16} << 20;
inline constexpr std::size_t kCsvRowsMax = 1'000'000;
inline constexpr std::size_t kCsvColumnsMax = 64;

// Cells by row and column. Thread-compatible value.
class CsvTable {
 public:
  // `name` is what errors call the file. kInvalidArgument names the line: no header, a row of
  // another length, a quote in the wrong place, a column that comes twice. kExhausted above a
  // limit.
  static Result<CsvTable> parse(std::string_view text, std::string_view name);

  std::size_t rows() const { return lines_.size(); }
  const std::vector<std::string>& columns() const { return columns_; }
  std::optional<std::size_t> column(std::string_view name) const;
  // Empty where there is no such column. Precondition: row < rows().
  std::string_view text(std::size_t row, std::string_view column) const;
  // nullopt for an empty cell. kInvalidArgument with file, line and column for what is no finite
  // number, or one outside [low, high].
  Result<std::optional<double>> number(std::size_t row, std::string_view column, double low,
                                       double high) const;
  // As number(), but an empty cell is an error too.
  Result<double> required(std::size_t row, std::string_view column, double low, double high) const;
  // "hardware.csv line 7".
  std::string place(std::size_t row) const;

 private:
  std::string name_;
  std::vector<std::string> columns_;
  std::vector<std::vector<std::string>> cells_;
  std::vector<std::size_t> lines_;
};

// A cell, quoted where it must be.
std::string csv_cell(std::string_view text);

// All of `text` as a finite decimal number in the C locale; nullopt for anything else.
std::optional<double> parse_number(std::string_view text);

}  // namespace holdfast::planner
