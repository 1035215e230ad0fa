#include "holdfast/json/toml.h"

#include <toml++/toml.h>

#include <cmath>
#include <sstream>

namespace holdfast::json {

namespace {

constexpr int kDepthMax = 32;

Result<Value> convert(const toml::node& node, int depth);

Result<Value> convert_table(const toml::table& table, int depth) {
  Object out;
  for (const auto& [key, node] : table) {
    HF_TRY_ASSIGN(Value v, convert(node, depth));
    out.set(std::string(key.str()), std::move(v));
  }
  return Value(std::move(out));
}

Result<Value> convert(const toml::node& node, int depth) {
  if (depth > kDepthMax) return exhausted("nested too deeply");
  if (const auto* t = node.as_table()) return convert_table(*t, depth + 1);
  if (const auto* a = node.as_array()) {
    Array out;
    for (const toml::node& element : *a) {
      HF_TRY_ASSIGN(Value v, convert(element, depth + 1));
      out.push_back(std::move(v));
    }
    return Value(std::move(out));
  }
  if (const auto* s = node.as_string()) return Value(s->get());
  if (const auto* i = node.as_integer()) return Value(i->get());
  if (const auto* b = node.as_boolean()) return Value(b->get());
  if (const auto* f = node.as_floating_point()) {
    if (!std::isfinite(f->get())) return invalid_argument("a number is not finite");
    return Value(f->get());
  }
  std::ostringstream text;
  if (const auto* d = node.as_date()) text << d->get();
  if (const auto* t = node.as_time()) text << t->get();
  if (const auto* dt = node.as_date_time()) text << dt->get();
  return Value(text.str());
}

}  // namespace

Result<Value> parse_toml(std::string_view text, std::string_view name) {
  if (text.size() > kTomlBytesMax)
    return exhausted(std::string(name) + ": the document is larger than 1 MiB");
  try {
    const toml::table root = toml::parse(text, std::string(name));
    auto value = convert_table(root, 0);
    if (value.ok()) return value;
    return Error(value.error().code(), std::string(name) + ": " + value.error().client_message());
  } catch (const toml::parse_error& e) {
    return invalid_argument(std::string(name) + " line " + std::to_string(e.source().begin.line) +
                            ": " + std::string(e.description()));
  }
}

}  // namespace holdfast::json
