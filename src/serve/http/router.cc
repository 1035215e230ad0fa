#include "holdfast/http/router.h"

#include <algorithm>

namespace holdfast::http {
namespace {

std::size_t literal_bytes(const std::vector<std::string>& literals) {
  std::size_t n = 0;
  for (const std::string& text : literals) n += text.size();
  return n;
}

// "/a/{x}/b" -> {"/a/", "/b"}
std::vector<std::string> split_pattern(std::string_view pattern) {
  std::vector<std::string> literals(1);
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '{') {
      i = pattern.find('}', i);
      literals.emplace_back();
    } else {
      literals.back() += pattern[i];
    }
  }
  return literals;
}

// Each parameter takes at least one byte; the last literal is anchored at the end, so the last
// parameter is greedy.
bool match(const std::vector<std::string>& literals, std::string_view path,
           std::vector<std::string>& params) {
  if (path.substr(0, literals.front().size()) != literals.front()) return false;
  std::size_t at = literals.front().size();
  for (std::size_t i = 1; i < literals.size(); ++i) {
    const std::string& literal = literals[i];
    std::size_t end = 0;
    if (i + 1 == literals.size()) {
      if (path.size() < at + 1 + literal.size()) return false;
      end = path.size() - literal.size();
      if (path.substr(end) != literal) return false;
    } else {
      end = path.find(literal, at + 1);
      if (end == std::string_view::npos) return false;
    }
    params.emplace_back(path.substr(at, end - at));
    at = end + literal.size();
  }
  return true;
}

}  // namespace

void Router::add(std::string_view method, std::string_view pattern, Handler handler) {
  if (pattern.find('{') == std::string_view::npos) {
    Route& route = exact_[std::string(pattern)];
    route.pattern = pattern;
    route.methods[std::string(method)] = std::move(handler);
    return;
  }
  auto at = std::find_if(patterns_.begin(), patterns_.end(),
                         [&](const Route& r) { return r.pattern == pattern; });
  if (at == patterns_.end()) {
    Route route;
    route.pattern = pattern;
    route.literals = split_pattern(pattern);
    const std::size_t length = literal_bytes(route.literals);
    at = std::find_if(patterns_.begin(), patterns_.end(),
                      [&](const Route& r) { return literal_bytes(r.literals) < length; });
    at = patterns_.insert(at, std::move(route));
  }
  at->methods[std::string(method)] = std::move(handler);
}

const Router::Route* Router::find_route(std::string_view path,
                                        std::vector<std::string>& params) const {
  if (const auto at = exact_.find(path); at != exact_.end()) return &at->second;
  for (const Route& route : patterns_) {
    params.clear();
    if (match(route.literals, path, params)) return &route;
  }
  params.clear();
  return nullptr;
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  Match out;
  std::string prefixed;
  const Route* route = find_route(path, out.params);
  if (route == nullptr) {
    prefixed = "/v1" + std::string(path);
    route = find_route(prefixed, out.params);
  }
  if (route == nullptr) return out;
  out.route = route->pattern;
  auto at = route->methods.find(method);
  if (at == route->methods.end() && method == "HEAD")
    at = route->methods.find(std::string_view("GET"));
  if (at != route->methods.end()) {
    out.handler = &at->second;
    return out;
  }
  for (const auto& [name, handler] : route->methods) {
    out.allow += (out.allow.empty() ? "" : ", ") + name;
  }
  out.allow += ", OPTIONS";
  return out;
}

}  // namespace holdfast::http
