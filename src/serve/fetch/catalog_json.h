// Members of foreign JSON, read with a typed error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/json/json.h"

namespace holdfast::fetch {

// kCorrupt: the answer is not what such an answer has to be.
Error bad_catalog(std::string_view why);
// At most kCatalogBytesMax, little nesting.
Result<json::Value> parse_catalog(std::string_view text);
Result<std::string> member_text(const json::Value& value, std::string_view name);
// Not negative, at most kFileBytesMax.
Result<std::uint64_t> member_size(const json::Value& value, std::string_view name);

}  // namespace holdfast::fetch
