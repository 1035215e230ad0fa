// Router: method and path to handler. Paths are matched exactly, or by prefix with the rest as one
// parameter.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/http/server.h"

namespace holdfast::http {

// Built before serving, then read only: thread-safe to read.
class Router {
 public:
  // Pattern: literal segments and {names}; a parameter takes the rest of the path up to the literal
  // text that follows it, so ids with '/' and ':' work: "/v1/models/{id}",
  // "/holdfast/v1/models/{id}/load". Exact paths go before patterns, longer literal text before
  // shorter.
  void add(std::string_view method, std::string_view pattern, Handler handler);

  struct Match {
    const Handler* handler = nullptr;
    std::string route;  // the pattern
    std::vector<std::string> params;
    std::string allow;  // methods of the path, for 405, when handler is nullptr; empty: 404
  };
  // Tries the path itself, then with "/v1" before it. HEAD finds the GET handler.
  Match find(std::string_view method, std::string_view path) const;

 private:
  struct Route {
    std::string pattern;
    std::vector<std::string> literals;  // n parameters have n + 1 literals
    std::map<std::string, Handler, std::less<>> methods;
  };
  const Route* find_route(std::string_view path, std::vector<std::string>& params) const;

  std::map<std::string, Route, std::less<>> exact_;
  std::vector<Route> patterns_;
};

}  // namespace holdfast::http
