// From a source to a model in the store: what `pull` does, and `run` for a model that is absent.
#pragma once

#include <string>

#include "context.h"
#include "holdfast/base/result.h"
#include "holdfast/registry/store.h"

namespace holdfast::cli {

struct PullFlags {
  std::string source;
  std::string name;      // in the store; empty: from the source
  std::string revision;  // of a hub repository
  std::string template_name;
  std::string token_file;
  bool hub_cache = false;  // reuse what the hub's own tool has fetched
};

// Fetches, verifies and imports, with progress on standard error or as NDJSON. kCancelled after
// Ctrl-C: what was fetched stays for the next time. kDenied in the profile classified.
Status pull_model(Context& context, const PullFlags& flags);

// The name under which a model that is not in the store is after this: where it can be pulled, asks
// on a terminal (--yes answers) and pulls it. Other names come back as they are.
Result<std::string> pull_if_absent(Context& context, const std::string& model);

}  // namespace holdfast::cli
