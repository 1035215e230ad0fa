#include "holdfast/fetch/pull.h"

#include <algorithm>

#include "holdfast/base/checked.h"
#include "holdfast/base/units.h"
#include "holdfast/platform/atomic_file.h"
#include "web.h"

namespace holdfast::fetch {
namespace {

constexpr std::size_t kCopyBytes = 4u << 20;
constexpr std::size_t kIdHexBytes = 32;

// What is fetched, for journals and for the folder's name: the same only if every byte is.
std::string identity_of(const Plan& plan, const RemoteFile& file) {
  const std::string content = file.sha256 ? to_hex(*file.sha256) : file.git_id;
  return plan.url + "@" + plan.revision + "/" + file.path + "#" + content;
}

std::string folder_name(const Plan& plan) {
  crypto::Sha256 hash;
  for (const RemoteFile& file : plan.files) {
    hash.update(as_bytes_view(identity_of(plan, file))).update(as_bytes_view("\n"));
  }
  return to_hex(hash.finish()).substr(0, kIdHexBytes);
}

// One pull from its plan to its files.
class Pull {
 public:
  Pull(platform::FileSystem& fs, const PullOptions& options, const Plan& plan)
      : fs_(fs), options_(options), plan_(plan) {}

  Result<Pulled> run();

 private:
  Status open_folder();
  Status check_space() const;
  Status fetch(const RemoteFile& file);
  Status reuse_blob(const RemoteFile& file, const std::string& path) const;
  void tell(PullEvent event) const {
    if (options_.on_event) options_.on_event(event);
  }

  platform::FileSystem& fs_;
  const PullOptions& options_;
  const Plan& plan_;
  Pulled out_;
};

Status Pull::open_folder() {
  out_.folder = platform::join_path(options_.directory, folder_name(plan_));
  HF_TRY(fs_.make_dirs(options_.directory, 0700));
  auto lock = fs_.try_lock(out_.folder + ".lock");
  if (!lock.ok() && lock.error().code() == ErrorCode::kUnavailable)
    return conflict("another process is pulling the same").with_hint("wait until it is done");
  HF_TRY_ASSIGN(out_.lock, std::move(lock));
  return fs_.make_dirs(out_.folder, 0700);
}

// Room for what is not there yet, and for the model that is made of all of it.
Status Pull::check_space() const {
  std::uint64_t missing = 0;
  std::uint64_t all = 0;
  for (const RemoteFile& file : plan_.files) {
    const std::string path = platform::join_path(out_.folder, file.name);
    const auto sum = checked_add(all, file.size_bytes);
    if (!sum) return exhausted("the model is too large");
    all = *sum;
    // A part may be sparse; that it is there at all says that there was room when it began.
    if (!fs_.exists(path) && !fs_.exists(path + ".part")) missing += file.size_bytes;
  }
  HF_TRY_ASSIGN(const std::uint64_t free, fs_.free_bytes(out_.folder));
  const auto needed = checked_add(missing, all + all / 16);
  if (needed && *needed <= free) return ok_status();
  return exhausted("the disk has no room for the model: " + format_bytes(needed.value_or(all)) +
                   " are needed for the download and the import, " + format_bytes(free) +
                   " are free");
}

// Copies a blob that the hub's own tool fetched before; the digest is checked like that of any
// other bytes.
Status Pull::reuse_blob(const RemoteFile& file, const std::string& path) const {
  if (options_.hub_cache.empty() || !file.sha256 || fs_.exists(path)) return ok_status();
  const std::string blob = platform::join_path(options_.hub_cache, to_hex(*file.sha256));
  const auto there = fs_.open_read(blob);
  if (!there.ok() || (*there)->size() != file.size_bytes) return ok_status();
  HF_TRY_ASSIGN(auto copy, platform::AtomicFile::create(
                               fs_, path, platform::AtomicFile::Existing::kReplace, 0600));
  Bytes buffer;
  for (std::uint64_t at = 0; at < file.size_bytes; at += buffer.size()) {
    if (options_.cancel != nullptr && *options_.cancel) return cancelled("the pull was stopped");
    buffer.resize(std::min<std::uint64_t>(kCopyBytes, file.size_bytes - at));
    HF_TRY((*there)->read_at(at, buffer));
    HF_TRY(copy.file().write_all(buffer));
  }
  return copy.commit();
}

Status Pull::fetch(const RemoteFile& file) {
  const std::string path = platform::join_path(out_.folder, file.name);
  HF_TRY(reuse_blob(file, path));
  const std::string hex = file.sha256 ? to_hex(*file.sha256) : file.git_id;
  PullEvent event{"pulling " + hex.substr(0, 12), file.sha256 ? "sha256:" + hex : "",
                  file.size_bytes, 0};
  tell(event);
  DownloadOptions download_options;
  download_options.path = path;
  download_options.identity = identity_of(plan_, file);
  download_options.size_bytes = file.size_bytes;
  download_options.sha256 = file.sha256;
  download_options.git_id = file.git_id;
  download_options.parts = options_.parts;
  download_options.bandwidth_max = options_.bandwidth_max;
  download_options.stall = options_.stall;
  download_options.cancel = options_.cancel;
  download_options.on_progress = [&](std::uint64_t done) {
    event.completed = done;
    tell(event);
  };
  const auto server = plan_.server_of(file);
  HF_TRY(download(fs_, *server, download_options).context(file.name));
  event.completed = file.size_bytes;
  tell(event);
  out_.bytes += file.size_bytes;
  return ok_status();
}

Result<Pulled> Pull::run() {
  HF_TRY(open_folder());
  HF_TRY(check_space());
  for (const RemoteFile& file : plan_.files) {
    HF_TRY(fetch(file));
    out_.has_signature = out_.has_signature || file.name == "model.sig";
  }
  tell({"verifying sha256 digest", "", 0, 0});
  out_.path = plan_.entry.empty() ? out_.folder : platform::join_path(out_.folder, plan_.entry);
  out_.url = plan_.url;
  out_.revision = plan_.revision;
  out_.license = plan_.license;
  for (const RemoteFile& file : plan_.files) {
    if (out_.digest.empty() && file.sha256) out_.digest = "sha256:" + to_hex(*file.sha256);
  }
  return std::move(out_);
}

Result<Plan> make_plan(Web& web, const Source& source) {
  switch (source.kind) {
    case SourceKind::kHub:
      return plan_hub(web, source);
    case SourceKind::kRegistry:
      return plan_registry(web, source);
    case SourceKind::kUrl:
      return plan_url(web, source);
    case SourceKind::kFile:
      break;
  }
  return invalid_argument("nothing has to be pulled for a local file");
}

}  // namespace

Result<Pulled> pull(platform::FileSystem& fs, const Source& source, const PullOptions& options) {
  HF_TRY(options.policy.check_source(source.url));
  Web web(options, source.url);
  if (options.on_event) options.on_event({"pulling manifest", "", 0, 0});
  HF_TRY_ASSIGN(const Plan plan, make_plan(web, source));
  return Pull(fs, options, plan).run();
}

Status discard(platform::FileSystem& fs, Pulled pulled) {
  HF_TRY_ASSIGN(const auto entries, fs.list(pulled.folder));
  for (const platform::DirectoryEntry& entry : entries)
    HF_TRY(fs.remove(platform::join_path(pulled.folder, entry.name)));
  HF_TRY(fs.remove_dir(pulled.folder));
  return fs.remove(pulled.folder + ".lock");
}

}  // namespace holdfast::fetch
