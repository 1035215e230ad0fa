// The certificate and key files of a server: read at start, and again whenever they change.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "holdfast/base/result.h"
#include "holdfast/config/settings.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/tls/server.h"

namespace holdfast::cli {

// What server.tls_cert and server.tls_key name; nullptr where neither is set. kInvalidArgument
// where only one is, or the pair does not work.
Result<std::shared_ptr<const tls::ServerContext>> load_tls(const config::Settings& settings);

// Notices that one of the two files was replaced or written. Owner: serve. Thread-compatible.
class TlsFileWatch {
 public:
  // What is there now counts as seen.
  explicit TlsFileWatch(const config::Settings& settings);
  // True once after a change, when the files have been left alone from one call to the next: a
  // rotation replaces them one after the other, and half of it is no pair.
  bool changed();

 private:
  struct Stamp {
    std::uint64_t inode = 0, size = 0;
    std::int64_t modified_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  struct Stamps {
    Stamp certificate, key;
    bool operator==(const Stamps&) const = default;
  };
  Stamp stamp(const std::string& path);
  Stamps look();

  platform::PosixFileSystem files_;
  std::string certificate_, key_;
  Stamps used_, last_;
};

}  // namespace holdfast::cli
