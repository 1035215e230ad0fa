// The key holder's whole process.
#pragma once

namespace holdfast::keyholder {

// Descriptors by convention (jail/child.h): control, then the listener.
inline constexpr int kControlFd = 3;
inline constexpr int kListenerFd = 4;

// Closes the jail, says so with one frame (an empty reply) and serves until the control socket
// closes; every key is wiped then. The exit status. Call it first thing, in a process with one
// thread.
int run_holder(bool with_listener);

}  // namespace holdfast::keyholder
