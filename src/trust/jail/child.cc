#include "holdfast/jail/child.h"

#include "holdfast/platform/filesystem.h"
#include "holdfast/platform/socket.h"

namespace holdfast::jail {

Result<JailedChild> start_child(const ChildOptions& options) {
  HF_TRY_ASSIGN(platform::SocketPair pair, platform::make_socket_pair());
  platform::SpawnOptions spawn;
  spawn.program = options.program;
  spawn.argv.emplace_back(platform::base_name(options.program));
  spawn.argv.insert(spawn.argv.end(), options.arguments.begin(), options.arguments.end());
  spawn.environment = options.environment;
  spawn.fds.push_back({pair.theirs.get(), kControlFd});
  int next = kFirstListedFd;
  for (const int fd : options.listed_fds) spawn.fds.push_back({fd, next++});
  if (options.log_fd >= 0) {
    spawn.fds.push_back({options.log_fd, 1});
    spawn.fds.push_back({options.log_fd, 2});
  }
  HF_TRY_ASSIGN(platform::Process process, platform::Process::spawn(spawn));
  return JailedChild{std::move(process), std::move(pair.ours)};
}

}  // namespace holdfast::jail
