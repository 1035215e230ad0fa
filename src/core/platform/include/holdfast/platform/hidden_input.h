// Reading a secret line from the terminal without showing it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/platform/unique_fd.h"

namespace holdfast::platform {

// Whether this process has a terminal of its own, whatever its standard streams are.
bool has_hidden_input();
// Writes the prompt and reads one line, which is not shown, into `out`: its length without the line
// end. kCancelled for an end of input, kExhausted for a longer line, kIo. The caller wipes `out`.
Result<std::size_t> read_hidden_line(std::string_view prompt, MutableBytes out);

// A file, pipe or device by name, close-on-exec: for secrets that shells pass as /dev/fd/N.
Result<UniqueFd> open_for_reading(const std::string& path);

}  // namespace holdfast::platform
