#include <algorithm>

#include "download_impl.h"
#include "holdfast/fetch/catalog.h"
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

}  // namespace

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
  count_pieces();
  HF_TRY(file_->truncate(0));
  return file_->truncate(options_.size_bytes);
}

Status Download::strike(std::size_t shard, const Error& why) {
  partial_.erase(shard);
  if (++strikes_[shard] < kStrikesMax) return ok_status();
  return Error(why.code(), why.client_message(), why.detail())
      .with_hint("it went wrong three times at the same place; what was fetched so far is kept");
}

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
  // The end of the last request counts too: only then its digest is compared.
  while (!complete() || !flights_.empty()) {
    HF_TRY(check_cancel());
    HF_TRY(launch());
    HF_TRY(pump());
  }
  return ok_status();
}

}  // namespace holdfast::fetch
