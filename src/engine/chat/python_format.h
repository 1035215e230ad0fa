// Python's two ways to fill values into a text: "%s" % value and "{}".format(value); and replace()
// within limits.
#pragma once

#include "holdfast/base/result.h"
#include "runtime.h"

namespace holdfast::chat {

// format % values. kInvalidArgument where the values do not fit the format, kExhausted for a width
// above the limits.
Result<Value> format_percent(Runtime& runtime, const Text& format, const Value& values);
// format.format(arguments).
Result<Value> format_braces(Runtime& runtime, const Text& format, const Arguments& arguments);
Result<Value> replace_text(Runtime& runtime, const Text& text, const Text& old,
                           const Text& replacement, std::int64_t count);

}  // namespace holdfast::chat
