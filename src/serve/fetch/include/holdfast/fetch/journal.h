// The journal of a download: which pieces are in the file, with their digests. It survives kill -9
// at any point; what it says is checked against the file before it is believed. Format:
// docs/formats/download.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/crypto/sha256.h"
#include "holdfast/platform/filesystem.h"

namespace holdfast::fetch {

// What one request asks for, and what is fetched again when it is wrong.
inline constexpr std::uint64_t kShardBytes = std::uint64_t{8} << 20;
// What a journal entry covers: so small that all connections together have at most one shard on
// the way that a crash loses.
inline constexpr std::uint32_t kPieceBytesMin = 128 << 10;
inline constexpr std::uint32_t kPieceBytesMax = 1 << 20;
std::uint32_t piece_bytes_for(unsigned parts);
// How many connections a journal with such pieces allows.
unsigned parts_for(std::uint32_t piece_bytes, unsigned wanted);

struct JournalHead {
  std::string identity;  // what is fetched; another identity is another download
  std::uint64_t size_bytes = 0;
  std::uint32_t piece_bytes = kPieceBytesMax;
  std::string etag;  // of the server that the pieces came from; may be empty
  friend bool operator==(const JournalHead&, const JournalHead&) = default;
};

// Thread-compatible; one process at a time, by the lock of its folder.
class Journal {
 public:
  using Digests = std::vector<std::optional<crypto::Sha256Digest>>;

  // The journal at `path` if it is of that identity and size, else a new one. Damage at its end is
  // cut off, any other makes it new. `fs` outlives it.
  static Result<Journal> open(platform::FileSystem& fs, std::string path, const JournalHead& head);

  const JournalHead& head() const { return head_; }
  const Digests& pieces() const { return pieces_; }
  std::uint64_t piece_size(std::size_t index) const;

  Status add(std::size_t index, const crypto::Sha256Digest& digest);
  Status drop(std::size_t index);
  // Empty again, with another ETag; or the same pieces with an ETag that was not known.
  Status restart(std::string etag);
  Status set_etag(std::string etag);
  Status sync();

 private:
  Journal(platform::FileSystem& fs, std::string path, JournalHead head);
  // Whether `bytes` were a journal of this download.
  bool read(ByteView bytes);
  Status write_whole();
  Status append(std::size_t index, const crypto::Sha256Digest& digest);

  platform::FileSystem* fs_;
  std::string path_;
  JournalHead head_;
  Digests pieces_;
  std::unique_ptr<platform::File> file_;
  std::uint64_t end_ = 0;
};

}  // namespace holdfast::fetch
