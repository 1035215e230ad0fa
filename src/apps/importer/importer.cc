#include "holdfast/importer/importer.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <thread>
#include <vector>

#include "child_run.h"
#include "convert.h"
#include "digest_cache.h"
#include "holdfast/platform/file.h"
#include "holdfast/platform/thread.h"
#include "holdfast/vault/pack_format.h"
#include "model_files.h"
#include "protocol.h"
#include "seal_variant.h"

namespace holdfast::importer {
namespace {

constexpr std::size_t kHashPieceBytes = 4u << 20;
constexpr auto kProgressInterval = std::chrono::milliseconds(100);
// How soon a cancelled import ends.
constexpr auto kCancelPoll = std::chrono::milliseconds(100);

// One import from the path to the record.
class Import {
 public:
  Import(registry::Store& store, const ImportOptions& options)
      : store_(store),
        options_(options),
        cache_(fs_, platform::system_clock(), store.data_dir() + "/cache/digests.json") {}

  Result<ImportResult> run();

 private:
  Status open_files();
  Status hash_files();
  Status hash_file(std::size_t index);
  Result<std::optional<registry::ModelRecord>> find_by_cached_digests() const;
  void remember_digests();
  Status check_files() const;
  Status check_unchanged() const;
  std::string variant() const;
  Result<ImportResult> add_name(const registry::ModelRecord& known,
                                const registry::ModelName& name);
  Result<ImportResult> convert_and_publish(const registry::ModelName& name);
  Result<std::unique_ptr<registry::Staging>> stage_or_wait();
  Result<ConvertResult> convert_in_child(registry::Staging& staging);
  bool cancelled() const { return options_.cancel != nullptr && *options_.cancel; }
  void report(std::string_view phase, std::uint64_t done, std::uint64_t total);
  Error about_file(const Error& error) const;

