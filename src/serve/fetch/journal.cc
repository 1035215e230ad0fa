#include "holdfast/fetch/journal.h"

#include <algorithm>
#include <bit>

#include "holdfast/base/check.h"
#include "holdfast/base/checked.h"
#include "holdfast/crypto/crc32.h"

namespace holdfast::fetch {
namespace {

constexpr std::string_view kMagic = "HFDL";
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kRecordBytes = 4 + 32 + 4;
constexpr std::size_t kTextBytesMax = 8 * 1024;
// Every piece of the largest file, added, dropped and added again now and then.
constexpr std::uint64_t kJournalBytesMax = std::uint64_t{4} << 30;

Bytes encode_head(const JournalHead& head) {
  ByteWriter out;
  out.raw(kMagic).be(kVersion).be(head.size_bytes).be(head.piece_bytes);
  out.lp(head.identity).lp(head.etag);
  out.be(crypto::crc32(out.view()));
  return std::move(out).take();
}

Bytes encode_record(std::size_t index, const crypto::Sha256Digest& digest) {
  ByteWriter out;
  out.be(static_cast<std::uint32_t>(index)).raw(digest);
  out.be(crypto::crc32(out.view()));
  return std::move(out).take();
}

Result<JournalHead> decode_head(ByteReader& in, ByteView all) {
  HF_TRY_ASSIGN(const std::string_view magic, in.take_string(kMagic.size()));
  HF_TRY_ASSIGN(const auto version, in.be<std::uint8_t>());
  if (magic != kMagic || version != kVersion) return corrupt("not a journal");
  JournalHead head;
  HF_TRY_ASSIGN(head.size_bytes, in.be<std::uint64_t>());
  HF_TRY_ASSIGN(head.piece_bytes, in.be<std::uint32_t>());
  HF_TRY_ASSIGN(const ByteView identity, in.take_lp());
  HF_TRY_ASSIGN(const ByteView etag, in.take_lp());
  head.identity = as_string_view(identity);
  head.etag = as_string_view(etag);
  const std::uint32_t sum = crypto::crc32(all.first(in.position()));
  HF_TRY_ASSIGN(const auto stored, in.be<std::uint32_t>());
  if (sum != stored) return corrupt("the journal is damaged");
  return head;
}

bool is_piece_size(std::uint32_t bytes) {
  return std::has_single_bit(bytes) && bytes >= kPieceBytesMin && bytes <= kPieceBytesMax;
}

}  // namespace

std::uint32_t piece_bytes_for(unsigned parts) {
  const auto share = static_cast<std::uint32_t>(kShardBytes / std::max(1u, parts));
  return std::clamp(std::bit_floor(share), kPieceBytesMin, kPieceBytesMax);
}

unsigned parts_for(std::uint32_t piece_bytes, unsigned wanted) {
  return std::clamp(wanted, 1u, static_cast<unsigned>(kShardBytes / piece_bytes));
}

Journal::Journal(platform::FileSystem& fs, std::string path, JournalHead head)
    : fs_(&fs), path_(std::move(path)), head_(std::move(head)) {
  pieces_.resize(ceil_div<std::uint64_t>(head_.size_bytes, head_.piece_bytes));
}

Result<Journal> Journal::open(platform::FileSystem& fs, std::string path, const JournalHead& head) {
  HF_CHECK(is_piece_size(head.piece_bytes));
  if (head.identity.size() > kTextBytesMax || head.etag.size() > kTextBytesMax)
    return invalid_argument("the name of what is fetched is too long");
  Journal journal(fs, std::move(path), head);
  auto bytes = platform::read_file(fs, journal.path_, kJournalBytesMax);
  if (!bytes.ok() && bytes.error().code() != ErrorCode::kNotFound) return std::move(bytes).error();
  if (!bytes.ok() || !journal.read(*bytes)) journal = Journal(fs, std::move(journal.path_), head);
  HF_TRY(journal.write_whole());
  return journal;
}

bool Journal::read(ByteView bytes) {
  ByteReader in(bytes);
  auto head = decode_head(in, bytes);
  if (!head.ok() || head->identity != head_.identity || head->size_bytes != head_.size_bytes ||
      !is_piece_size(head->piece_bytes))
    return false;
  head_ = *std::move(head);
  pieces_.assign(ceil_div<std::uint64_t>(head_.size_bytes, head_.piece_bytes), std::nullopt);
  while (in.remaining() >= kRecordBytes) {
    const ByteView record = *in.take(kRecordBytes);
    const auto index = load_be<std::uint32_t>(record.data());
    const bool good = crypto::crc32(record.first(36)) == load_be<std::uint32_t>(&record[36]);
    if (!good || index >= pieces_.size()) break;  // the write that was cut short
    crypto::Sha256Digest digest{};
    std::ranges::copy(record.subspan(4, 32), digest.begin());
    if (all_zero(digest)) {
      pieces_[index].reset();
    } else {
      pieces_[index] = digest;
    }
  }
  return true;
}

std::uint64_t Journal::piece_size(std::size_t index) const {
  const std::uint64_t start = std::uint64_t{index} * head_.piece_bytes;
  return std::min<std::uint64_t>(head_.piece_bytes, head_.size_bytes - start);
}

Status Journal::write_whole() {
  ByteWriter out;
  out.raw(encode_head(head_));
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    if (pieces_[i]) out.raw(encode_record(i, *pieces_[i]));
  }
  file_.reset();
  HF_TRY(platform::write_file_atomic(*fs_, path_, out.view(), 0600));
  HF_TRY_ASSIGN(platform::File file, platform::File::open_update(path_));
  end_ = file.size();
  file_ = std::make_unique<platform::File>(std::move(file));
  return ok_status();
}

Status Journal::append(std::size_t index, const crypto::Sha256Digest& digest) {
  const Bytes record = encode_record(index, digest);
  HF_TRY(file_->write_at(end_, record));
  end_ += record.size();
  return ok_status();
}

Status Journal::add(std::size_t index, const crypto::Sha256Digest& digest) {
  HF_CHECK(index < pieces_.size());
  HF_TRY(append(index, digest));
  pieces_[index] = digest;
  return ok_status();
}

Status Journal::drop(std::size_t index) {
  HF_CHECK(index < pieces_.size());
  HF_TRY(append(index, crypto::Sha256Digest{}));
  pieces_[index].reset();
  return ok_status();
}

Status Journal::restart(std::string etag) {
  pieces_.assign(pieces_.size(), std::nullopt);
  return set_etag(std::move(etag));
}

Status Journal::set_etag(std::string etag) {
  head_.etag = std::move(etag);
  return write_whole();
}

Status Journal::sync() { return file_->sync(); }

}  // namespace holdfast::fetch
