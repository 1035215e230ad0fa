#include "holdfast/http/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <string>

#include "holdfast/http/message.h"

namespace holdfast::http {

std::string_view host_name(std::string_view host_and_port) {
  if (!host_and_port.empty() && host_and_port.front() == '[') {
    const std::size_t end = host_and_port.find(']');
    return end == std::string_view::npos ? std::string_view() : host_and_port.substr(1, end - 1);
  }
  return host_and_port.substr(0, host_and_port.find(':'));
}

bool is_loopback(std::string_view host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  const std::string text(host);
  in_addr four{};
  if (::inet_pton(AF_INET, text.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  in6_addr six{};
  if (::inet_pton(AF_INET6, text.c_str(), &six) == 1) return IN6_IS_ADDR_LOOPBACK(&six);
  return equal_ignoring_case(host, "localhost");
}

std::string_view without_mapping(std::string_view host) {
  constexpr std::string_view kMapped = "::ffff:";
  const bool mapped = host.starts_with(kMapped) && host.find('.') != std::string_view::npos;
  return mapped ? host.substr(kMapped.size()) : host;
}

}  // namespace holdfast::http
