// Hosts and ports as text: which part of an address is the host, and whether that is this machine.
#pragma once

#include <string_view>

namespace holdfast::http {

// "example.org:80" -> "example.org", "[::1]:80" -> "::1"; empty for a bracket that never closes.
std::string_view host_name(std::string_view host_and_port);

// 127.0.0.0/8, ::1 or "localhost": nobody outside this machine is there. A name that only begins
// like an address ("127.0.0.1.example.org") belongs to whoever owns it. With or without brackets.
bool is_loopback(std::string_view host);

// "::ffff:10.0.0.1", as a listener of both families sees 10.0.0.1, without its prefix; everything
// else as it is.
std::string_view without_mapping(std::string_view host);

}  // namespace holdfast::http
