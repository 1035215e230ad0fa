#include "holdfast/identity/key_table.h"

#include <algorithm>
#include <bit>

#include "holdfast/crypto/constant_time.h"

namespace holdfast::identity {
namespace {

// File times move in steps of some milliseconds: a file younger than this may change again without
// looking different.
constexpr std::int64_t kSettledNs = 1'000'000'000;

std::int64_t wall_ns(const platform::Clock& clock) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(clock.wall_time().time_since_epoch())
      .count();
}

}  // namespace

KeyTable::KeyTable(platform::FileSystem& files, std::string directory, const platform::Clock& clock,
                   Verifiers* verifiers)
    : files_(files), directory_(std::move(directory)), clock_(clock), verifiers_(verifiers) {
  nobody_.id.assign(kKeyIdLength, '-');
}

KeyTable::Marks KeyTable::look() const {
  const auto mark = [&](const std::string& path) -> std::optional<Mark> {
    const auto info = files_.stat(path);
    if (!info.ok()) return std::nullopt;
    return Mark{info->device, info->inode, info->size, info->modified_unix_ns};
  };
  std::optional<Mark> pepper;
  if (verifiers_ == nullptr) pepper = mark(KeyStore::pepper_path(directory_));
  return {mark(KeyStore::keys_path(directory_)), pepper};
}

Status KeyTable::load() {
  looked_ns_ = clock_.monotonic_ns();
  return read(look());
}

Status KeyTable::refresh() {
  const std::int64_t now = clock_.monotonic_ns();
  if (now - looked_ns_ < kRefreshNs) return ok_status();
  looked_ns_ = now;
  const Marks marks = look();
  if (marks == marks_ && settled_) return ok_status();
  return read(marks);
}

// `marks` were taken before: a change in between shows at the next look.
Status KeyTable::read(const Marks& marks) {
  const bool again = marks == marks_;
  marks_ = marks;
  const std::int64_t now = wall_ns(clock_);
  const auto old = [&](const std::optional<Mark>& m) {
    return !m || now - m->modified_ns > kSettledNs;
  };
  settled_ = old(marks.keys) && old(marks.pepper);
  entries_.clear();
  numbers_.clear();
  remembered_.clear();
  if (!marks.keys) return ok_status();
  any_ = true;
  // Errors of a file that was seen already are not told again.
  const auto fail = [&](Error error) -> Status {
    if (again) return ok_status();
    return error;
  };
  if (verifiers_ == nullptr) {
    auto pepper = read_pepper(files_, directory_);
    if (!pepper.ok()) return fail(std::move(pepper).error());
    pepper_ = *pepper;
  }
  const auto text = platform::read_file(files_, KeyStore::keys_path(directory_), kKeyFileBytesMax);
  if (!text.ok()) return fail(text.error());
  auto keys = decode_keys(as_string_view(*text));
  if (!keys.ok()) return fail(std::move(keys).error());
  entries_.reserve(keys->size());
  for (KeyRecord& key : *keys) {
    auto principal = std::make_shared<Principal>(
        Principal{key.tenant, key.id, key.role, std::move(key.models), key.weight, key.quotas});
    entries_.push_back({std::move(key.id), key.verifier, key.expires_at, key.revoked_at != 0,
                        std::move(principal)});
  }
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.id < b.id; });
  for (const Entry& entry : entries_) numbers_.push_back(number_of(entry.id));
  return ok_status();
}

KeyTable::IdNumber KeyTable::number_of(std::string_view id) {
  static_assert(kKeyIdLength == 2 * sizeof(std::uint64_t));
  const ByteView bytes = as_bytes_view(id);
  return {load_be<std::uint64_t>(bytes.data()), load_be<std::uint64_t>(bytes.data() + 8)};
}

// The entry with that id, or one beside where it would be. The steps depend on the number of
// entries alone.
std::size_t KeyTable::position_of(const IdNumber& id) const {
  std::size_t below = 0;  // entries that are smaller
  for (std::size_t step = std::bit_floor(numbers_.size()); step > 0; step >>= 1) {
    const std::size_t end = std::min(below + step, numbers_.size());
    const IdNumber& last = numbers_[end - 1];
    const auto smaller = static_cast<std::size_t>(
        static_cast<unsigned>(last.high < id.high) |
        (static_cast<unsigned>(last.high == id.high) & static_cast<unsigned>(last.low < id.low)));
    below += smaller * (end - below);
  }
  return numbers_.empty() ? 0 : std::min(below, numbers_.size() - 1);
}

std::size_t KeyTable::active() const {
  const std::int64_t now = platform::unix_seconds(clock_.wall_time());
  return static_cast<std::size_t>(std::count_if(
      entries_.begin(), entries_.end(),
      [&](const Entry& e) { return !e.revoked && (e.expires_at == 0 || now < e.expires_at); }));
}

Result<crypto::Sha256Digest> KeyTable::verifier(std::string_view text, const ParsedKey& key) const {
  if (verifiers_ == nullptr) return key_verifier(pepper_, key);
  const auto known = remembered_.find(crypto::sha256(as_bytes_view(text)));
  if (known != remembered_.end()) return known->second;
  return verifiers_->verifier(key);
}

Verdict KeyTable::authenticate(std::string_view text) {
  const auto parsed = parse_key(text);
  if (!parsed.ok()) return {};
  const auto made = verifier(text, *parsed);
  if (!made.ok()) return {KeyState::kUnknown, nullptr};
  // The neighbour of an id that is not there is compared like the id itself.
  const std::size_t at = position_of(number_of(parsed->id));
  const Entry& candidate = entries_.empty() ? nobody_ : entries_[at];
  const bool same_id =
      crypto::constant_time_equal(as_bytes_view(candidate.id), as_bytes_view(parsed->id));
  const bool same_secret = crypto::constant_time_equal(candidate.verifier, *made);
  if (!(static_cast<unsigned>(same_id) & static_cast<unsigned>(same_secret)) || candidate.revoked)
    return {};
  if (candidate.expires_at != 0 &&
      platform::unix_seconds(clock_.wall_time()) >= candidate.expires_at) {
    return {KeyState::kExpired, nullptr};
  }
  if (verifiers_ != nullptr && remembered_.size() < entries_.size())
    remembered_.emplace(crypto::sha256(as_bytes_view(text)), *made);
  return {KeyState::kValid, candidate.principal};
}

}  // namespace holdfast::identity
