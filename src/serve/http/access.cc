#include "access.h"

#include <algorithm>

#include "holdfast/http/address.h"

namespace holdfast::http {
namespace {

bool origin_allowed(const AccessOptions& options, std::string_view origin) {
  return std::find(options.cors_origins.begin(), options.cors_origins.end(), origin) !=
         options.cors_origins.end();
}

bool host_allowed(const AccessOptions& options, std::string_view host, std::string_view local) {
  const std::string_view name = host_name(host);
  if (name.empty()) return false;
  if (name == local) return true;
  if (is_loopback(without_mapping(local)) && is_loopback(without_mapping(name))) return true;
  return std::any_of(options.hosts.begin(), options.hosts.end(),
                     [&](const std::string& known) { return equal_ignoring_case(known, name); });
}

}  // namespace

std::optional<HttpError> check_access(const AccessOptions& options, const Request& request,
                                      std::string_view local_address) {
  if (!local_address.empty() &&
      !host_allowed(options, request.headers.get("host"), local_address) &&
      !(request.version_minor == 0 && request.headers.find("host") == nullptr)) {
    return HttpError{421, "misdirected_request", "This server does not answer for that host name."};
  }
  const std::string* origin = request.headers.find("origin");
  if (origin != nullptr && !origin_allowed(options, *origin)) {
    return HttpError{403, "origin_not_allowed", "Requests from this origin are not allowed."};
  }
  return std::nullopt;
}

bool answer_preflight(const AccessOptions& options, const Request& request, Response& out) {
  if (request.method != "OPTIONS") return false;
  out.status = 204;
  out.headers.set("Allow", "GET, POST, DELETE, OPTIONS");
  if (request.headers.find("origin") != nullptr) {
    out.headers.set("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS");
    out.headers.set("Access-Control-Allow-Headers", options.cors_allow_headers);
    out.headers.set("Access-Control-Max-Age", "600");
  }
  return true;
}

void add_cors_headers(const AccessOptions& options, const Request& request, Headers& headers) {
  const std::string* origin = request.headers.find("origin");
  if (origin == nullptr || !origin_allowed(options, *origin)) return;
  headers.set("Access-Control-Allow-Origin", *origin);
  headers.set("Access-Control-Expose-Headers", options.cors_expose_headers);
  headers.set("Vary", "Origin");
}

}  // namespace holdfast::http
