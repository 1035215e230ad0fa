// JSON whose large tables are handed over while they are read.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/json/json.h"

namespace holdfast::json {

// A container whose content is handed over one by one, in the order of the text, instead of being
// kept: a table of a million entries then costs what its taker keeps. The container itself stays in
// the value, empty, and its members may have equal keys: telling them apart is the taker's
// business.
struct Stream {
  std::vector<std::string_view> path;  // names of members from the root; not empty
  // The key of a member (empty for elements of an array). An error ends the parse and is returned.
  std::function<Status(std::string_view key, Value value)> take;
};

// As parse() of json.h; what streams take does not count towards `values_max`.
Result<Value> parse(std::string_view text, const ParseLimits& limits,
                    std::span<const Stream> streams);

}  // namespace holdfast::json
