// The parent's side: starting a program that will jail itself.
#pragma once

#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/platform/process.h"
#include "holdfast/platform/unique_fd.h"

namespace holdfast::jail {

// Descriptors of a child by convention: its end of the control socket, then the listed ones.
inline constexpr int kControlFd = 3;
inline constexpr int kFirstListedFd = 4;

struct ChildOptions {
  std::string program;                   // holdfast-engine
  std::vector<std::string> arguments;    // without argv[0]
  std::vector<std::string> environment;  // "NAME=value"; usually empty
  std::vector<int> listed_fds;           // become kFirstListedFd, kFirstListedFd + 1, ...
  int log_fd = -1;                       // becomes standard output and error; -1: as the parent's
};

// A child and our end of its control socket. The child is killed when this is destroyed; it also
// ends by itself when the socket closes. Thread-compatible.
struct JailedChild {
  platform::Process process;
  platform::UniqueFd control;
};

// The child is to be trusted with nothing before it said on the control socket that its jail is
// closed (engine/wire). Errors as platform::Process::spawn.
Result<JailedChild> start_child(const ChildOptions& options);

}  // namespace holdfast::jail
