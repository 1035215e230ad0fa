// Addresses that a pull may connect to: public ones, and the private ones that the settings name.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/fetch/url.h"

namespace holdfast::fetch {

// An IP address. Value.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};  // of IPv4 the first four
  bool v4 = false;
  std::string text() const;
  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};
// Dotted decimal or RFC 4291; kInvalidArgument for every other spelling.
Result<IpAddress> parse_address(std::string_view text);

// True for what is routed on the internet and is nobody's metadata service. Addresses of IPv6 that
// carry one of IPv4 are not, but for the translation prefix, where the carried one decides.
bool is_public(const IpAddress& address);

// The setting pull.allow_private. Thread-compatible value.
class PrivateRules {
 public:
  // Each entry is "host:port", "address:port", "[address]:port" or a network "address/bits".
  // kInvalidArgument names the entry.
  static Result<PrivateRules> parse(const std::vector<std::string>& entries);

  // The entry names that host (as in the URL) and port, or a network with that address.
  bool allows(const Url& url, const IpAddress& address) const;
  // Some entry could allow it once its address is known: needed for http.
  bool may_allow(const Url& url) const;
  bool names(const Url& url) const;

 private:
  struct HostPort {
    std::string host;
    std::uint16_t port = 0;
  };
  struct Network {
    IpAddress address;
    unsigned bits = 0;
    bool contains(const IpAddress& other) const;
  };
  std::vector<HostPort> hosts_;
  std::vector<Network> networks_;
};

// Of the addresses that a name has, those that may be connected to, in their order. kDenied where
// there is none; a name with one public and one private address is refused whole, because nobody
// publishes that in good faith.
Result<std::vector<IpAddress>> usable_addresses(const Url& url,
                                                const std::vector<IpAddress>& resolved,
                                                const PrivateRules& rules);

}  // namespace holdfast::fetch
