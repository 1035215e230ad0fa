#include "holdfast/fetch/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>

namespace holdfast::fetch {
namespace {

struct FreeHandle {
  void operator()(CURLU* handle) const { curl_url_cleanup(handle); }
};
using Handle = std::unique_ptr<CURLU, FreeHandle>;

Error bad_url(std::string_view why) {
  return invalid_argument("not a usable URL: " + std::string(why));
}

// Bytes on which parsers disagree never reach one.
bool has_doubtful_bytes(std::string_view text) {
  return std::ranges::any_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte <= 0x20 || byte >= 0x7f || c == '\\';
  });
}

std::optional<std::string> part(CURLU* handle, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(handle, which, &text, flags) != CURLUE_OK) return std::nullopt;
  std::string out(text);
  curl_free(text);
  return out;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_ipv4(const std::string& host) {
  in_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1;
}

bool is_ipv6(const std::string& host) {
  in6_addr address{};
  return ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

bool is_label(std::string_view label) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-'; };
  return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
         std::ranges::all_of(label, plain);
}

// A name whose last label starts with a digit would be an address to some resolvers.
bool is_name(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  std::string_view last;
  for (std::string_view rest = host; true;) {
    const std::size_t dot = rest.find('.');
    last = rest.substr(0, dot);
    if (!is_label(last)) return false;
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  return !is_digit(last.front());
}

Result<std::string> host_of(CURLU* handle) {
  auto host = part(handle, CURLUPART_HOST);
  if (!host) return bad_url("it has no host");
  std::ranges::transform(*host, host->begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (host->size() > 2 && host->front() == '[' && host->back() == ']') {
    std::string inner = host->substr(1, host->size() - 2);
    if (!is_ipv6(inner)) return bad_url("the host is no address");
    return inner;
  }
  if (!is_ipv4(*host) && !is_name(*host))
    return bad_url("the host is neither a name nor an address");
  return *std::move(host);
}

Result<Url> from_handle(CURLU* handle) {
  Url url;
  url.scheme = part(handle, CURLUPART_SCHEME).value_or("");
  if (url.scheme != "https" && url.scheme != "http") return bad_url("only https is fetched");
  if (part(handle, CURLUPART_USER) || part(handle, CURLUPART_PASSWORD) ||
      part(handle, CURLUPART_ZONEID))
    return bad_url("a user name, password or zone in it is refused");
  HF_TRY_ASSIGN(url.host, host_of(handle));
  const std::string port = part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT).value_or("");
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), url.port);
  if (parsed.ec != std::errc() || parsed.ptr != port.data() + port.size() || url.port == 0)
    return bad_url("the port is not one");
  url.path = part(handle, CURLUPART_PATH).value_or("/");
  url.query = part(handle, CURLUPART_QUERY).value_or("");
  return url;
}

Status check_text(std::string_view text) {
  if (text.size() > kUrlBytesMax) return bad_url("it is longer than 8 KiB");
  if (has_doubtful_bytes(text))
    return bad_url("spaces, control characters, backslashes and other bytes have to be encoded");
  return ok_status();
}

// Exactly two slashes before a host, where there is one: libcurl takes one or three as well.
bool has_odd_slashes(std::string_view text) {
  const std::size_t mark = text.find_first_of(":/?#");
  if (mark != std::string_view::npos && text[mark] == ':') {
    if (text.substr(mark, 3) != "://") return true;
    text.remove_prefix(mark + 1);
  }
  return text.starts_with("///");
}

// The authority as it was written: libcurl decodes percent signs in it, others do not.
bool has_encoded_authority(std::string_view text) {
  const std::size_t mark = text.find_first_of(":/?#");
  if (mark != std::string_view::npos && text[mark] == ':') text.remove_prefix(mark + 1);
  if (!text.starts_with("//")) return false;
  return text.substr(2, text.find_first_of("/?#", 2) - 2).find('%') != std::string_view::npos;
}

}  // namespace

std::string Origin::text() const {
  const bool usual = port == (scheme == "https" ? 443 : 80);
  const std::string shown = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return scheme + "://" + shown + (usual ? "" : ":" + std::to_string(port));
}

std::string Url::authority() const { return origin().text().substr(scheme.size() + 3); }
std::string Url::shown() const { return origin().text() + path; }
std::string Url::text() const { return shown() + (query.empty() ? "" : "?" + query); }
bool Url::is_address() const { return is_ipv4(host) || is_ipv6(host); }

Result<Url> parse_url(std::string_view text) {
  HF_TRY(check_text(text));
  if (!text.starts_with("https://") && !text.starts_with("http://"))
    return bad_url("it does not begin with https://");
  if (has_odd_slashes(text)) return bad_url("it has no host");
  if (has_encoded_authority(text)) return bad_url("the host has a percent sign");
  const Handle handle(curl_url());
  if (!handle) return exhausted("out of memory");
  const std::string copy(text);
  if (curl_url_set(handle.get(), CURLUPART_URL, copy.c_str(), CURLU_DISALLOW_USER) != CURLUE_OK)
    return bad_url("it cannot be parsed");
  return from_handle(handle.get());
}

Result<Url> resolve_url(const Url& base, std::string_view reference) {
  HF_TRY(check_text(reference));
  if (reference.empty()) return bad_url("it is empty");
  if (has_odd_slashes(reference)) return bad_url("its slashes are not those of a URL");
  if (has_encoded_authority(reference)) return bad_url("the host has a percent sign");
  const Handle handle(curl_url());
  if (!handle) return exhausted("out of memory");
  const std::string start = base.text();
  const std::string copy(reference);
  if (curl_url_set(handle.get(), CURLUPART_URL, start.c_str(), CURLU_DISALLOW_USER) != CURLUE_OK ||
      curl_url_set(handle.get(), CURLUPART_URL, copy.c_str(), CURLU_DISALLOW_USER) != CURLUE_OK)
    return bad_url("it cannot be parsed");
  return from_handle(handle.get());
}

std::string encode_path(std::string_view path) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  constexpr std::string_view kPlain = "-._~/";
  std::string out;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c);
    if (letter || kPlain.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

}  // namespace holdfast::fetch
