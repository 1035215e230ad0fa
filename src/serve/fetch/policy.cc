#include "holdfast/fetch/policy.h"

#include <algorithm>

namespace holdfast::fetch {
namespace {

// Content of these hosts lies with others, which they send to.
struct Companion {
  std::string_view source;
  std::string_view target;  // ".x": every name below x
};
constexpr Companion kCompanions[] = {{"huggingface.co", ".huggingface.co"},
                                     {"huggingface.co", ".hf.co"},
                                     {"registry.ollama.ai", ".r2.cloudflarestorage.com"}};

bool matches(std::string_view host, std::string_view pattern) {
  return pattern.starts_with('.') ? host.ends_with(pattern) && host.size() > pattern.size()
                                  : host == pattern;
}

Error not_listed(const Url& url) {
  return Error(ErrorCode::kDenied, "pulls may not go to " + url.authority())
      .with_hint("name the host in pull.registries");
}

}  // namespace

Result<HostPolicy> HostPolicy::create(const std::vector<std::string>& registries,
                                      PrivateRules rules) {
  HostPolicy policy;
  policy.rules_ = std::move(rules);
  for (const std::string& text : registries) {
    const bool below = text.starts_with("*.");
    const std::string plain = below ? text.substr(2) : text;
    const auto url = parse_url("https://" + plain + "/");
    const bool whole = url.ok() && url->path == "/" && url->query.empty();
    if (!whole || (below && url->is_address())) {
      return invalid_argument("pull.registries: '" + text + "' is not a host")
          .with_hint("write huggingface.co, *.example.org or registry.lan:5000");
    }
    const bool has_port = url->port != 443;
    policy.entries_.push_back(
        {(below ? "." : "") + url->host, has_port ? url->port : std::uint16_t{0}});
  }
  return policy;
}

bool HostPolicy::listed(const Url& url) const {
  const std::uint16_t usual = url.scheme == "https" ? 443 : 80;
  return std::ranges::any_of(entries_, [&](const Entry& e) {
    return matches(url.host, e.host) && url.port == (e.port == 0 ? usual : e.port);
  });
}

Status HostPolicy::check_scheme(const Url& url) const {
  if (url.scheme == "https" || rules_.may_allow(url)) return ok_status();
  return Error(ErrorCode::kDenied, url.authority() + " would be reached without TLS")
      .with_hint("http:// is spoken only with what pull.allow_private names");
}

Status HostPolicy::check_source(const Url& url) const {
  HF_TRY(check_scheme(url));
  if (entries_.empty() || listed(url)) return ok_status();
  return not_listed(url);
}

Status HostPolicy::check_redirect(const Url& source, const Url& from, const Url& to) const {
  const bool same = to.host == source.host && to.port == source.port;
  const bool known = std::ranges::any_of(kCompanions, [&](const Companion& c) {
    return source.host == c.source && to.port == 443 && matches(to.host, c.target);
  });
  if (!same && !known && !listed(to) && !rules_.names(to)) {
    return Error(ErrorCode::kDenied,
                 from.authority() + " sends on to " + to.authority() + ", which is not allowed")
        .with_hint("if that is right, name both hosts in pull.registries");
  }
  if (from.scheme == "https" && to.scheme != "https")
    return Error(ErrorCode::kDenied, from.authority() + " sends on to an address without TLS");
  return check_scheme(to);
}

Status HostPolicy::check_realm(const Url& registry, const Url& realm) const {
  if (realm.origin() == registry.origin() || listed(realm) || rules_.names(realm))
    return check_scheme(realm);
  return Error(ErrorCode::kDenied, registry.authority() + " asks for a token from " +
                                       realm.authority() + ", which is not allowed")
      .with_hint("if that is right, name both hosts in pull.registries");
}

}  // namespace holdfast::fetch
