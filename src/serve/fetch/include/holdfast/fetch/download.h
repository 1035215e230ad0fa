// One file from elsewhere: fetched in parts, resumed after a cut or a crash, verified before it
// gets its name.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "holdfast/base/result.h"
#include "holdfast/crypto/sha256.h"
#include "holdfast/fetch/link.h"
#include "holdfast/platform/filesystem.h"

namespace holdfast::fetch {

// Who has the file. Implemented over fetcher processes, and by tests. Owned by one thread.
class FileServer {
 public:
  FileServer() = default;
  FileServer(const FileServer&) = delete;
  FileServer& operator=(const FileServer&) = delete;
  virtual ~FileServer() = default;

  // Where the bytes are now. Called again when that place forbids it later: signed URLs expire.
  virtual Result<Url> locate() = 0;
  // Where a redirect leads, if it may be followed.
  virtual Result<Url> follow(const Url& from, std::string_view location) = 0;
  // Fields for a request there: a credential, only at its own origin.
  virtual Fields fields_for(const Url& url) = 0;
  // A fetcher for the origin of `url` that writes into that file.
  virtual Result<std::unique_ptr<Link>> connect(const Url& url, int output_fd,
                                                std::uint64_t output_bytes) = 0;
};

struct DownloadOptions {
  // The file in the end; until then "<path>.part" with "<path>.journal".
  std::string path;
  std::string identity;  // of these bytes, for the journal
  std::uint64_t size_bytes = 0;
  // One of the two is known.
  std::optional<crypto::Sha256Digest> sha256;
  std::string git_id;
  unsigned parts = 8;
  std::uint64_t bandwidth_max = 0;  // bytes a second, 0: any
  std::chrono::milliseconds stall{30'000};
  std::function<void(std::uint64_t done_bytes)> on_progress;
  std::function<void()> on_verify;
  const std::atomic<bool>* cancel = nullptr;
};

// A wrong shard is fetched again this often, then the download stops.
inline constexpr unsigned kStrikesMax = 3;

// The file is at its path, verified and on the device. kCorrupt where the other side's bytes are
// not those of the digest after three strikes, or keep changing; kUnavailable where it does not
// answer any more, and kCancelled: both can be resumed. kExhausted for a full disk; kDenied,
// kUnauthenticated, kNotFound as the server says.
Status download(platform::FileSystem& fs, FileServer& server, const DownloadOptions& options);

// True where a file's content has that digest or git id.
Result<bool> has_content(const platform::ByteSource& file,
                         const std::optional<crypto::Sha256Digest>& sha256,
                         const std::string& git_id, const std::atomic<bool>* cancel);

}  // namespace holdfast::fetch
