// Which hosts a pull may talk to, by name: before anything is resolved or connected.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/fetch/address.h"
#include "holdfast/fetch/url.h"

namespace holdfast::fetch {

// Of one file, over all hosts.
inline constexpr unsigned kRedirectsMax = 10;

// Thread-compatible value.
class HostPolicy {
 public:
  // `registries` is the setting of that name: hosts, "*.example.org" or "host:port". Empty: the
  // hosts that sources name, and those that the built-in ones are known to send to.
  // kInvalidArgument names the entry.
  static Result<HostPolicy> create(const std::vector<std::string>& registries, PrivateRules rules);

  // The host that a source names. kDenied where the list does not have it, and for http:// where
  // pull.allow_private does not.
  Status check_source(const Url& url) const;
  // Where `from` sends on to: the same host, a listed one, or one that belongs to the source's.
  // Never from https to http. kDenied otherwise.
  Status check_redirect(const Url& source, const Url& from, const Url& to) const;
  // Where a registry sends for a token: its own origin's host, or a listed one.
  Status check_realm(const Url& registry, const Url& realm) const;

  const PrivateRules& rules() const { return rules_; }

 private:
  struct Entry {
    std::string host;        // "*.x" without the star: ".x"
    std::uint16_t port = 0;  // 0: that of the scheme
  };
  bool listed(const Url& url) const;
  Status check_scheme(const Url& url) const;
  std::vector<Entry> entries_;
  PrivateRules rules_;
};

}  // namespace holdfast::fetch
