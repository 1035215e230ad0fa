// The models that the server offers: the store, seen through the backend's interface.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "holdfast/backend/native_backend.h"
#include "holdfast/config/settings.h"
#include "holdfast/custody/custody.h"
#include "holdfast/registry/store.h"

namespace holdfast::cli {

// Keeps the list in memory and reads the store's small manifests again when it is a moment old, so
// that an import shows without a restart. Owner: serve. Thread-safe.
class StoreCatalog final : public backend::ModelCatalog {
 public:
  // `custody` has the keys of sealed packs. `warn` is told of models that policy.signatures lets
  // pass although their signature does not hold; from any thread.
  StoreCatalog(std::shared_ptr<registry::Store> store, std::shared_ptr<custody::Custody> custody,
               const config::Settings& settings, std::function<void(const std::string&)> warn);

  std::vector<backend::ModelFacts> list() override;
  Result<backend::ModelFacts> resolve(std::string_view name) override;
  Result<platform::UniqueFd> open_pack(const backend::ModelFacts& model) override;
  Result<platform::UniqueFd> open_keys(const backend::ModelFacts& model) override;
  void set_aliases(config::Map aliases);

 private:
  struct Entry {
    backend::ModelFacts facts;
    registry::ModelRecord record;
  };
  void refresh(std::unique_lock<std::mutex>& held);
  Entry make_entry(const registry::ModelRecord& record) const;

  const std::shared_ptr<registry::Store> store_;
  const std::shared_ptr<custody::Custody> custody_;
  config::Map aliases_;  // guarded by mutex_
  const std::uint64_t context_max_;
  const config::Settings settings_;
  const std::function<void(const std::string&)> warn_;
  std::mutex mutex_;
  std::vector<Entry> entries_;
  std::chrono::steady_clock::time_point read_at_;
};

}  // namespace holdfast::cli
