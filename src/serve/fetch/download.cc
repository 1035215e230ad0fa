#include "holdfast/fetch/download.h"

#include <algorithm>
#include <map>
#include <vector>

#include "holdfast/base/checked.h"
#include "holdfast/crypto/git_blob.h"
#include "holdfast/fetch/catalog.h"
#include "holdfast/fetch/journal.h"
#include "holdfast/fetch/policy.h"
#include "holdfast/platform/entropy.h"

namespace holdfast::fetch {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(100);
// Failures in a row without a single new byte: about ten seconds of trying.
constexpr unsigned kFailuresMax = 6;
constexpr auto kPauseFirst = std::chrono::milliseconds(200);
constexpr auto kPauseMax = std::chrono::seconds(60);
// A file that changes while it is fetched is somebody's build in progress.
constexpr unsigned kRestartsMax = 3;
constexpr unsigned kRelocationsMax = 3;
// Of a server without ranges: each attempt begins at the first byte.
constexpr unsigned kWholeAttemptsMax = 5;
constexpr std::size_t kHashBytes = 1u << 20;
constexpr std::uint64_t kGitBlobBytesMax = 64u << 20;
constexpr std::uint64_t kSyncBytes = std::uint64_t{256} << 20;

Error stopped() {
  return cancelled("the pull was stopped").with_hint("the same command resumes it");
}

// One request that is under way.
struct Flight {
  std::size_t shard = 0;
  std::uint64_t first = 0, last = 0;
  std::uint64_t written = 0;
  std::size_t next_piece = 0;  // the first that is not complete
  bool taken = false;          // its head was the right one
  std::optional<crypto::Sha256Digest> digest;
};

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
  bool complete() const;
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
  Bytes buffer_;
};

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
    if (crypto::sha256(buffer_) != *journal_->pieces()[i]) HF_TRY(journal_->drop(i));
    checked += buffer_.size();
    if (options_.on_progress) options_.on_progress(checked);
  }
  return ok_status();
}

std::uint64_t Download::bytes_there() const {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < journal_->pieces().size(); ++i) {
    if (!is_missing(i)) bytes += journal_->piece_size(i);
  }
  for (const auto& [id, flight] : flights_) {
    const std::uint64_t counted = std::max<std::uint64_t>(
        flight.first, std::uint64_t{flight.next_piece} * journal_->head().piece_bytes);
    const std::uint64_t reached = flight.first + flight.written;
    if (reached > counted) bytes += reached - counted;
  }
  return std::min(bytes, options_.size_bytes);
}

bool Download::complete() const {
  return std::ranges::all_of(journal_->pieces(), [](const auto& p) { return p.has_value(); });
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
  HF_TRY(journal_->add(piece, crypto::sha256(buffer_)));
  unsynced_bytes_ += buffer_.size();
  if (unsynced_bytes_ < kSyncBytes) return ok_status();
  unsynced_bytes_ = 0;
  HF_TRY(file_->sync());
  return journal_->sync();
}

Status Download::drop_pieces(std::uint64_t first, std::uint64_t last) {
  const std::uint32_t size = journal_->head().piece_bytes;
  for (std::uint64_t i = first / size; i <= last / size; ++i) {
    if (!is_missing(i)) HF_TRY(journal_->drop(i));
  }
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
  for (std::size_t s = 0; s < shards() && flights_.size() < most; ++s) {
    const bool busy =
        std::ranges::any_of(flights_, [s](const auto& entry) { return entry.second.shard == s; });
    if (!busy && first_missing(s) < (s + 1) * pieces_per_shard()) HF_TRY(launch_shard(s));
  }
  return ok_status();
}

Status Download::transient(Error why, std::chrono::milliseconds pause) {
  if (++failures_ > kFailuresMax) {
    return Error(why.code(), why.client_message(), why.detail())
        .with_hint("the same command resumes it");
  }
  const std::chrono::milliseconds usual = kPauseFirst * (1 << (failures_ - 1));
  const auto random = static_cast<std::int64_t>(platform::random_u64().value_or(0) % 1000);
  const auto spread = usual / 2 + usual * random / 1000;
  const auto wait = std::max<std::chrono::milliseconds>(pause, spread);
  not_before_ = platform::Deadline::after(std::min<std::chrono::milliseconds>(wait, kPauseMax));
  return ok_status();
}

Status Download::restart(std::string etag) {
  if (++restarts_ > kRestartsMax)
    return corrupt("the file keeps changing while it is fetched", options_.identity);
  drop_link();
  partial_.clear();
  answered_ = false;
  HF_TRY(journal_->restart(std::move(etag)));
  HF_TRY(file_->truncate(0));
  return file_->truncate(options_.size_bytes);
}

Status Download::strike(std::size_t shard, const Error& why) {
  partial_.erase(shard);
  if (++strikes_[shard] < kStrikesMax) return ok_status();
  return Error(why.code(), why.client_message(), why.detail())
      .with_hint("it went wrong three times at the same place; what was fetched so far is kept");
}

// ---- Answers

Status Download::on_head(Flight& flight, const Head& head) {
  if (no_ranges_ ? head.status == 200 : head.status == 206) return on_answer(flight, head);
  if (!no_ranges_ && head.status == 200) return on_whole_answer(head);
  return on_other_status(head);
}

