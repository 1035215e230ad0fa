// A fetcher as a process of its own: started for one origin, killed when this object goes.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "holdfast/base/result.h"
#include "holdfast/fetch/link.h"
#include "holdfast/fetch/policy.h"

namespace holdfast::fetch {

struct FetcherOptions {
  std::string program;  // holdfast-fetcher
  std::string ca_file;  // certificates of authorities, PEM
  // "http://host:port"; empty: none. Not for hosts that pull.allow_private names.
  std::string proxy;
  // A jail with a missing layer is refused (profile regulated) instead of reported.
  bool jail_must_be_complete = false;
  // Called with what is missing of a jail, once per process that misses something.
  std::function<void(const std::string& missing)> on_degraded;
};

// Starts a fetcher for the origin of `url`, lets it look up the name, judges the addresses by
// `rules`, pins those, and waits until its jail is closed. `output_fd` (-1: none) is a file of
// `output_bytes` that it may write. kDenied for addresses that are not allowed, kNotFound and
// kUnavailable for names, kUnsupported for a jail that cannot be closed.
Result<std::unique_ptr<Link>> start_fetcher(const FetcherOptions& options, const Url& url,
                                            const PrivateRules& rules, int output_fd,
                                            std::uint64_t output_bytes);

}  // namespace holdfast::fetch
