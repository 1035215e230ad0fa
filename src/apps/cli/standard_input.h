// Text that was piped to the command.
#pragma once

#include <string>

#include "holdfast/base/result.h"

namespace holdfast::cli {

// All of standard input without the line ends at its end; empty where it is closed.
// kInvalidArgument above what one message to an engine carries.
Result<std::string> read_standard_input();

}  // namespace holdfast::cli
