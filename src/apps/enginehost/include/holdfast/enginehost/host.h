// The engine child: loads one model from an inherited descriptor and serves it over the control
// socket.
#pragma once

namespace holdfast::enginehost {

struct HostOptions {
  int control_fd = 3;
  bool verbose = false;  // log to standard error
};

// Runs until the control socket closes or Shutdown arrives; returns the exit status. Enters the
// jail before it reads anything. The calling thread becomes the engine's loop.
int run_engine(const HostOptions& options);

}  // namespace holdfast::enginehost
