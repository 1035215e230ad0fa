// Dates as Python's strftime writes them in the C locale.
#pragma once

#include <string>
#include <string_view>

#include "holdfast/chat/template.h"

namespace holdfast::chat {

// Like a Python time without zone, so %z and %Z are empty. Unknown conversions stay as they are.
std::string format_time(const RenderTime& time, std::string_view format);

}  // namespace holdfast::chat
