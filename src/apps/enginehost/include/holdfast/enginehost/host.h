// The engine child: loads one model from an inherited descriptor and serves it over the control
// socket.
#pragma once

#include <string_view>

namespace holdfast::enginehost {

struct HostOptions {
  int control_fd = 3;
  bool verbose = false;  // log to standard error
};

// Runs until the control socket closes or Shutdown arrives; returns the exit status. Enters the
// jail before it reads anything. The calling thread becomes the engine's loop.
int run_engine(const HostOptions& options);

// Instead of the engine: enters its jail and makes one attempt to reach the network
// (jail/egress.h). The exit status.
int probe_engine(std::string_view attempt, std::string_view targets);

}  // namespace holdfast::enginehost