Status Download::on_answer(Flight& flight, const Head& head) {
  const std::string etag(field(head.fields, "etag"));
  const std::string& known = journal_->head().etag;
  if (!known.empty() && etag != known) return restart(etag);
  const auto range = parse_content_range(field(head.fields, "content-range"));
  if (!no_ranges_ && range.ok() && range->total != options_.size_bytes) return restart(etag);
  // Another part: the fetcher refuses it, and says so when it is done.
  if (!no_ranges_ && (!range.ok() || range->first != flight.first || range->last != flight.last))
    return ok_status();
  if (known.empty() && !etag.empty()) HF_TRY(journal_->set_etag(etag));
  flight.taken = true;
  flight.digest = parse_content_digest(field(head.fields, "content-digest"));
  answered_ = true;
  return ok_status();
}

// The whole file instead of a part: it is another file now, or the server knows no ranges.
Status Download::on_whole_answer(const Head& head) {
  const std::string etag(field(head.fields, "etag"));
  const std::string known = journal_->head().etag;
  if (!known.empty() && etag != known) return restart(etag);
  drop_link();
  partial_.clear();
  no_ranges_ = true;
  return ok_status();
}

Status Download::on_other_status(const Head& head) {
  const std::string what = url_->authority() + " answers " + std::to_string(head.status);
  if (head.status >= 300 && head.status < 400 && head.status != 304) {
    if (++redirects_ > kRedirectsMax) return unavailable(url_->authority() + " sends in circles");
    HF_TRY_ASSIGN(Url next, server_.follow(*url_, field(head.fields, "location")));
    drop_link();
    url_ = std::move(next);
    return ok_status();
  }
  if (head.status == 401 || head.status == 403) {
    if (++relocations_ > kRelocationsMax)
      return Error(ErrorCode::kDenied, what).with_hint("a token may be needed, or another one");
    drop_link();
    url_.reset();
    redirects_ = 0;
    return transient(Error(ErrorCode::kDenied, what));
  }
  if (head.status == 404 || head.status == 410) return not_found(what);
  if (head.status == 416) return restart("");
  const std::uint64_t after = parse_length(field(head.fields, "retry-after")).value_or(0);
  return transient(unavailable(what), std::chrono::seconds(std::min<std::uint64_t>(after, 60)));
}

Status Download::on_progress(Flight& flight, std::uint64_t written) {
  // The fetcher parses foreign bytes: what it says is checked like them.
  if (!flight.taken || written < flight.written || written > flight.last - flight.first + 1)
    return corrupt("the fetcher reports what cannot be");
  if (written > flight.written) {
    failures_ = 0;
    relocations_ = 0;
  }
  flight.written = written;
  const std::uint64_t reached = flight.first + written;
  const std::size_t count = journal_->pieces().size();
  while (flight.next_piece < count) {
    const std::uint64_t end = std::uint64_t{flight.next_piece} * journal_->head().piece_bytes +
                              journal_->piece_size(flight.next_piece);
    if (end > reached || end > flight.last + 1) break;
    HF_TRY(add_piece(flight.next_piece));
    ++flight.next_piece;
  }
  if (options_.on_progress) options_.on_progress(bytes_there());
  return ok_status();
}

// Where the server says what its answer has to be, the shard is known at once.
Status Download::check_digest(const Flight& flight) {
  crypto::Sha256 hash;
  for (std::uint64_t at = flight.first; at <= flight.last; at += buffer_.size()) {
    buffer_.resize(std::min<std::uint64_t>(kHashBytes, flight.last + 1 - at));
    HF_TRY(file_->read_at(at, buffer_));
    hash.update(buffer_);
  }
  if (hash.finish() == *flight.digest) return ok_status();
  HF_TRY(drop_pieces(flight.first, flight.last));
  return strike(flight.shard, corrupt("bytes came that are not those of their digest"));
}

Status Download::on_done(const Done& done) {
  const auto found = flights_.find(done.id);
  if (found == flights_.end()) return ok_status();
  const Flight flight = found->second;
  flights_.erase(found);
  if (!flight.taken && !done.error) return ok_status();  // its head said it all
  if (done.error && done.error->code() == ErrorCode::kCorrupt)
    return strike(flight.shard, *done.error);
  const bool whole = flight.taken && flight.written == flight.last - flight.first + 1;
  if (whole) return flight.digest ? check_digest(flight) : ok_status();
  keep_partial(flight);
  const Error why =
      done.error ? *done.error : unavailable(url_->authority() + " stopped before the end");
  const bool later = why.code() == ErrorCode::kUnavailable || why.code() == ErrorCode::kDeadline;
  return later ? transient(why) : Status(why);
}

Status Download::handle(const Event& event) {
  const std::uint32_t id = std::visit([](const auto& e) { return e.id; }, event);
  const auto found = flights_.find(id);
  if (found == flights_.end()) return ok_status();  // of a request that is not wanted any more
  if (const auto* head = std::get_if<Head>(&event)) return on_head(found->second, *head);
  if (const auto* progress = std::get_if<Progress>(&event))
    return on_progress(found->second, progress->written);
  const auto* done = std::get_if<Done>(&event);
  if (done == nullptr) return corrupt("the fetcher sent what was not asked for");
  if (found->second.taken) HF_TRY(on_progress(found->second, done->written));
  return on_done(*done);
}

Status Download::pump() {
  if (!link_) {
    platform::pause_for(kPoll);
    return ok_status();
  }
  auto event = link_->next(platform::Deadline::after(kPoll));
  if (event.ok()) return *event ? handle(**event) : ok_status();
  const Error why = std::move(event).error();
  drop_link();
  return why.code() == ErrorCode::kUnavailable ? transient(why) : Status(why);
}

Status Download::fetch_missing() {
  while (!complete()) {
    HF_TRY(check_cancel());
    HF_TRY(launch());
    HF_TRY(pump());
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

}  // namespace

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
