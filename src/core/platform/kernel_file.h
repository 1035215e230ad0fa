// Reads the small text files in which the kernel answers questions.
#pragma once

#include <optional>
#include <string>

namespace holdfast::platform {

// The content without the last newline, at most 64 KiB of it; nullopt where it cannot be read.
std::optional<std::string> read_kernel_file(const std::string& path);

}  // namespace holdfast::platform
