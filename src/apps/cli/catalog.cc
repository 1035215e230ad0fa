#include "catalog.h"

#include <algorithm>
#include <cerrno>

#include "holdfast/base/bytes.h"
#include "keyring.h"
#include "local_model.h"
#include "signatures.h"

namespace holdfast::cli {

namespace {

// An import becomes visible within this time; more often the disk is not asked.
constexpr auto kFreshFor = std::chrono::milliseconds(250);

}  // namespace

StoreCatalog::StoreCatalog(std::shared_ptr<registry::Store> store,
                           std::shared_ptr<custody::Custody> custody,
                           const config::Settings& settings,
                           std::function<void(const std::string&)> warn)
    : store_(std::move(store)),
      custody_(std::move(custody)),
      aliases_(settings.map(config::Setting::models_aliases)),
      context_max_(
          static_cast<std::uint64_t>(settings.integer(config::Setting::limits_context_max))),
      settings_(settings),
      warn_(std::move(warn)) {}

StoreCatalog::Entry StoreCatalog::make_entry(const registry::ModelRecord& r) const {
  backend::ModelFacts f;
  f.id = r.name.full();
  f.created = r.created_unix;
  f.architecture = r.facts.architecture;
  f.context_length = r.facts.context_length;
  if (context_max_ > 0) f.context_length = std::min(f.context_length, context_max_);
  f.quantization = r.facts.quantization;
  f.parameters = r.facts.parameters;
  f.size_bytes = r.size_bytes;
  f.digest = "sha256:" + to_hex(r.pack);
  f.license = r.facts.license;
  f.capabilities = {"completion"};
  f.has_chat_template = r.facts.has_template;
  for (const auto& [alias, model] : aliases_) {
    if (model == r.name.full() || model == r.name.shown()) f.aliases.push_back(alias);
  }
  return {std::move(f), r};
}

void StoreCatalog::refresh(std::unique_lock<std::mutex>&) {
  const auto now = std::chrono::steady_clock::now();
  if (read_at_ != std::chrono::steady_clock::time_point() && now - read_at_ < kFreshFor) return;
  read_at_ = now;
  const auto listing = store_->list();
  if (!listing.ok()) return;  // the list of before stays; opening a pack will say what is wrong
  entries_.clear();
  for (const registry::ModelRecord& r : listing->models) {
    if (!r.facts.vocab_only && check_stage(r).ok()) entries_.push_back(make_entry(r));
  }
}

std::vector<backend::ModelFacts> StoreCatalog::list() {
  std::unique_lock lock(mutex_);
  refresh(lock);
  std::vector<backend::ModelFacts> out;
  for (const Entry& e : entries_) out.push_back(e.facts);
  return out;
}

Result<backend::ModelFacts> StoreCatalog::resolve(std::string_view name) {
  std::string model(name);
  {
    const std::lock_guard lock(mutex_);
    if (const auto alias = aliases_.find(name); alias != aliases_.end()) model = alias->second;
  }
  HF_TRY_ASSIGN(const registry::ModelRecord record, store_->resolve(model));
  if (record.facts.vocab_only) return unsupported("this model has no weights");
  HF_TRY(check_stage(record));
  const std::lock_guard lock(mutex_);
  return make_entry(record).facts;
}

void StoreCatalog::set_aliases(config::Map aliases) {
  const std::lock_guard lock(mutex_);
  aliases_ = std::move(aliases);
  read_at_ = {};  // entries carry their aliases
}

Result<platform::UniqueFd> StoreCatalog::open_pack(const backend::ModelFacts& model) {
  HF_TRY_ASSIGN(const registry::ModelRecord record, store_->resolve(model.id));
  HF_TRY_ASSIGN(const std::unique_ptr<platform::OpenFile> file, store_->open_pack(record));
  HF_TRY_ASSIGN(const vault::PackHeader header, vault::read_pack_header(*file));
  custody::Custody* const keys = custody_->exists() ? custody_.get() : nullptr;
  HF_TRY(check_signature(settings_, record, header, keys, warn_));
  return platform::duplicate(*file);
}

Result<platform::UniqueFd> StoreCatalog::open_keys(const backend::ModelFacts& model) {
  HF_TRY_ASSIGN(const registry::ModelRecord record, store_->resolve(model.id));
  HF_TRY_ASSIGN(const std::unique_ptr<platform::OpenFile> file, store_->open_pack(record));
  return pack_keys(*custody_, *file);
}

}  // namespace holdfast::cli
