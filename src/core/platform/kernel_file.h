// Reads the small text files in which the kernel answers questions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::platform {

// The content without the last newline, at most 64 KiB of it; nullopt where it cannot be read.
std::optional<std::string> read_kernel_file(const std::string& path);

// The number that a text begins with, or that a file holds.
std::optional<std::uint64_t> parse_u64(std::string_view text);
std::optional<std::uint64_t> read_u64(const std::string& path);

// The directories of this process's control group, from its own up to the mount's root: a limit
// anywhere on the way binds. `root` is prepended to /proc and /sys.
std::vector<std::string> cgroup_directories(const std::string& root, std::string_view controller);

}  // namespace holdfast::platform
