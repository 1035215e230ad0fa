// A short English text in the public domain, for measuring without a file.
#pragma once

#include <string_view>

namespace holdfast::cli {

// From the Declaration of Independence of the United States, 1776; between 1200 and 2000 tokens.
extern const std::string_view kSampleText;

}  // namespace holdfast::cli
