#include "local_model.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "engine_config.h"
#include "holdfast/base/units.h"
#include "holdfast/chat/bundled.h"
#include "holdfast/importer/importer.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/filesystem.h"
#include "keyring.h"
#include "model_facts_text.h"
#include "output.h"
#include "signatures.h"

namespace holdfast::cli {

namespace {

constexpr std::uint64_t kTemplateBytesMax = 512 * kKiB;

// Stateless; the store keeps a reference for as long as the program runs.
platform::FileSystem& real_files() {
  static platform::PosixFileSystem files;
  return files;
}

std::string file_name(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

}  // namespace

Result<std::unique_ptr<registry::Store>> open_store(const Context& context) {
  std::string dir = context.settings.text(config::Setting::store_dir);
  if (dir.empty()) dir = context.data_dir;
  return registry::Store::open(real_files(), platform::system_clock(), dir);
}

bool looks_like_path(const std::string& model) {
  if (model.starts_with("/") || model.starts_with("./") || model.starts_with("../")) return true;
  if (model.ends_with(".gguf")) return true;
  std::error_code ec;
  return std::filesystem::is_regular_file(model, ec);
}

Status check_stage(const registry::ModelRecord& model) {
  if (model.stage != registry::Stage::kRetired) return ok_status();
  return Error(ErrorCode::kDenied, "the model \"" + model.name.shown() + "\" is retired")
      .with_hint("holdfast policy stage " + model.name.shown() + " production");
}

std::vector<registry::ModelRecord> one_per_pack(const std::vector<registry::ModelRecord>& models) {
  std::vector<registry::ModelRecord> out;
  for (const registry::ModelRecord& m : models) {
    const auto same = [&](const registry::ModelRecord& known) { return known.pack == m.pack; };
    if (std::none_of(out.begin(), out.end(), same)) out.push_back(m);
  }
  return out;
}

Result<std::string> template_text(const std::string& name_or_file) {
  if (const auto bundled = chat::find_bundled(name_or_file)) return std::string(*bundled);
  auto file = platform::File::open_read(name_or_file);
  if (!file.ok()) {
    std::string names;
    for (const auto& t : chat::bundled_templates())
      names += (names.empty() ? "" : ", ") + std::string(t.name);
    return not_found("'" + name_or_file + "' is neither a bundled chat template nor a file")
        .with_hint("bundled templates: " + names);
  }
  HF_TRY_ASSIGN(const Bytes bytes, platform::read_all(*file, kTemplateBytesMax));
  return std::string(as_string_view(bytes));
}

Result<registry::ModelRecord> import_path(const Context& context, registry::Store& store,
                                          const std::string& path, const ImportFlags& flags,
                                          bool* was_there) {
  importer::ImportOptions options;
  options.path = path;
  options.name = flags.name;
  options.vocab_only = flags.vocab_only;
  options.threads = static_cast<unsigned>(engine_config(context).find("threads")->as_int());
  HF_TRY_ASSIGN(options.engine_program, engine_program());
  if (!flags.template_name.empty()) {
    HF_TRY_ASSIGN(options.template_text, template_text(flags.template_name));
    options.template_name = flags.template_name;
  }
  options.provenance = flags.provenance ? flags.provenance : provenance_of_path(context, path);
  Progress bar(context, "importing " + file_name(path));
  options.on_progress = [&bar](const importer::Progress& p) {
    bar.update(p.done_bytes, p.total_bytes);
  };
  options.model_version = flags.model_version;
  if (flags.on_progress) options.on_progress = flags.on_progress;
  options.cancel = flags.cancel;
  std::unique_ptr<custody::Custody> custody;
  std::unique_ptr<custody::Custody> unsealing;
  custody::Custody* signing_custody = nullptr;
  std::optional<HolderPackKeys> keys;
  if (!flags.unsealed) {
    HF_TRY_ASSIGN(custody, sealing_custody(context));
    HF_TRY(apply_source_signature(context, path, options.template_text.has_value(), options));
    // Also where models are not sealed.
    if (custody == nullptr) {
      HF_TRY_ASSIGN(unsealing, existing_custody(context));
    }
    signing_custody = custody != nullptr ? custody.get() : unsealing.get();
    options.sign = instance_signing(context, signing_custody);
  }
  if (custody != nullptr) options.keys = &keys.emplace(*custody);
  HF_TRY_ASSIGN(importer::ImportResult result, importer::import_model(store, options));
  if (was_there != nullptr) *was_there = result.was_there;
  if (!flags.unsealed) HF_TRY(sign_if_unsigned(context, store, result.model, signing_custody));
  return std::move(result.model);
}

LocalModel::TemporaryFolder::~TemporaryFolder() {
  std::error_code ec;
  std::filesystem::remove_all(path, ec);
}

Result<LocalModel> LocalModel::open(const Context& context, const std::string& model) {
  LocalModel m(context);
  HF_TRY_ASSIGN(m.store_, open_store(context));
  if (!looks_like_path(model)) {
    HF_TRY_ASSIGN(m.record_, m.store_->resolve(model));
    HF_TRY(check_stage(m.record_));
    HF_TRY(check_signature(context, *m.store_, m.record_));
    return m;
  }
  HF_TRY_ASSIGN(m.record_, import_path(context, *m.store_, model, {}));
  return m;
}

Result<LocalModel> LocalModel::open_private(const Context& context, const std::string& model,
                                            bool vocab_only) {
  if (!looks_like_path(model)) return open(context, model);
  LocalModel m(context);
  std::error_code ec;
  std::string path = (std::filesystem::temp_directory_path(ec) / "holdfast-eval-XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) return os_error(errno, "make a temporary folder", path);
  m.folder_ = std::make_shared<TemporaryFolder>(path);
  HF_TRY_ASSIGN(m.store_, registry::Store::open(real_files(), platform::system_clock(), path));
  Context quiet = context;
  quiet.flags.no_progress = true;
  HF_TRY_ASSIGN(
      m.record_,
      import_path(
          quiet, *m.store_, model,
          {.name = "model", .vocab_only = vocab_only, .template_name = {}, .unsealed = true}));
  return m;
}

Result<platform::UniqueFd> LocalModel::open_pack() const {
  HF_TRY_ASSIGN(const std::unique_ptr<platform::OpenFile> file, store_->open_pack(record_));
  return platform::duplicate(*file);
}

Result<platform::UniqueFd> LocalModel::open_keys() const {
  HF_TRY_ASSIGN(const std::unique_ptr<platform::OpenFile> file, store_->open_pack(record_));
  return pack_keys(*context_, *file);
}

Result<Bytes> LocalModel::read_object(vault::ObjectKind kind) const {
  HF_TRY_ASSIGN(const std::unique_ptr<platform::OpenFile> file, store_->open_pack(record_));
  HF_TRY_ASSIGN(const vault::PackReader pack, open_reader(*context_, *file));
  return pack.read_object(kind);
}

Result<vault::PackIndex> LocalModel::read_index() const {
  HF_TRY_ASSIGN(const std::unique_ptr<platform::OpenFile> file, store_->open_pack(record_));
  HF_TRY_ASSIGN(const vault::PackReader pack, open_reader(*context_, *file));
  return pack.index();
}

Result<std::uint64_t> LocalModel::payload_bytes() const {
  HF_TRY_ASSIGN(const std::unique_ptr<platform::OpenFile> file, store_->open_pack(record_));
  HF_TRY_ASSIGN(const vault::PackReader pack, open_reader(*context_, *file));
  return pack.payload_bytes();
}

// The draft model is one of the user's own, also where this one is in a private store.
Status LocalModel::add_draft(const Context& context, backend::EngineProcessOptions& options) const {
  const json::Value* speculation = options.config.find("speculation");
  const std::string name = draft_model(context);
  if (speculation == nullptr || *speculation != json::Value("draft")) return ok_status();
  auto draft = open(context, name);
  if (!draft.ok()) return Error(std::move(draft).error()).add_context("draft model " + name);
  if (draft->record().pack == record_.pack) {
    notice(context, "note: " + name + " cannot guess for itself; speculation is \"auto\"");
    options.config.set("speculation", "auto");
    return ok_status();
  }
  HF_TRY_ASSIGN(options.draft_pack, draft->open_pack());
  HF_TRY_ASSIGN(options.draft_keys, draft->open_keys());
  return ok_status();
}

Result<std::unique_ptr<backend::EngineProcess>> LocalModel::start_engine(
    const Context& context, json::Object config) const {
  backend::EngineProcessOptions options;
  HF_TRY_ASSIGN(options.program, engine_program());
  HF_TRY_ASSIGN(options.pack, open_pack());
  HF_TRY_ASSIGN(options.keys, open_keys());
  options.config = std::move(config);
  HF_TRY(add_draft(context, options));
  options.verbose = context.flags.verbose;
  return backend::EngineProcess::start(std::move(options));
}

}  // namespace holdfast::cli
