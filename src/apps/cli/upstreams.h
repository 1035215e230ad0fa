// The upstreams of the settings as targets of the router.
#pragma once

#include <vector>

#include "holdfast/backend/upstream_backend.h"
#include "holdfast/config/settings.h"
#include "holdfast/custody/custody.h"
#include "holdfast/observe/log.h"
#include "holdfast/router/router.h"

namespace holdfast::cli {

// In the order of the settings. kInvalidArgument: an address that is none or that policy.egress
// forbids, or a credential that cannot be read. kUnavailable for one in a keyring that is sealed;
// nullptr: there is none. The logger and what `tracing` names outlive the
// targets.
Result<std::vector<router::Target>> upstream_targets(const config::Settings& settings,
                                                     const observe::Logger& logger,
                                                     backend::UpstreamTracing tracing,
                                                     custody::Custody* custody);

}  // namespace holdfast::cli
