// server.profile: what the regulated and the classified profile demand before a server starts.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "context.h"
#include "holdfast/base/result.h"
#include "holdfast/keyring/keyring_file.h"

namespace holdfast::cli {

// regulated or classified: a missing protection is a reason not to start.
bool is_strict(const config::Settings& settings);
bool is_classified(const config::Settings& settings);

// What the profile demands of settings and environment, one line each: empty where all is there, or
// nothing is demanded.
std::vector<std::string> unmet_demands(const config::Settings& settings,
                                       const config::Environment& environment);
// Slots that open with no more than a file: names for the user. A passphrase, a TPM or a token has
// to be among the factors of each.
std::vector<std::string> weak_slots(std::span<const keyring::SlotPlan> slots);

// kInvalidArgument that lists what is unmet, with the profile's name; ok for an empty list.
Status refuse_unmet(const config::Settings& settings, const std::vector<std::string>& unmet);

}  // namespace holdfast::cli
