// What a pull may do and with which credentials, from settings, environment and flags.
#pragma once

#include "context.h"
#include "holdfast/base/result.h"
#include "holdfast/fetch/pull.h"
#include "pull_model.h"

namespace holdfast::cli {

// The source that is meant. kDenied in the profile classified, and with HF_HUB_OFFLINE.
Result<fetch::Source> pull_source(const Context& context, const PullFlags& flags);

// Everything but the callbacks. `directory` is where pulls keep their files.
Result<fetch::PullOptions> pull_options(const Context& context, const PullFlags& flags,
                                        const fetch::Source& source, std::string directory);

}  // namespace holdfast::cli
