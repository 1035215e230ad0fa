// Confining programs that are not ours: they cannot jail themselves, so they inherit what the
// thread that starts them has given up.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::jail {

struct ExternalProfile {
  std::vector<std::string> read;   // files and folders, besides the system's programs and libraries
  std::vector<std::string> write;  // files and folders
  std::uint64_t address_space_bytes = 0;  // RLIMIT_AS; 0: none
};

struct ExternalReport {
  bool no_new_privileges = false;
  int landlock_abi = 0;              // 0: this kernel has none, and files are not confined
  std::vector<std::string> missing;  // paths of the profile that are not there
};

// For the calling thread and every process that it starts, for good: no new privileges; files only
// as listed (the system's programs and libraries and /proc can be read and run). The network is not
// taken away: the program has to listen. kUnsupported where not even new privileges can be
// forbidden.
Result<ExternalReport> confine_calling_thread(const ExternalProfile& profile);

// Limits of a process that was just started: no core dump, 1024 descriptors, the address space.
Status limit_process(pid_t pid, const ExternalProfile& profile);

}  // namespace holdfast::jail
