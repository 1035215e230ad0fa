// A whole pull: from a source to verified files in a folder of their own, ready to be imported.
// This side decides; only fetchers talk to the network.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "holdfast/base/result.h"
#include "holdfast/fetch/link.h"
#include "holdfast/fetch/policy.h"
#include "holdfast/fetch/source.h"
#include "holdfast/observe/secret.h"
#include "holdfast/platform/filesystem.h"

namespace holdfast::fetch {

// As the progress lines of the HTTP API have it.
struct PullEvent {
  std::string status;  // "pulling manifest", "pulling 9f43a1b2c3d4", "verifying sha256 digest"
  std::string digest;  // "sha256:..." of a file; empty otherwise
  std::uint64_t total = 0, completed = 0;
};

struct PullOptions {
  HostPolicy policy;
  // A fetcher for the origin of that URL (fetcher_process.h), or a stand-in of a test.
  std::function<Result<std::unique_ptr<Link>>(const Url& url, int output_fd,
                                              std::uint64_t output_bytes)>
      connect;
  std::string directory;  // of all pulls; created
  // Sent to exactly that origin, and nowhere else.
  observe::SecretText token;
  Origin token_origin;
  // Blobs of a Hugging Face cache ("<cache>/models--org--repo/blobs"); empty: none are reused.
  std::string hub_cache;
  unsigned parts = 8;
  std::uint64_t bandwidth_max = 0;
  std::chrono::milliseconds stall{30'000};
  std::function<void(const PullEvent&)> on_event;
  const std::atomic<bool>* cancel = nullptr;
};

struct Pulled {
  std::string path;  // to import: a file, or the folder
  std::string folder;
  bool has_signature = false;  // a model.sig lies beside the files
  // Where it came from.
  std::string url;
  std::string revision;  // commit, or the digest of a manifest
  std::string digest;    // "sha256:..." of the only or first file
  std::string license;   // as the hub states it; may be empty
  std::uint64_t bytes = 0;
  std::unique_ptr<platform::FileLock> lock;  // of the folder
};

// Errors of the network and of the other side as download(); kDenied for what policy and address
// rules refuse; kExhausted where the disk has no room for the files and the model made of them,
// before anything is fetched; kConflict while another process pulls the same; kCancelled. What was
// fetched stays, and the next pull goes on from there.
Result<Pulled> pull(platform::FileSystem& fs, const Source& source, const PullOptions& options);

// After the import: the files go. `fs` as for pull().
Status discard(platform::FileSystem& fs, Pulled pulled);

}  // namespace holdfast::fetch
