// The key holder's whole process.
#pragma once

#include <string_view>

namespace holdfast::keyholder {

// Descriptors by convention (jail/child.h): control, then the listener.
inline constexpr int kControlFd = 3;
inline constexpr int kListenerFd = 4;

// Closes the jail, says so with one frame (an empty reply) and serves until the control socket
// closes; every key is wiped then. The exit status. Call it first thing, in a process with one
// thread.
int run_holder(bool with_listener);

// Instead of the holder: closes its jail and makes one attempt to reach the network
// (jail/egress.h). The exit status.
int probe_holder(std::string_view attempt, std::string_view targets);

}  // namespace holdfast::keyholder
