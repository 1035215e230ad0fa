// URLs of pulls: one parser (libcurl's own, so that what was checked is what is fetched) and
// stricter rules on top of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"

namespace holdfast::fetch {

inline constexpr std::size_t kUrlBytesMax = 8192;

// What a credential is bound to. Value.
struct Origin {
  std::string scheme;
  std::string host;
  std::uint16_t port = 0;
  // "https://host" or "https://host:8443".
  std::string text() const;
  friend bool operator==(const Origin&, const Origin&) = default;
};

// An absolute http or https URL without user name and fragment. Value.
struct Url {
  std::string scheme;  // "https" or "http"
  std::string host;    // lower case; an address of IPv6 without brackets
  std::uint16_t port = 0;
  std::string path = "/";
  std::string query;  // without "?"

  Origin origin() const { return {scheme, host, port}; }
  std::string text() const;
  // Without the query, which may hold a signature: for people and logs.
  std::string shown() const;
  // The host as it stands in a URL, with the port where it is not the scheme's.
  std::string authority() const;
  // True where the host is an address instead of a name.
  bool is_address() const;
  friend bool operator==(const Url&, const Url&) = default;
};

// kInvalidArgument for anything else than an http(s) URL whose host is a plain name or an address:
// user names, zone ids, percent signs in the host, control characters, spaces, backslashes and
// bytes beyond ASCII are refused. Other spellings of an IPv4 address come out as the address.
Result<Url> parse_url(std::string_view text);

// What `reference` of a Location header means at `base`. A fragment is dropped. As parse_url().
Result<Url> resolve_url(const Url& base, std::string_view reference);

// Percent-encodes one path: letters, digits and "-._~/" stay.
std::string encode_path(std::string_view path);

}  // namespace holdfast::fetch
