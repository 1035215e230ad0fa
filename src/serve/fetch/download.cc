#include "holdfast/fetch/download.h"

#include <algorithm>
#include <utility>

#include "download_impl.h"
#include "holdfast/crypto/git_blob.h"

namespace holdfast::fetch {
namespace {

// Of a server without ranges: each attempt begins at the first byte.
constexpr unsigned kWholeAttemptsMax = 5;
constexpr std::uint64_t kGitBlobBytesMax = 64u << 20;
constexpr std::uint64_t kSyncBytes = std::uint64_t{256} << 20;

Error stopped() {
  return cancelled("the pull was stopped").with_hint("the same command resumes it");
}

}  // namespace

Status Download::check_cancel() const {
  if (options_.cancel != nullptr && *options_.cancel) return stopped();
  return ok_status();
}

// ---- What is there

Status Download::open() {
  const std::string part = options_.path + ".part";
  auto file = platform::File::open_update(part);
  if (!file.ok() && file.error().code() == ErrorCode::kNotFound)
    file = platform::File::create(part, 0600);
  HF_TRY_ASSIGN(file_, std::move(file));
  HF_TRY_ASSIGN(journal_, Journal::open(fs_, options_.path + ".journal",
                                        {options_.identity, options_.size_bytes,
                                         piece_bytes_for(options_.parts), ""}));
  if (file_->size() != options_.size_bytes) HF_TRY(file_->truncate(options_.size_bytes));
  count_pieces();
  return check_pieces();
}

// A crash of the machine can lose bytes that the journal has.
Status Download::check_pieces() {
  std::uint64_t checked = 0;
  for (std::size_t i = 0; i < journal_->pieces().size(); ++i) {
    if (is_missing(i)) continue;
    HF_TRY(check_cancel());
    buffer_.resize(journal_->piece_size(i));
    HF_TRY(file_->read_at(std::uint64_t{i} * journal_->head().piece_bytes, buffer_));
    if (crypto::sha256(buffer_) != *journal_->pieces()[i]) HF_TRY(drop_piece(i));
    checked += buffer_.size();
    if (options_.on_progress) options_.on_progress(checked);
  }
  return ok_status();
}

std::uint64_t Download::bytes_there() const {
  std::uint64_t bytes = present_bytes_;
  for (const auto& [id, flight] : flights_) {
    const std::uint64_t counted = std::max<std::uint64_t>(
        flight.first, std::uint64_t{flight.next_piece} * journal_->head().piece_bytes);
    const std::uint64_t reached = flight.first + flight.written;
    if (reached > counted) bytes += reached - counted;
  }
  return std::min(bytes, options_.size_bytes);
}

void Download::count_pieces() {
  missing_pieces_ = 0;
  present_bytes_ = 0;
  first_open_shard_ = 0;
  for (std::size_t i = 0; i < journal_->pieces().size(); ++i) {
    if (is_missing(i)) {
      ++missing_pieces_;
    } else {
      present_bytes_ += journal_->piece_size(i);
    }
  }
}

Status Download::drop_piece(std::size_t piece) {
  if (is_missing(piece)) return ok_status();
  HF_TRY(journal_->drop(piece));
  ++missing_pieces_;
  present_bytes_ -= journal_->piece_size(piece);
  first_open_shard_ = std::min(first_open_shard_, piece / pieces_per_shard());
  return ok_status();
}

// The first missing piece of a shard, or the first of the next shard.
std::size_t Download::first_missing(std::size_t shard) const {
  const std::size_t end = std::min((shard + 1) * pieces_per_shard(), journal_->pieces().size());
  std::size_t piece = shard * pieces_per_shard();
  while (piece < end && !is_missing(piece)) ++piece;
  return piece < end ? piece : (shard + 1) * pieces_per_shard();
}

Status Download::add_piece(std::size_t piece) {
  buffer_.resize(journal_->piece_size(piece));
  HF_TRY(file_->read_at(std::uint64_t{piece} * journal_->head().piece_bytes, buffer_));
  if (is_missing(piece)) {
    --missing_pieces_;
    present_bytes_ += buffer_.size();
  }
  HF_TRY(journal_->add(piece, crypto::sha256(buffer_)));
  unsynced_bytes_ += buffer_.size();
  if (unsynced_bytes_ < kSyncBytes) return ok_status();
  unsynced_bytes_ = 0;
  HF_TRY(file_->sync());
  return journal_->sync();
}

Status Download::drop_pieces(std::uint64_t first, std::uint64_t last) {
  const std::uint32_t size = journal_->head().piece_bytes;
  for (std::uint64_t i = first / size; i <= last / size; ++i) HF_TRY(drop_piece(i));
  return ok_status();
}

// ---- Asking

Status Download::connect() {
  if (!url_) {
    HF_TRY_ASSIGN(url_, server_.locate());
  }
  HF_TRY_ASSIGN(link_, server_.connect(*url_, file_->fd(), options_.size_bytes));
  return ok_status();
}

void Download::drop_link() {
  for (const auto& [id, flight] : flights_) keep_partial(flight);
  flights_.clear();
  link_.reset();
}

void Download::keep_partial(const Flight& flight) {
  if (!no_ranges_ && flight.taken && flight.written > 0)
    partial_[flight.shard] = flight.first + flight.written;
}

Status Download::launch_shard(std::size_t shard) {
  const std::uint32_t size = journal_->head().piece_bytes;
  const std::size_t piece = first_missing(shard);
  std::size_t end = piece;
  const std::size_t shard_end =
      std::min((shard + 1) * pieces_per_shard(), journal_->pieces().size());
  while (end < shard_end && is_missing(end)) ++end;
  Flight flight;
  flight.shard = shard;
  flight.first = std::uint64_t{piece} * size;
  flight.last = std::min(std::uint64_t{end} * size, options_.size_bytes) - 1;
  flight.next_piece = piece;
  // What an earlier connection brought of this piece stays.
  const auto partial = partial_.find(shard);
  if (partial != partial_.end()) {
    if (partial->second > flight.first && partial->second < flight.first + size)
      flight.first = std::min(partial->second, flight.last);
    partial_.erase(partial);
  }
  Request request{next_id_++, false, *url_, server_.fields_for(*url_), Sink::kOutput, true};
  request.first = flight.first;
  request.last = flight.last;
  request.total = options_.size_bytes;
  request.stall_ms = static_cast<std::uint32_t>(options_.stall.count());
  if (options_.bandwidth_max > 0)
    request.bytes_per_second = std::max<std::uint64_t>(1, options_.bandwidth_max / options_.parts);
  const std::string& etag = journal_->head().etag;
  if (etag.starts_with('"')) request.fields.emplace_back("If-Range", etag);
  HF_TRY(link_->send(request));
  flights_.emplace(request.id, flight);
  return ok_status();
}

// Without ranges nothing can be resumed: everything, from the start.
Status Download::launch_whole() {
  if (!flights_.empty()) return ok_status();
  if (++whole_attempts_ > kWholeAttemptsMax) {
    return unavailable(url_->authority() + " cannot resume, and never sent the whole file")
        .with_hint("pull over a better connection, or from a server that knows ranges");
  }
  HF_TRY(journal_->restart(""));
  count_pieces();
  Flight flight;
  flight.last = options_.size_bytes - 1;
  Request request{next_id_++, false, *url_, server_.fields_for(*url_), Sink::kOutput, false};
  request.total = options_.size_bytes;
  request.stall_ms = static_cast<std::uint32_t>(options_.stall.count());
  request.bytes_per_second = options_.bandwidth_max;
  HF_TRY(link_->send(request));
  flights_.emplace(request.id, flight);
  return ok_status();
}

Status Download::launch() {
  if (!not_before_.passed()) return ok_status();
  if (!link_) {
    Status connected = connect();
    const bool later = !connected.ok() && (connected.error().code() == ErrorCode::kUnavailable ||
                                           connected.error().code() == ErrorCode::kDeadline);
    if (later) return transient(connected.error());
    HF_TRY(std::move(connected));
  }
  if (no_ranges_) return launch_whole();
  // One request shows how the server answers; then all parts go.
  const std::size_t most = answered_ ? parts_for(journal_->head().piece_bytes, options_.parts) : 1;
  for (std::size_t s = first_open_shard_; s < shards() && flights_.size() < most; ++s) {
    const bool open = first_missing(s) < (s + 1) * pieces_per_shard();
    if (!open && s == first_open_shard_) ++first_open_shard_;
    const auto is_for_it = [s](const auto& entry) { return entry.second.shard == s; };
    if (open && !std::ranges::any_of(flights_, is_for_it)) HF_TRY(launch_shard(s));
  }
  return ok_status();
}

// ---- The end

// Fetches shards that are there once more; tells whether that brought other bytes.
Status Download::fetch_again(const std::vector<std::size_t>& shards, bool& changed) {
  const Journal::Digests before = journal_->pieces();
  for (const std::size_t s : shards) {
    const std::uint64_t first = std::uint64_t{s} * kShardBytes;
    HF_TRY(drop_pieces(first, std::min(first + kShardBytes, options_.size_bytes) - 1));
  }
  HF_TRY(fetch_missing());
  changed = journal_->pieces() != before;
  return ok_status();
}

// The digest of the whole does not say which shard is wrong; fetching it again does, as other
// bytes come then. Ends as soon as the whole is right.
Status Download::repair() {
  for (unsigned round = 1; round < kStrikesMax; ++round) {
    std::vector<std::size_t> batch;
    for (std::size_t s = 0; s < shards(); ++s) {
      batch.push_back(s);
      if (batch.size() < options_.parts && s + 1 < shards()) continue;
      bool changed = false;
      HF_TRY(fetch_again(batch, changed));
      batch.clear();
      if (!changed) continue;
      HF_TRY_ASSIGN(const bool right,
                    has_content(*file_, options_.sha256, options_.git_id, options_.cancel));
      if (right) return ok_status();
    }
  }
  ignore_error(journal_->restart(""), "the error of the content counts");
  return corrupt("what was fetched is not what its digest promises",
                 std::string(platform::base_name(options_.path)))
      .with_hint("the other side has other bytes than it says; nothing was imported");
}

Status Download::finish() {
  drop_link();
  HF_TRY(file_->sync());
  HF_TRY(fs_.rename(options_.path + ".part", options_.path));
  HF_TRY(fs_.sync_dir(platform::parent_path(options_.path)));
  ignore_error(fs_.remove(options_.path + ".journal"), "it goes with its folder");
  return ok_status();
}

Status Download::run() {
  HF_TRY(open());
  HF_TRY(fetch_missing());
  if (options_.on_verify) options_.on_verify();
  HF_TRY_ASSIGN(const bool right,
                has_content(*file_, options_.sha256, options_.git_id, options_.cancel));
  if (!right) HF_TRY(repair());
  return finish();
}

Result<bool> has_content(const platform::ByteSource& file,
                         const std::optional<crypto::Sha256Digest>& sha256,
                         const std::string& git_id, const std::atomic<bool>* cancel) {
  if (!sha256) {
    HF_TRY_ASSIGN(const Bytes all, platform::read_all(file, kGitBlobBytesMax));
    return !git_id.empty() && crypto::git_blob_id(all) == git_id;
  }
  crypto::Sha256 hash;
  Bytes buffer;
  for (std::uint64_t at = 0; at < file.size(); at += buffer.size()) {
    if (cancel != nullptr && *cancel) return stopped();
    buffer.resize(std::min<std::uint64_t>(kHashBytes, file.size() - at));
    HF_TRY(file.read_at(at, buffer));
    hash.update(buffer);
  }
  return hash.finish() == *sha256;
}

Status download(platform::FileSystem& fs, FileServer& server, const DownloadOptions& options) {
  if (fs.exists(options.path)) {
    HF_TRY_ASSIGN(const auto there, fs.open_read(options.path));
    if (there->size() == options.size_bytes) {
      HF_TRY_ASSIGN(const bool right,
                    has_content(*there, options.sha256, options.git_id, options.cancel));
      if (right) return ok_status();
    }
    HF_TRY(fs.remove(options.path));
  }
  return Download(fs, server, options).run();
}

}  // namespace holdfast::fetch
