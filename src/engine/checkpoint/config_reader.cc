#include "config_reader.h"

#include <algorithm>
#include <cmath>

#include "holdfast/base/utf8.h"

namespace holdfast::checkpoint {

namespace {

constexpr std::size_t kShownMax = 64;

std::string decimal(double v) { return json::write(json::Value(v)); }

}  // namespace

std::string shown(std::string_view text) {
  std::string clean = sanitize_utf8(text.substr(0, kShownMax));
  std::erase_if(clean, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  return "\"" + clean + (text.size() > kShownMax ? "...\"" : "\"");
}

ConfigReader::ConfigReader(const json::Value& object, std::string where)
    : object_(&object), where_(std::move(where)) {}

const json::Value* ConfigReader::find(std::string_view name) const {
  const json::Value* v = object_->find(name);
  return v == nullptr || v->is_null() ? nullptr : v;
}

Error ConfigReader::wrong(std::string_view name, std::string_view wanted) const {
  return corrupt(where_ + ": " + std::string(name) +
                 (find(name) == nullptr ? " is missing; it must be " : " must be ") +
                 std::string(wanted));
}

Error ConfigReader::unsupported_value(std::string_view name, std::string_view value) const {
  return unsupported("unsupported " + std::string(name) + " " + shown(value) + " in " + where_);
}

std::uint32_t ConfigReader::count(std::string_view name, std::uint32_t max) {
  const json::Value* v = find(name);
  if (v == nullptr || !v->is_int() || v->as_int() < 1 || v->as_int() > std::int64_t{max}) {
    fail(wrong(name, "a whole number from 1 to " + std::to_string(max)));
    return 1;
  }
  return static_cast<std::uint32_t>(v->as_int());
}

std::uint32_t ConfigReader::count_or(std::string_view name, std::uint32_t max,
                                     std::uint32_t fallback) {
  return find(name) == nullptr ? fallback : count(name, max);
}

float ConfigReader::number(std::string_view name, double min, double max) {
  const json::Value* v = find(name);
  if (v == nullptr || !v->is_number() || !(v->as_double() >= min && v->as_double() <= max)) {
    fail(wrong(name, "a number from " + decimal(min) + " to " + decimal(max)));
    return static_cast<float>(max);
  }
  return static_cast<float>(v->as_double());
}

float ConfigReader::number_or(std::string_view name, double min, double max, float fallback) {
  return find(name) == nullptr ? fallback : number(name, min, max);
}

bool ConfigReader::flag_or(std::string_view name, bool fallback) {
  const json::Value* v = find(name);
  if (v == nullptr) return fallback;
  if (v->is_bool()) return v->as_bool();
  fail(wrong(name, "true or false"));
  return fallback;
}

std::string ConfigReader::text_or(std::string_view name, std::string_view fallback) {
  const json::Value* v = find(name);
  if (v == nullptr) return std::string(fallback);
  if (v->is_string()) return v->as_string();
  fail(wrong(name, "a text"));
  return std::string(fallback);
}

std::optional<ConfigReader> ConfigReader::object(std::string_view name) {
  const json::Value* v = find(name);
  if (v == nullptr) return std::nullopt;
  if (v->is_object()) return ConfigReader(*v, where_ + ": " + std::string(name));
  fail(wrong(name, "an object"));
  return std::nullopt;
}

void ConfigReader::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

Status ConfigReader::status() const { return error_ ? Status(*error_) : ok_status(); }

Result<std::string> read_text(std::string_view name, const platform::ByteSource& source,
                              std::uint64_t bytes_max) {
  if (source.size() > bytes_max) {
    return corrupt(std::string(name) + " has " + std::to_string(source.size()) + " bytes, limit " +
                   std::to_string(bytes_max));
  }
  std::string text(source.size(), '\0');
  HF_TRY(source.read_at(0, std::as_writable_bytes(std::span(text))));
  return text;
}

Result<json::Value> parse_object(std::string_view name, std::string_view text,
                                 const json::ParseLimits& limits) {
  auto value = json::parse(text, limits);
  if (!value.ok()) {
    return corrupt(std::string(name) + ": " + value.error().client_message(),
                   value.error().detail());
  }
  if (!value->is_object()) return corrupt(std::string(name) + " is no JSON object");
  return value;
}

}  // namespace holdfast::checkpoint
