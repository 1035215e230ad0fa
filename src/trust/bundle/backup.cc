#include "holdfast/bundle/backup.h"

#include <algorithm>
#include <array>

#include "holdfast/base/check.h"
#include "holdfast/registry/manifest.h"

namespace holdfast::bundle {
namespace {

constexpr std::int64_t kVersion = 1;
constexpr std::string_view kList = "backup.json";
constexpr std::string_view kListDigest = "backup.sha256";
constexpr std::array<std::string_view, 6> kFixedNames{kList,      kListDigest,      "keyring.hfk",
                                                      "state.db", "keys/keys.json", "keys/pepper"};
constexpr std::size_t kPieceBytes = 4u << 20;
// About 200 bytes for each file.
constexpr std::size_t kListBytesMax = 32u << 20;

Error damaged(std::string_view what) {
  return corrupt("the backup is damaged", std::string(what))
      .with_hint("use another copy of the backup");
}

bool is_number(std::string_view text) {
  return !text.empty() && text.size() <= 8 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The middle of "<prefix>X<suffix>"; empty otherwise.
std::string_view between(std::string_view name, std::string_view prefix, std::string_view suffix) {
  if (name.size() <= prefix.size() + suffix.size() || !name.starts_with(prefix) ||
      !name.ends_with(suffix))
    return {};
  return name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
}

Status read_pieces(const platform::ByteSource& file, std::uint64_t offset, std::uint64_t size,
                   const std::function<Status(ByteView)>& sink) {
  Bytes piece;
  for (std::uint64_t at = 0; at < size; at += piece.size()) {
    piece.resize(std::min<std::uint64_t>(kPieceBytes, size - at));
    HF_TRY(file.read_at(offset + at, piece));
    HF_TRY(sink(piece));
  }
  return ok_status();
}

// Counts bytes over all files and both passes.
class Meter {
 public:
  Meter(const BundleProgress& progress, std::uint64_t total) : progress_(progress), total_(total) {}
  Status add(std::size_t bytes) {
    done_ += bytes;
    return progress_ ? progress_(done_, total_) : ok_status();
  }

 private:
  const BundleProgress& progress_;
  const std::uint64_t total_;
  std::uint64_t done_ = 0;
};

Result<crypto::Sha256Digest> hash(const platform::ByteSource& file, std::uint64_t offset,
                                  std::uint64_t size, Meter& meter) {
  crypto::Sha256 hash;
  HF_TRY(read_pieces(file, offset, size, [&](ByteView piece) {
    hash.update(piece);
    return meter.add(piece.size());
  }));
  return hash.finish();
}

Status copy(const BackupFile& file, const crypto::Sha256Digest& digest, TarWriter& tar,
            Meter& meter) {
  HF_TRY(tar.begin(file.name, file.content->size()));
  crypto::Sha256 hash;
  const auto take = [&](ByteView piece) -> Status {
    hash.update(piece);
    HF_TRY(tar.append(piece));
    return meter.add(piece.size());
  };
  HF_TRY(read_pieces(*file.content, 0, file.content->size(), take));
  if (hash.finish() == digest) return ok_status();
  return corrupt("a file changed while it was read", file.name).with_hint("Repeat the backup.");
}

}  // namespace

bool is_backup_name(std::string_view name) {
  if (std::find(kFixedNames.begin(), kFixedNames.end(), name) != kFixedNames.end()) return true;
  if (const auto number = between(name, "models/", ".json"); !number.empty())
    return is_number(number);
  return registry::digest_from_hex(between(name, "packs/", ".hfc")).ok();
}

Status write_backup(const std::vector<BackupFile>& files, const BackupFacts& facts,
                    platform::OpenFile& out, const BundleProgress& progress) {
  std::uint64_t bytes = 0;
  for (const BackupFile& file : files) bytes += file.content->size();
  Meter meter(progress, 2 * bytes);
  std::vector<crypto::Sha256Digest> digests;
  json::Array list;
  for (const BackupFile& file : files) {
    HF_CHECK(is_backup_name(file.name));
    HF_TRY_ASSIGN(const crypto::Sha256Digest digest,
                  hash(*file.content, 0, file.content->size(), meter));
    digests.push_back(digest);
    list.emplace_back(json::Object{
        {"name", file.name}, {"size", file.content->size()}, {"sha256", to_hex(digest)}});
  }
  const std::string text = json::write(json::Value(json::Object{{"version", kVersion},
                                                                {"created", facts.created_unix},
                                                                {"instance", facts.instance},
                                                                {"generation", facts.generation},
                                                                {"with_models", facts.with_models},
                                                                {"files", std::move(list)}})) +
                           "\n";
  const std::string sum = to_hex(crypto::sha256(as_bytes_view(text))) + "\n";
  TarWriter tar(out);
  HF_TRY(tar.add(kList, as_bytes_view(text)));
  HF_TRY(tar.add(kListDigest, as_bytes_view(sum)));
  for (std::size_t i = 0; i < files.size(); ++i) HF_TRY(copy(files[i], digests[i], tar, meter));
  return tar.finish();
}

Result<Backup> Backup::open(const platform::ByteSource& file) {
  auto entries = read_tar(file, is_backup_name, kBackupFilesMax + 2);
  if (!entries.ok()) {
    if (entries.error().code() != ErrorCode::kCorrupt) return entries.error();
    return damaged(entries.error().detail());
  }
  if (entries->size() < 2 || (*entries)[0].name != kList || (*entries)[1].name != kListDigest)
    return damaged("it does not begin with its list");
  const TarEntry& list = (*entries)[0];
  if (list.size > kListBytesMax || (*entries)[1].size != 65) return damaged("its list");
  Bytes text(list.size);
  HF_TRY(file.read_at(list.offset, text));
  Bytes sum(65);
  HF_TRY(file.read_at((*entries)[1].offset, sum));
  if (as_string_view(sum) != to_hex(crypto::sha256(text)) + "\n")
    return damaged("the list's digest is another");
  Backup backup(file);
  HF_TRY(backup.read_list(text));
  if (backup.entries_.size() + 2 != entries->size()) return damaged("files that it does not list");
  for (std::size_t i = 0; i < backup.entries_.size(); ++i) {
    const TarEntry& entry = (*entries)[i + 2];
    BackupEntry& listed = backup.entries_[i];
    if (entry.name != listed.name || entry.size != listed.blob.size)
      return damaged("files that it does not list");
    listed.blob.offset = entry.offset;
  }
  return backup;
}

// The list's own digest was compared.
Status Backup::read_list(ByteView text) {
  const auto parsed =
      json::parse(as_string_view(text), {.bytes_max = kListBytesMax, .depth_max = 4});
  if (!parsed.ok()) return damaged("the list: " + parsed.error().client_message());
  const auto number = [&](const json::Value& v, std::string_view member) -> std::int64_t {
    const json::Value* found = v.find(member);
    return found != nullptr && found->is_int() ? found->as_int() : -1;
  };
  if (number(*parsed, "version") != kVersion) return unsupported("unsupported version of a backup");
  const json::Value* files = parsed->find("files");
  const json::Value* instance = parsed->find("instance");
  const json::Value* with_models = parsed->find("with_models");
  if (files == nullptr || !files->is_array() || instance == nullptr || !instance->is_string() ||
      with_models == nullptr || !with_models->is_bool() || number(*parsed, "generation") < 0)
    return damaged("the list: a member is missing");
  facts_.created_unix = number(*parsed, "created");
  facts_.generation = static_cast<std::uint64_t>(number(*parsed, "generation"));
  facts_.instance = instance->as_string();
  facts_.with_models = with_models->as_bool();
  for (const json::Value& file : files->as_array()) {
    const json::Value* name = file.find("name");
    const json::Value* digest = file.find("sha256");
    if (name == nullptr || !name->is_string() || digest == nullptr || !digest->is_string() ||
        number(file, "size") < 0)
      return damaged("the list: a file's member");
    const auto sha256 = registry::digest_from_hex(digest->as_string());
    if (!sha256.ok()) return damaged("the list: a digest");
    entries_.push_back(
        {name->as_string(), {0, static_cast<std::uint64_t>(number(file, "size")), *sha256}});
  }
  return ok_status();
}

Status Backup::verify(const BundleProgress& progress) const {
  std::uint64_t bytes = 0;
  for (const BackupEntry& entry : entries_) bytes += entry.blob.size;
  Meter meter(progress, bytes);
  for (const BackupEntry& entry : entries_) {
    HF_TRY_ASSIGN(const crypto::Sha256Digest digest,
                  hash(*file_, entry.blob.offset, entry.blob.size, meter));
    if (digest != entry.blob.digest) return damaged(entry.name + " has another digest");
  }
  return ok_status();
}

Result<Bytes> Backup::read(const BackupEntry& entry, std::uint64_t bytes_max) const {
  if (entry.blob.size > bytes_max) return exhausted("a file of the backup is too long", entry.name);
  Bytes bytes(entry.blob.size);
  HF_TRY(file_->read_at(entry.blob.offset, bytes));
  return bytes;
}

Status Backup::each(const BackupEntry& entry, const std::function<Status(ByteView)>& sink) const {
  return read_pieces(*file_, entry.blob.offset, entry.blob.size, sink);
}

}  // namespace holdfast::bundle
