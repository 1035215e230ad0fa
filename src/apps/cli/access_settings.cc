#include "access_settings.h"

#include <unistd.h>

#include "holdfast/identity/key_store.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/entropy.h"
#include "holdfast/platform/filesystem.h"

namespace holdfast::cli {

using config::Setting;

std::string keys_directory(const Context& context) { return context.data_dir + "/keys"; }

Result<KeyCount> count_keys(const Context& context) {
  platform::PosixFileSystem files;
  platform::SystemEntropy entropy;
  const platform::Clock& clock = platform::system_clock();
  const std::string directory = keys_directory(context);
  const identity::KeyStore store(files, directory, entropy, clock);
  HF_TRY_ASSIGN(const std::vector<identity::KeyRecord> keys, store.list());
  if (files.exists(identity::KeyStore::pepper_path(directory))) {
    const auto pepper = identity::read_pepper(files, directory);
    if (!pepper.ok()) return pepper.error();
  }
  KeyCount out;
  for (const identity::KeyRecord& key : keys) {
    ++out.all;
    if (key.active(platform::unix_seconds(clock.wall_time()))) ++out.active;
  }
  return out;
}

gateway::AuthMode auth_mode(const config::Settings& settings) {
  const std::string& mode = settings.text(Setting::auth_mode);
  if (mode == "off") return gateway::AuthMode::kOff;
  return mode == "required" ? gateway::AuthMode::kRequired : gateway::AuthMode::kAuto;
}

gateway::AuthOptions auth_options(const config::Settings& settings, bool public_listener) {
  gateway::AuthOptions out;
  out.mode = auth_mode(settings);
  out.public_listener = public_listener;
  out.metrics_auth = settings.flag(Setting::metrics_auth);
  out.fail_limit = static_cast<std::uint64_t>(settings.integer(Setting::auth_fail_limit));
  out.owner_uid = ::geteuid();
  out.proxies = settings.list(Setting::server_tls_terminated_upstream);
  return out;
}

gateway::CallerLimits caller_limits(const config::Settings& settings) {
  gateway::CallerLimits out;
  out.requests_per_key =
      static_cast<std::uint32_t>(settings.integer(Setting::limits_requests_per_key));
  out.quotas.requests_per_minute =
      static_cast<std::uint64_t>(settings.integer(Setting::quota_requests_per_minute));
  out.quotas.tokens_per_day =
      static_cast<std::uint64_t>(settings.integer(Setting::quota_tokens_per_day));
  return out;
}

}  // namespace holdfast::cli
