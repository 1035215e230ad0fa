#include "digest_cache.h"

#include <algorithm>
#include <chrono>

namespace holdfast::importer {
namespace {

constexpr std::size_t kEntriesMax = 512;
constexpr std::uint64_t kFileBytesMax = 128 * 1024;
constexpr auto kSettledAfter = std::chrono::seconds(2);

std::string key_of(const platform::FileInfo& file) {
  return std::to_string(file.device) + ":" + std::to_string(file.inode) + ":" +
         std::to_string(file.size) + ":" + std::to_string(file.modified_unix_ns);
}

}  // namespace

DigestCache::DigestCache(platform::FileSystem& fs, const platform::Clock& clock, std::string path)
    : fs_(fs), clock_(clock), path_(std::move(path)) {
  const auto bytes = platform::read_file(fs_, path_, kFileBytesMax);
  if (!bytes.ok()) return;
  auto value = json::parse(as_string_view(*bytes));
  if (value.ok() && value->is_object()) digests_ = std::move(value->as_object());
}

std::optional<crypto::Sha256Digest> DigestCache::find(const platform::FileInfo& file) const {
  const json::Value* hex = digests_.find(key_of(file));
  if (hex == nullptr || !hex->is_string()) return std::nullopt;
  const auto bytes = from_hex(hex->as_string());
  crypto::Sha256Digest digest;
  if (!bytes.ok() || bytes->size() != digest.size()) return std::nullopt;
  std::copy(bytes->begin(), bytes->end(), digest.begin());
  return digest;
}

void DigestCache::add(const platform::FileInfo& file, const crypto::Sha256Digest& digest) {
  const auto changed = std::chrono::nanoseconds(file.modified_unix_ns);
  if (clock_.wall_time().time_since_epoch() - changed < kSettledAfter) return;
  digests_.set(key_of(file), to_hex(digest));
  // The oldest goes first: members keep the order of insertion.
  while (digests_.size() > kEntriesMax) digests_.erase(std::string(digests_.begin()->key));
  changed_ = true;
}

void DigestCache::save() {
  if (!changed_) return;
  changed_ = false;
  const std::string text = json::write(json::Value(digests_), {.indent = 1}) + "\n";
  ignore_error(fs_.make_dirs(platform::parent_path(path_), 0700), "writing fails then, too");
  ignore_error(platform::write_file_atomic(fs_, path_, as_bytes_view(text), 0600),
               "the next import of this file takes longer");
}

}  // namespace holdfast::importer
