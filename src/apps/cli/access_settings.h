// What the settings say of keys and callers, and where the keys are.
#pragma once

#include <string>

#include "context.h"
#include "holdfast/gateway/gateway.h"

namespace holdfast::cli {

// DATA/keys: the files that docs/formats/keys.md describes.
std::string keys_directory(const Context& context);
struct KeyCount {
  std::size_t all = 0;
  std::size_t active = 0;  // neither revoked nor expired
};
// Of that directory. Damaged files are kCorrupt, such as others can read kDenied.
Result<KeyCount> count_keys(const Context& context);
// auth.mode as the gateway takes it.
gateway::AuthMode auth_mode(const config::Settings& settings);
// What the settings say of callers, for a server that is reachable from outside or not.
gateway::AuthOptions auth_options(const config::Settings& settings, bool public_listener);
gateway::CallerLimits caller_limits(const config::Settings& settings);

}  // namespace holdfast::cli
