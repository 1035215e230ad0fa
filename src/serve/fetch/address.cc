#include "holdfast/fetch/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

namespace holdfast::fetch {
namespace {

struct Range {
  std::string_view address;
  unsigned bits;
};

// Special-purpose registries of IANA, multicast, and what clouds answer metadata on.
constexpr Range kNotPublicV4[] = {
    {"0.0.0.0", 8},      {"10.0.0.0", 8},     {"100.64.0.0", 10}, {"127.0.0.0", 8},
    {"169.254.0.0", 16}, {"172.16.0.0", 12},  {"192.0.0.0", 24},  {"192.0.2.0", 24},
    {"192.88.99.0", 24}, {"192.168.0.0", 16}, {"198.18.0.0", 15}, {"198.51.100.0", 24},
    {"203.0.113.0", 24}, {"224.0.0.0", 4},    {"240.0.0.0", 4},   {"168.63.129.16", 32}};
// Inside 2000::/3, the only part of IPv6 that is routed.
constexpr Range kNotPublicV6[] = {
    {"2001::", 23}, {"2001:db8::", 32}, {"2002::", 16}, {"3fff::", 20}};
constexpr Range kRoutedV6 = {"2000::", 3};
constexpr Range kTranslatedV6 = {"64:ff9b::", 96};

bool same_bits(const IpAddress& a, const IpAddress& b, unsigned bits) {
  if (a.v4 != b.v4) return false;
  const unsigned whole = bits / 8;
  if (!std::equal(a.bytes.begin(), a.bytes.begin() + whole, b.bytes.begin())) return false;
  const unsigned rest = bits % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff << (8 - rest));
  return ((a.bytes[whole] ^ b.bytes[whole]) & mask) == 0;
}

bool within(const IpAddress& address, const Range& range) {
  const auto network = parse_address(range.address);
  return network.ok() && same_bits(address, *network, range.bits);
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, port);
  if (parsed.ec != std::errc() || parsed.ptr != end || port == 0) return std::nullopt;
  return port;
}

Error bad_entry(const std::string& entry) {
  return invalid_argument("pull.allow_private: '" + entry + "' is neither host:port nor a network")
      .with_hint("write 10.1.2.3:5000, registry.lan:443, [fd00::5]:443 or 10.1.0.0/16");
}

}  // namespace

std::string IpAddress::text() const {
  char out[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(v4 ? AF_INET : AF_INET6, bytes.data(), out, sizeof out);
  return out;
}

Result<IpAddress> parse_address(std::string_view text) {
  IpAddress address;
  const std::string copy(text);
  if (::inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1) {
    address.v4 = true;
    return address;
  }
  if (::inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) == 1) return address;
  return invalid_argument("not an address: " + copy);
}

bool is_public(const IpAddress& address) {
  const auto in = [&](const Range& range) { return within(address, range); };
  if (address.v4) return !std::ranges::any_of(kNotPublicV4, in);
  if (in(kTranslatedV6)) {
    IpAddress carried;
    carried.v4 = true;
    std::copy(address.bytes.begin() + 12, address.bytes.end(), carried.bytes.begin());
    return is_public(carried);
  }
  return in(kRoutedV6) && !std::ranges::any_of(kNotPublicV6, in);
}

bool PrivateRules::Network::contains(const IpAddress& other) const {
  return same_bits(address, other, bits);
}

Result<PrivateRules> PrivateRules::parse(const std::vector<std::string>& entries) {
  PrivateRules rules;
  for (const std::string& entry : entries) {
    if (const std::size_t slash = entry.find('/'); slash != std::string::npos) {
      Network network;
      auto address = parse_address(entry.substr(0, slash));
      const std::string_view bits = std::string_view(entry).substr(slash + 1);
      const auto parsed = std::from_chars(bits.data(), bits.data() + bits.size(), network.bits);
      if (!address.ok() || parsed.ec != std::errc() || parsed.ptr != bits.data() + bits.size() ||
          network.bits > (address->v4 ? 32u : 128u))
        return bad_entry(entry);
      network.address = *address;
      rules.networks_.push_back(network);
      continue;
    }
    const std::size_t colon = entry.rfind(':');
    const auto port = parse_port(colon == std::string::npos ? "" : entry.substr(colon + 1));
    // The parser of URLs decides what a host is, here as there.
    const auto url = parse_url("https://" + entry + "/");
    if (!port || !url.ok() || url->port != *port || url->path != "/") return bad_entry(entry);
    rules.hosts_.push_back({url->host, *port});
  }
  return rules;
}

bool PrivateRules::names(const Url& url) const {
  return std::ranges::any_of(
      hosts_, [&](const HostPort& h) { return h.host == url.host && h.port == url.port; });
}

bool PrivateRules::allows(const Url& url, const IpAddress& address) const {
  return names(url) ||
         std::ranges::any_of(networks_, [&](const Network& n) { return n.contains(address); });
}

bool PrivateRules::may_allow(const Url& url) const {
  if (names(url)) return true;
  if (networks_.empty()) return false;
  if (!url.is_address()) return true;
  const auto address = parse_address(url.host);
  return address.ok() && allows(url, *address);
}

Result<std::vector<IpAddress>> usable_addresses(const Url& url,
                                                const std::vector<IpAddress>& resolved,
                                                const PrivateRules& rules) {
  std::vector<IpAddress> usable;
  for (const IpAddress& address : resolved) {
    const bool named = rules.allows(url, address);
    if (!named && (url.scheme != "https" || !is_public(address))) {
      return Error(ErrorCode::kDenied, url.host + " has an address that pulls must not reach",
                   address.text())
          .with_hint(
              "private addresses are reached, and http:// is spoken, only where "
              "pull.allow_private names them: host:port or a network");
    }
    usable.push_back(address);
  }
  if (usable.empty()) return unavailable(url.host + " has no address");
  return usable;
}

}  // namespace holdfast::fetch
