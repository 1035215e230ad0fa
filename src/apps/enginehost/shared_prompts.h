// The prompts that an operator allows all tenants to share, as the tokens that requests begin with.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "load.h"

namespace holdfast::enginehost {

// For each text: how a conversation with it as its system message begins, whatever the user says,
// and how a plain prompt that begins with it does. A text that the model's template refuses has the
// second alone.
std::vector<std::vector<std::int32_t>> shared_prefixes(const LoadedModel& loaded,
                                                       std::span<const std::string> texts);

}  // namespace holdfast::enginehost
