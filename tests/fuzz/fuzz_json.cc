// What is read is written as a text that reads as the same value; a lone number is the one that the
// C library reads.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "holdfast/json/json.h"

namespace {

using holdfast::json::Value;

// 3.0 is written "3" and -0.0 is written "-0", and both read as integers: kinds of numbers may
// differ, their values may not.
bool same(const Value& a, const Value& b) {
  if (a.is_number() || b.is_number()) {
    return a.is_number() && b.is_number() &&
           (a.is_int() && b.is_int() ? a.as_int() == b.as_int() : a.as_double() == b.as_double());
  }
  if (a.kind() != b.kind()) return false;
  if (a.is_array()) {
    const auto &x = a.as_array(), &y = b.as_array();
    if (x.size() != y.size()) return false;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (!same(x[i], y[i])) return false;
    }
    return true;
  }
  if (a.is_object()) {
    const auto &x = a.as_object(), &y = b.as_object();
    if (x.size() != y.size()) return false;
    for (auto i = x.begin(), j = y.begin(); i != x.end(); ++i, ++j) {
      if (i->key != j->key || !same(i->value, j->value) || x.find(i->key) != &i->value)
        return false;
    }
    return true;
  }
  return a == b;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace json = holdfast::json;
  const std::string text(reinterpret_cast<const char*>(data), size);
  // Small enough that an input of libFuzzer reaches them.
  const json::ParseLimits limits{.bytes_max = 4000, .depth_max = 16, .values_max = 400};
  const auto value = json::parse(text, limits);
  if (!value.ok()) return 0;
  if (size > limits.bytes_max) std::abort();
  if (value->is_number() && value->as_double() != std::strtod(text.c_str(), nullptr)) std::abort();
  for (const int indent : {0, 2}) {
    const auto again = json::parse(json::write(*value, {.indent = indent}));
    if (!again.ok() || !same(*value, *again)) std::abort();
  }
  return 0;
}
