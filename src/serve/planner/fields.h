// Reads a document's tables field by field: paths in errors, unknown fields, defaults on record.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/json/json.h"
#include "holdfast/planner/problem.h"

namespace holdfast::planner {

// Number as people write it: up to six digits, no trailing zeros.
std::string number_text(double value);

struct Range {
  double low;
  double high;
};

// One table. The first error is kept, and all later reads give defaults: read everything, then ask
// finish(). Owner: one parse (thread-compatible).
class Fields {
 public:
  // `table` may be null: then every field has its default.
  Fields(const json::Value* table, std::string path, std::vector<DefaultUsed>& defaults);

  double number(const char* key, double otherwise, Range range, const char* effect,
                bool assumed = false);
  std::optional<double> maybe_number(const char* key, Range range);
  std::string text(const char* key, const char* otherwise, const char* effect = nullptr);
  std::string word(const char* key, std::initializer_list<const char*> words, const char* otherwise,
                   const char* effect);
  std::optional<bool> maybe_flag(const char* key);
  std::vector<std::string> texts(const char* key);
  // nullptr if absent.
  const json::Value* table(const char* key);
  std::vector<const json::Value*> tables(const char* key, std::size_t count_max);
  // Any value; nullptr if absent.
  const json::Value* any(const char* key);
  bool has(const char* key) const;

  std::string path(const char* key) const;
  void fail(Error error);
  // The first error, before anything else is said about the table.
  Status so_far() const;
  // "path.key: is missing", or that a field with nearly that name is unknown.
  Error missing(const char* key, const std::string& more = "") const;
  Status finish() const;

 private:
  const json::Value* find(const char* key);

  const json::Value* table_;
  std::string path_;
  std::vector<DefaultUsed>& defaults_;
  std::vector<std::string> known_;
  std::optional<Error> error_;
};

}  // namespace holdfast::planner
