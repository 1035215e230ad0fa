// The sandbox of `holdfast serve` itself. It listens and starts children, so it cannot give up what
// they give up; it gives up every way out that the settings do not name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/jail/jail.h"

namespace holdfast::jail {

// What the settings name. The default names nothing: nothing can be connected.
struct ServerProfile {
  bool unix_sockets = false;  // a target is a unix socket
  // A unix socket is listened on after the start too: that of a key holder which is started anew.
  bool unix_listeners = false;
  // The one port that can be bound, 0 for any that the kernel finds free: this server's own.
  std::uint16_t listen_port = 0;
  std::vector<std::uint16_t> tcp_ports;  // ports of the targets that are reached over TCP
  bool resolves_names = false;           // a target has a name instead of an address
  // Programs that are not ours are started and listen on loopback ports that are chosen then. They
  // inherit what is taken away here, and may have to make code.
  bool runs_programs = false;

#ifdef HOLDFAST_TEST_HOOKS
  std::vector<Layer> left_out;  // as in Profile: landlock, write_xor_execute
#endif

  bool uses_tcp() const { return runs_programs || !tcp_ports.empty(); }
  bool operator==(const ServerProfile&) const = default;
};

// First half, while the process has one thread: no core files, not dumpable, no new privileges, no
// executable memory that was written, and TCP only to the ports of the profile and from its own
// (Landlock, for all threads that are started later and for children). The report has the layers of
// a server only.
JailReport begin_server_jail(const ServerProfile& profile);

// Second half, when every listener is bound: system calls, for all threads. Without targets over
// TCP no socket of the internet can be made, bound or connected, and without targets at all nothing
// can be connected; what the kernel offers around system calls (io_uring), into other processes and
// into the kernel is refused in every case. Refused calls fail with EACCES or EPERM. Adds its layer
// to the report.
void close_server_jail(const ServerProfile& profile, JailReport& report);

// What both would report here, found by a child that tries. Only while the process has one thread.
Result<JailReport> probe_server_jail(const ServerProfile& profile);

}  // namespace holdfast::jail
