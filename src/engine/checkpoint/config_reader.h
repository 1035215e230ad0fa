// Typed look-ups in the JSON files of a checkpoint, with one error at the end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/json/json.h"
#include "holdfast/platform/byte_source.h"

namespace holdfast::checkpoint {

// Reads members of one object; after the first failure it answers with fallbacks and status()
// tells. A member that is null counts as missing. Thread-compatible; keeps a reference to the
// value.
class ConfigReader {
 public:
  // `where` begins every message: "config.json".
  ConfigReader(const json::Value& object, std::string where);

  // Whether the member is there, be it null.
  bool has(std::string_view name) const { return object_->find(name) != nullptr; }
  // nullptr if missing.
  const json::Value* find(std::string_view name) const;
  // A whole number from 1 to `max`.
  std::uint32_t count(std::string_view name, std::uint32_t max);
  std::uint32_t count_or(std::string_view name, std::uint32_t max, std::uint32_t fallback);
  // A finite number from `min` to `max`.
  float number(std::string_view name, double min, double max);
  float number_or(std::string_view name, double min, double max, float fallback);
  bool flag_or(std::string_view name, bool fallback);
  std::string text_or(std::string_view name, std::string_view fallback);
  // A reader of the object of that name; nullopt if missing.
  std::optional<ConfigReader> object(std::string_view name);

  Error wrong(std::string_view name, std::string_view wanted) const;
  Error unsupported_value(std::string_view name, std::string_view value) const;
  void fail(Error error);
  Status status() const;
  const std::string& where() const { return where_; }

 private:
  const json::Value* object_;
  std::string where_;
  std::optional<Error> error_;
};

// Foreign text for messages: valid, without control characters, at most 64 bytes.
std::string shown(std::string_view text);

// The text of a source of at most `bytes_max` bytes. kCorrupt names the file.
Result<std::string> read_text(std::string_view name, const platform::ByteSource& source,
                              std::uint64_t bytes_max);
// A JSON object: kCorrupt names the file and says where it breaks.
Result<json::Value> parse_object(std::string_view name, std::string_view text,
                                 const json::ParseLimits& limits);

}  // namespace holdfast::checkpoint
