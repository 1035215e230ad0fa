// Request targets: bounded decoding and one canonical form of paths.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::http {

struct Target {
  std::string authority;  // of an absolute-form target, else empty
  std::string path;  // "/v1/models/org/name:tag": percent-decoded once, runs of slashes collapsed
  std::vector<std::pair<std::string, std::string>> query;  // decoded, '+' is a space
};

inline constexpr std::size_t kQueryFieldsMax = 64;

// Accepts origin-form, absolute-form and "*". kInvalidArgument: bad escapes, escaped NUL, invalid
// UTF-8, a fragment, dot segments, too many query fields.
Result<Target> parse_target(std::string_view target);

// Percent-decoding; kInvalidArgument on a bad escape or a NUL.
Result<std::string> percent_decode(std::string_view text, bool plus_is_space = false);
// Everything but unreserved characters and '/', ':' escaped: for paths that clients build.
std::string percent_encode_path(std::string_view text);

}  // namespace holdfast::http
