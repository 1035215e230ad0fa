// Reading [upstream.<name>] tables.
#pragma once

#include <toml++/toml.h>
#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/config/upstream.h"

namespace holdfast::config {

// Upstreams that one server can have.
inline constexpr std::size_t kUpstreamsMax = 64;

// The table [upstream] of one file: each member is an upstream. One with a name that is known
// already replaces that whole. kInvalidArgument names file, line, key and what is allowed.
Status read_upstreams(const toml::node& node, const std::string& path,
                      std::vector<UpstreamSettings>& into);

}  // namespace holdfast::config
