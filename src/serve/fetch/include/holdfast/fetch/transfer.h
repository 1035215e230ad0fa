// The fetcher's side: HTTP over libcurl, for one origin, inside the jail.
#pragma once

#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/fetch/link.h"

namespace holdfast::fetch {

// libcurl and OpenSSL read files when they are first used: call it before the jail is closed, in a
// process with one thread.
Status prepare_transfers();

struct TransferSetup {
  Start start;
  std::vector<IpAddress> pinned;  // nothing else is connected to
  std::string ca_pem;             // content of start.ca_file
  int control_fd = -1;
  int output_fd = -1;
};

// Serves requests until the control socket closes. Redirects are reported, never followed. Bodies
// for the output are written only where judge_answer() takes them. Returns why it ended; ok where
// the other side closed.
Status serve_transfers(const TransferSetup& setup);

// Addresses of a name, asked for by a process of its own: `program look-up`, which may read the
// resolver's files, write nothing and ends with its answer. kNotFound, kUnavailable, kDeadline.
Result<std::vector<IpAddress>> look_up(const std::string& program, const std::string& host,
                                       platform::Deadline deadline);
// That process's side, at its control socket. Call it first thing.
Status serve_look_up(int control_fd);

}  // namespace holdfast::fetch
