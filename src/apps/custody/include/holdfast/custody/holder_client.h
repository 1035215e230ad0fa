// HolderClient: a connection to a key holder, which it finds running or starts.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/keyholder/service.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/platform/process.h"
#include "holdfast/platform/unique_fd.h"

namespace holdfast::custody {

struct HolderClientOptions {
  std::string data_dir;
  std::string program;  // holdfast-keyholder; empty: none is started
  // Other commands may use the holder that is started: a server's, not a command's own.
  bool share = false;
};

// Thread-compatible: one call at a time. The holder that it started ends with it.
class HolderClient {
 public:
  HolderClient(platform::FileSystem& files, HolderClientOptions options)
      : files_(files), options_(std::move(options)) {}
  ~HolderClient();

  // One request and its reply. Connects or starts first where there is no connection; a holder that
  // died is kUnavailable, and the next call starts another, sealed one. `fd` is passed along; -1:
  // none. Errors of the holder as keyring::Holder says.
  Result<Bytes> call(keyholder::Op op, ByteView body, int fd = -1);
  // Whether somebody else's holder answers (a running server's).
  bool is_shared() const { return socket_.valid() && !process_; }

 private:
  Status connect();
  Result<platform::UniqueFd> connect_running();
  Result<platform::UniqueFd> listen();
  Status start();
  Result<Bytes> exchange(ByteView request, int fd, platform::Deadline deadline);
  void disconnect();

  platform::FileSystem& files_;
  HolderClientOptions options_;
  platform::UniqueFd socket_;
  std::optional<platform::Process> process_;
  std::unique_ptr<platform::FileLock> door_;  // held while our holder listens
};

}  // namespace holdfast::custody
