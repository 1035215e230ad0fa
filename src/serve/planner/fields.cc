#include "fields.h"

#include <algorithm>
#include <charconv>

#include "holdfast/base/units.h"

namespace holdfast::planner {

std::string number_text(double value) {
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::general, 6);
  return {buffer, end.ptr};
}

Fields::Fields(const json::Value* table, std::string path, std::vector<DefaultUsed>& defaults)
    : table_(table), path_(std::move(path)), defaults_(defaults) {
  if (table_ != nullptr && !table_->is_object()) {
    fail(invalid_argument(path_ + ": must be a table"));
    table_ = nullptr;
  }
}

const json::Value* Fields::find(const char* key) {
  known_.emplace_back(key);
  return table_ == nullptr ? nullptr : table_->find(key);
}

bool Fields::has(const char* key) const {
  return table_ != nullptr && table_->find(key) != nullptr;
}

std::string Fields::path(const char* key) const { return path_.empty() ? key : path_ + "." + key; }

void Fields::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

Status Fields::so_far() const { return error_ ? Status(*error_) : ok_status(); }

Error Fields::missing(const char* key, const std::string& more) const {
  if (table_ != nullptr) {
    for (const json::Member& m : table_->as_object()) {
      if (m.key == key || edit_distance(m.key, key, 3) > 2) continue;
      return invalid_argument((path_.empty() ? "" : path_ + ".") + m.key.substr(0, 80) +
                              ": unknown field; did you mean " + key + "?");
    }
  }
  return invalid_argument(path(key) + ": is missing" + more);
}

std::optional<double> Fields::maybe_number(const char* key, Range range) {
  const json::Value* v = find(key);
  if (v == nullptr || v->is_null()) return std::nullopt;
  if (v->is_number() && v->as_double() >= range.low && v->as_double() <= range.high)
    return v->as_double();
  const std::string given = json::write(*v).substr(0, 40);
  fail(invalid_argument(path(key) + ": must be a number from " + number_text(range.low) + " to " +
                        number_text(range.high) + ", and is " + given));
  return std::nullopt;
}

double Fields::number(const char* key, double otherwise, Range range, const char* effect,
                      bool assumed) {
  if (const auto v = maybe_number(key, range)) return *v;
  if (effect != nullptr) defaults_.push_back({path(key), number_text(otherwise), effect, assumed});
  return otherwise;
}

std::string Fields::text(const char* key, const char* otherwise, const char* effect) {
  const json::Value* v = find(key);
  if (v != nullptr && v->is_string() && v->as_string().size() <= 200) return v->as_string();
  if (v != nullptr)
    fail(invalid_argument(path(key) + ": must be a text of at most 200 characters"));
  if (effect != nullptr) defaults_.push_back({path(key), otherwise, effect, false});
  return otherwise;
}

std::string Fields::word(const char* key, std::initializer_list<const char*> words,
                         const char* otherwise, const char* effect) {
  const std::string value = text(key, otherwise, effect);
  std::vector<std::string> names(words.begin(), words.end());
  if (std::find(names.begin(), names.end(), value) != names.end()) return value;
  std::string list;
  for (const std::string& n : names) list += (list.empty() ? "" : ", ") + n;
  fail(invalid_argument(path(key) + ": must be one of " + list + ", and is \"" +
                        value.substr(0, 40) + "\"" + did_you_mean(value, names)));
  return otherwise;
}

std::optional<bool> Fields::maybe_flag(const char* key) {
  const json::Value* v = find(key);
  if (v == nullptr || v->is_null()) return std::nullopt;
  if (v->is_bool()) return v->as_bool();
  fail(invalid_argument(path(key) + ": must be true or false"));
  return std::nullopt;
}

std::vector<std::string> Fields::texts(const char* key) {
  constexpr std::size_t kCountMax = 256;
  const json::Value* v = find(key);
  std::vector<std::string> out;
  if (v == nullptr) return out;
  const auto good = [](const json::Value& e) {
    return e.is_string() && !e.as_string().empty() && e.as_string().size() <= 200;
  };
  if (v->is_string() && good(*v)) return {v->as_string()};
  if (!v->is_array() || v->as_array().size() > kCountMax ||
      !std::all_of(v->as_array().begin(), v->as_array().end(), good)) {
    fail(invalid_argument(path(key) + ": must be a list of texts"));
    return out;
  }
  for (const json::Value& e : v->as_array()) out.push_back(e.as_string());
  return out;
}

const json::Value* Fields::table(const char* key) {
  const json::Value* v = find(key);
  if (v != nullptr && !v->is_object()) {
    fail(invalid_argument(path(key) + ": must be a table"));
    return nullptr;
  }
  return v;
}

std::vector<const json::Value*> Fields::tables(const char* key, std::size_t count_max) {
  const json::Value* v = find(key);
  std::vector<const json::Value*> out;
  if (v == nullptr) return out;
  if (v->is_object()) return {v};
  if (!v->is_array() || v->as_array().size() > count_max) {
    fail(invalid_argument(path(key) + ": must be a list of at most " + std::to_string(count_max) +
                          " tables"));
    return out;
  }
  for (const json::Value& e : v->as_array()) out.push_back(&e);
  return out;
}

const json::Value* Fields::any(const char* key) { return find(key); }

Status Fields::finish() const {
  if (error_) return *error_;
  if (table_ == nullptr) return ok_status();
  for (const json::Member& m : table_->as_object()) {
    if (std::find(known_.begin(), known_.end(), m.key) != known_.end()) continue;
    return invalid_argument((path_.empty() ? "" : path_ + ".") + m.key.substr(0, 80) +
                            ": unknown field" + did_you_mean(m.key, known_));
  }
  return ok_status();
}

}  // namespace holdfast::planner
