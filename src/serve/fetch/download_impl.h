// One download while it runs (download.h). Two files implement it: download.cc asks and finishes,
// download_answers.cc takes what comes back.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "holdfast/base/checked.h"
#include "holdfast/fetch/download.h"
#include "holdfast/fetch/journal.h"

namespace holdfast::fetch {

// What is read at a time to be hashed.
inline constexpr std::size_t kHashBytes = 1u << 20;

// One request that is under way.
struct Flight {
  std::size_t shard = 0;
  std::uint64_t first = 0, last = 0;
  std::uint64_t written = 0;
  std::size_t next_piece = 0;  // the first that is not complete
  bool taken = false;          // its head was the right one
  std::optional<crypto::Sha256Digest> digest;
};

// Owned by one thread.
class Download {
 public:
  Download(platform::FileSystem& fs, FileServer& server, const DownloadOptions& options)
      : fs_(fs), server_(server), options_(options) {}
  Status run();

 private:
  Status open();
  Status check_pieces();
  Status fetch_missing();
  Status repair();
  Status fetch_again(const std::vector<std::size_t>& shards, bool& changed);
  Status finish();

  std::size_t shards() const { return ceil_div(options_.size_bytes, kShardBytes); }
  std::size_t pieces_per_shard() const { return kShardBytes / journal_->head().piece_bytes; }
  std::size_t first_missing(std::size_t shard) const;
  bool is_missing(std::size_t piece) const { return !journal_->pieces()[piece].has_value(); }
  bool complete() const { return missing_pieces_ == 0; }
  // After the journal was opened or emptied.
  void count_pieces();
  Status drop_piece(std::size_t piece);
  std::uint64_t bytes_there() const;
  Status check_cancel() const;

  Status connect();
  Status launch();
  Status launch_shard(std::size_t shard);
  Status launch_whole();
  Status pump();
  Status handle(const Event& event);
  Status on_head(Flight& flight, const Head& head);
  Status on_answer(Flight& flight, const Head& head);
  Status on_whole_answer(const Head& head);
  Status on_other_status(const Head& head);
  Status on_progress(Flight& flight, std::uint64_t written);
  Status on_done(const Done& done);
  Status check_digest(const Flight& flight);
  Status strike(std::size_t shard, const Error& why);
  Status transient(Error why, std::chrono::milliseconds pause = {});
  Status restart(std::string etag);
  void drop_link();
  void keep_partial(const Flight& flight);
  Status add_piece(std::size_t piece);
  Status drop_pieces(std::uint64_t first, std::uint64_t last);

  platform::FileSystem& fs_;
  FileServer& server_;
  const DownloadOptions& options_;
  std::optional<Journal> journal_;
  std::optional<platform::File> file_;
  std::optional<Url> url_;
  std::unique_ptr<Link> link_;
  std::map<std::uint32_t, Flight> flights_;
  // Bytes of an incomplete piece that are in the file already, by shard: where they end.
  std::map<std::size_t, std::uint64_t> partial_;
  std::map<std::size_t, unsigned> strikes_;
  std::uint32_t next_id_ = 1;
  bool answered_ = false;   // the server has shown how it answers
  bool no_ranges_ = false;  // it sends the whole file or nothing
  unsigned failures_ = 0, restarts_ = 0, relocations_ = 0, redirects_ = 0, whole_attempts_ = 0;
  platform::Deadline not_before_ = platform::Deadline::after(std::chrono::nanoseconds(0));
  std::uint64_t unsynced_bytes_ = 0;
  // Counted along: a large file has a hundred thousand pieces, and as many events.
  std::size_t missing_pieces_ = 0;
  std::uint64_t present_bytes_ = 0;
  std::size_t first_open_shard_ = 0;  // those before it are complete
  Bytes buffer_;
};

}  // namespace holdfast::fetch