  registry::Store& store_;
  const ImportOptions& options_;
  mutable platform::PosixFileSystem fs_;
  DigestCache cache_;
  ModelFiles found_;
  std::vector<platform::FileInfo> infos_;
  std::vector<struct stat> states_;  // when they were opened
  std::vector<std::unique_ptr<platform::OpenFile>> files_;
  ConvertOptions convert_;
  crypto::Sha256Digest source_{};
  std::atomic<std::uint64_t> hashed_bytes_{0};
  std::uint64_t total_bytes_ = 0;
  platform::Deadline next_report_ = platform::Deadline::after(std::chrono::nanoseconds(0));
};

Error Import::about_file(const Error& error) const {
  std::string message = std::string(platform::base_name(options_.path)) + ": ";
  message += error.client_message();
  return Error(error.code(), std::move(message), error.detail()).with_hint(error.hint());
}

void Import::report(std::string_view phase, std::uint64_t done, std::uint64_t total) {
  if (!options_.on_progress || (done != total && !next_report_.passed())) return;
  next_report_ = platform::Deadline::after(kProgressInterval);
  options_.on_progress({std::string(phase), done, total});
}

Status Import::open_files() {
  HF_TRY_ASSIGN(found_, find_model_files(fs_, options_.path));
  for (const std::string& path : found_.paths) {
    HF_TRY_ASSIGN(auto file, fs_.open_read(path));
    HF_TRY_ASSIGN(const platform::FileInfo info, fs_.stat(path));
    infos_.push_back(info);
    struct stat state {};
    if (::fstat(file->fd(), &state) != 0) return os_error(errno, "fstat", path);
    states_.push_back(state);
    total_bytes_ += file->size();
    convert_.files.push_back(
        {file->size(), {}, found_.checkpoint ? std::string(platform::base_name(path)) : ""});
    files_.push_back(std::move(file));
  }
  if (found_.checkpoint) return ok_status();
  // Before gigabytes are hashed: is this a model file at all.
  std::array<std::byte, 4> magic{};
  const auto read = files_.front()->read_at(0, magic);
  if (!read.ok() || as_string_view(magic) != "GGUF") {
    return invalid_argument("not a GGUF file")
        .with_hint("Holdfast imports models in GGUF form, and folders in safetensors form.");
  }
  return ok_status();
}

Status Import::hash_file(std::size_t index) {
  const platform::OpenFile& file = *files_[index];
  crypto::Sha256 hash;
  Bytes piece(std::min<std::uint64_t>(kHashPieceBytes, file.size()));
  for (std::uint64_t at = 0; at < file.size(); at += piece.size()) {
    if (cancelled()) return holdfast::cancelled("the import was cancelled");
    piece.resize(std::min<std::uint64_t>(piece.size(), file.size() - at));
    HF_TRY(file.read_at(at, piece));
    hash.update(piece);
    hashed_bytes_ += piece.size();
    if (index == 0) report("hashing", hashed_bytes_, total_bytes_);
  }
  convert_.files[index].digest = hash.finish();
  return ok_status();
}

// One thread per file, as many at a time as the options allow; the calling thread takes the first
// file and reports.
Status Import::hash_files() {
  std::atomic<std::size_t> next{1};
  std::mutex mutex;
  Status result;
  const auto work = [&] {
    for (std::size_t i = next++; i < files_.size(); i = next++) {
      Status status = hash_file(i);
      const std::lock_guard guard(mutex);
      if (!status.ok() && result.ok()) result = std::move(status);
    }
  };
  std::vector<std::thread> helpers;
  for (std::size_t i = 1; i < std::min<std::size_t>(options_.threads, files_.size()); ++i) {
    auto helper = platform::start_thread("hf-hash", work);
    if (!helper.ok()) break;  // slower, not wrong
    helpers.push_back(*std::move(helper));
  }
  Status first = hash_file(0);
  if (first.ok()) work();
  for (std::thread& helper : helpers) helper.join();
  HF_TRY(std::move(first));
  HF_TRY(std::move(result));
  std::vector<crypto::Sha256Digest> digests;
  for (const SourceFile& f : convert_.files) digests.push_back(f.digest);
  source_ = vault::source_digest(digests);
  report("hashing", total_bytes_, total_bytes_);
  return ok_status();
}

Result<std::optional<registry::ModelRecord>> Import::find_by_cached_digests() const {
  std::vector<crypto::Sha256Digest> digests;
  for (const platform::FileInfo& info : infos_) {
    const auto digest = cache_.find(info);
    if (!digest) return std::optional<registry::ModelRecord>();
    digests.push_back(*digest);
  }
  return store_.find_source(vault::source_digest(digests), variant());
}

Status Import::check_files() const {
  if (!options_.check_files) return ok_status();
  std::map<std::string, crypto::Sha256Digest> digests;
  for (std::size_t i = 0; i < found_.paths.size(); ++i)
    digests[found_.paths[i]] = convert_.files[i].digest;
  return options_.check_files(digests);
}

// By the time of change, which no program can set.
Status Import::check_unchanged() const {
  if (!options_.check_files) return ok_status();
  for (std::size_t i = 0; i < files_.size(); ++i) {
    struct stat now {};
    if (::fstat(files_[i]->fd(), &now) != 0) return os_error(errno, "fstat", found_.paths[i]);
    const struct stat& before = states_[i];
    if (now.st_size != before.st_size || now.st_ctim.tv_sec != before.st_ctim.tv_sec ||
        now.st_ctim.tv_nsec != before.st_ctim.tv_nsec)
      return corrupt("a file changed while it was imported", found_.paths[i]);
  }
  return ok_status();
}

// Only for files that are still what they were before they were hashed.
void Import::remember_digests() {
  for (std::size_t i = 0; i < infos_.size(); ++i) {
    const auto now = fs_.stat(found_.paths[i]);
    const platform::FileInfo& before = infos_[i];
    if (!now.ok() || now->inode != before.inode || now->size != before.size ||
        now->modified_unix_ns != before.modified_unix_ns) {
      continue;
    }
    cache_.add(before, convert_.files[i].digest);
  }
  cache_.save();
}

// Everything but the source that the bytes of the pack depend on.
std::string Import::variant() const {
  std::string variant = found_.checkpoint ? "safetensors/" : "gguf/";
  variant += std::to_string(kConverterRevision);
  if (options_.vocab_only) variant += "+vocab";
  if (options_.template_text) {
    const auto digest = crypto::sha256(as_bytes_view(*options_.template_text));
    variant += "+template:" + options_.template_name + ":" + to_hex(ByteView(digest).first(8));
  }
  if (options_.signature) variant += "+oms:" + to_hex(ByteView(options_.signature->root).first(8));
  if (options_.model_version != 0) variant += "+v" + std::to_string(options_.model_version);
  return sealed_variant(std::move(variant), options_.keys != nullptr);
}

Result<ImportResult> Import::run() {
  if (Status status = open_files(); !status.ok()) return about_file(status.error());
  HF_TRY_ASSIGN(const registry::ModelName name,
                registry::parse_model_name(options_.name.empty() ? found_.name : options_.name));
  convert_.vocab_only = options_.vocab_only;
  convert_.template_text = options_.template_text;
  convert_.template_name = options_.template_name;
  convert_.threads = std::max(1u, options_.threads);
  if (options_.signature) {
    convert_.oms_root = options_.signature->root;
    convert_.oms_bundle = options_.signature->bundle;
  }
  convert_.model_version = options_.model_version;
  std::optional<registry::ModelRecord> known;
  if (!options_.check_files) {
    HF_TRY_ASSIGN(known, find_by_cached_digests());
  }
  if (!known) {
    if (Status status = hash_files(); !status.ok()) return about_file(status.error());
    HF_TRY(check_files());
    HF_TRY_ASSIGN(known, store_.find_source(source_, variant()));
  }
  if (!known) return convert_and_publish(name);
  if (source_ == known->source) remember_digests();
  return add_name(*known, name);
}

Result<ImportResult> Import::add_name(const registry::ModelRecord& known,
                                      const registry::ModelName& name) {
  HF_TRY_ASSIGN(registry::ModelRecord record, store_.add_name(known, name));
  return ImportResult{std::move(record), true};
}

// While another process converts the same file, its result is worth waiting for.
Result<std::unique_ptr<registry::Staging>> Import::stage_or_wait() {
  // Most types keep their size; what a pack adds is rounding and the tokenizer's tables. Types that
  // grow more run into the real limit of the disk, which is reported as well.
  const std::uint64_t expected = options_.vocab_only ? 0 : total_bytes_ + total_bytes_ / 16;
  while (true) {
    auto staging = store_.stage(source_, expected);
    if (staging.ok() || staging.error().code() != ErrorCode::kUnavailable) return staging;
    if (cancelled()) return holdfast::cancelled("the import was cancelled");
    report("waiting", 0, 0);
    platform::pause_for(kCancelPoll);
  }
}

Result<ImportResult> Import::convert_and_publish(const registry::ModelName& name) {
  HF_TRY_ASSIGN(auto staging, stage_or_wait());
  // Somebody else may have finished just before.
  HF_TRY_ASSIGN(const auto known, store_.find_source(source_, variant()));
  if (known) return add_name(*known, name);
  auto converted = convert_in_child(*staging);
  if (!converted.ok()) return about_file(converted.error());
  if (Status same = check_unchanged(); !same.ok()) return about_file(same.error());
  report("finishing", 0, 0);
  json::Object others = options_.others;
  if (options_.sign && !others.contains("signature")) {
    HF_TRY_ASSIGN(json::Object signature, options_.sign(converted->pack));
    others.set("signature", std::move(signature));
  }
  HF_TRY_ASSIGN(
      registry::ModelRecord record,
      store_.publish(std::move(staging), {name, source_, variant(), converted->facts,
                                          options_.stage, options_.provenance, std::move(others)}));
  remember_digests();
  if (record.pack != converted->pack) return internal_error("the pack is not the one announced");
  return ImportResult{std::move(record), false};
}

Result<ConvertResult> Import::convert_in_child(registry::Staging& staging) {
  ChildRun run;
  run.program = options_.engine_program;
  run.mode = "import";
  for (const auto& file : files_) run.inputs.push_back(file->fd());
  run.output = staging.file().fd();
  PackKeys::NewKey key;
  if (options_.keys != nullptr) {
    HF_TRY_ASSIGN(key, options_.keys->new_key(vault::pack_model_id(source_)));
    convert_.sealed = true;
    convert_.created = now_unix_seconds();
    run.key = key.message.get();
  }
  run.request_json = encode_request(convert_);
  run.name = "import";
  run.cancel = options_.cancel;
  run.on_progress = [this](std::uint64_t done, std::uint64_t total) {
    report("converting", done, total);
  };
  HF_TRY_ASSIGN(const std::string text, run_child(run));
  HF_TRY_ASSIGN(ConvertResult result, decode_result(text));
  if (convert_.sealed) HF_TRY(fill_first_slot(staging.file(), key.slot));
  return result;
}

}  // namespace

Result<ImportResult> import_model(registry::Store& store, const ImportOptions& options) {
  return Import(store, options).run();
}

}  // namespace holdfast::importer
