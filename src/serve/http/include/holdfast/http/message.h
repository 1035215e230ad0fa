// HTTP messages as values: header list, request, response, and the error that the HTTP layer itself
// can give.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::http {

bool equal_ignoring_case(std::string_view a, std::string_view b);

// Fields in order; names are compared without case. Thread-compatible.
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<std::pair<std::string, std::string>> fields) : fields_(fields) {}

  void add(std::string name, std::string value) {
    fields_.emplace_back(std::move(name), std::move(value));
  }
  // Replaces every field of that name.
  void set(std::string_view name, std::string value);
  // The first one; nullptr if absent.
  const std::string* find(std::string_view name) const;
  std::string_view get(std::string_view name) const;  // empty if absent
  std::size_t count(std::string_view name) const;
  std::size_t size() const { return fields_.size(); }
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

// Who is at the other end. The address is never put into the header map.
struct Peer {
  enum class Kind : std::uint8_t { kTcp, kUnix };
  Kind kind = Kind::kTcp;
  std::string address;    // "127.0.0.1:40312", or "unix"
  std::uint32_t uid = 0;  // of a unix peer, as the kernel reports it
  std::uint32_t gid = 0;
  std::int32_t pid = 0;
};

struct Request {
  std::string id;      // echoed from x-request-id where that is well-formed, else new
  std::string method;  // as sent; methods are case-sensitive
  std::string target;  // as sent
  std::string path;    // decoded, slashes collapsed: target.h
  std::vector<std::pair<std::string, std::string>> query;
  int version_minor = 1;  // HTTP/1.0 or 1.1
  Headers headers;
  std::string body;
  Peer peer;
  std::vector<std::string> path_params;  // filled by the router
  std::string route;                     // pattern that matched; empty if none did
  std::chrono::steady_clock::time_point received_at{};
  std::shared_ptr<void> context;  // whatever the layer above keeps with it

  const std::string* query_value(std::string_view name) const;
  bool has_query(std::string_view name) const { return query_value(name) != nullptr; }
  // Time since the head was read; zero for a request whose head never was.
  std::chrono::nanoseconds age() const;
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
};

// A request refused by this layer, before or instead of a handler. `code` is the API's error code.
struct HttpError {
  int status = 400;
  std::string_view code = "invalid_request";
  std::string_view message = "The request is not valid HTTP.";
};

std::string_view status_text(int status);

// Status line and headers, ending with the empty line.
std::string format_head(int status, const Headers& headers);

}  // namespace holdfast::http
