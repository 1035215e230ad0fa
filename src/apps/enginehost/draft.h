// The draft model of a speculating engine: how it is loaded, and how it is joined to its model.
#pragma once

#include <memory>
#include <string_view>

#include "holdfast/base/result.h"
#include "load.h"

namespace holdfast::enginehost {

// "off", "ngram", "auto" or "draft". kInvalidArgument for another word.
Result<runtime::SpeculationOptions> parse_speculation(std::string_view word);
std::string_view speculation_name(const runtime::SpeculationOptions& options);

// Of the draft model that goes with a model loaded as `config` says.
LoadConfig draft_load_config(const LoadConfig& config);

// Gives `model`, which was planned with it, its draft model, and that a cache of as many pages.
// kInvalidArgument if the two have not the same tokens, kExhausted if there is no memory.
Status join_draft(LoadedModel& model, std::unique_ptr<LoadedModel> draft);

}  // namespace holdfast::enginehost
