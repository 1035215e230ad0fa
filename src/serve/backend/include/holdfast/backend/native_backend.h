// NativeBackend: models of the local store, each run by a jailed engine child that is started on
// demand.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "holdfast/backend/backend.h"
#include "holdfast/backend/engine_process.h"
#include "holdfast/platform/clock.h"

namespace holdfast::backend {

// The models that exist. Implemented over the store by the composition root. Thread-safe.
class ModelCatalog {
 public:
  virtual ~ModelCatalog() = default;
  virtual std::vector<ModelFacts> list() = 0;
  // The model of an id or alias; kNotFound suggests the nearest name.
  virtual Result<ModelFacts> resolve(std::string_view name) = 0;
  virtual Result<platform::UniqueFd> open_pack(const ModelFacts& model) = 0;
  // A socket with the pack's keys, as EngineProcessOptions wants it; invalid for a pack that is not
  // sealed. kUnavailable while the keyring is sealed.
  virtual Result<platform::UniqueFd> open_keys(const ModelFacts& model) = 0;
};

struct NativeBackendOptions {
  std::string engine_program;
  json::Object engine_config;  // given to every engine: threads, context, kv_type, batch_max, ...
  // With engine_config's speculation "draft": the model that guesses for all others. Itself it is
  // loaded with "auto".
  std::string draft_model;
  std::chrono::milliseconds keep_alive{600'000};
  std::uint32_t loaded_max = 0;          // 0: as many as memory allows
  std::uint64_t memory_limit_bytes = 0;  // for all engines together; 0: host or cgroup less 10 %
  // First and longest pause before a crashed engine is started again; it doubles in between.
  std::chrono::milliseconds restart_backoff{1'000};
  std::chrono::milliseconds restart_backoff_max{60'000};
  // An engine that says nothing for this long while requests are under way is killed; 0: never.
  std::chrono::milliseconds hang_timeout{120'000};
  // Requests that may wait for one model to be loaded; more are refused with kOverloaded.
  std::size_t waiters_max = 256;
  bool verbose = false;
};

// Loads happen one at a time on a thread of their own; requests for a model that is being loaded
// wait for it, at most until their deadline, or fail at once with kModelLoading if they do not want
// to. An idle model is unloaded after keep_alive, or earlier when another needs its memory; a
// pinned one (negative keep_alive) stays until unload() or a load() with another keep_alive. When
// an engine dies or hangs, its requests fail with kEngineCrashed and it is started again on the
// next request, after a pause that grows with each crash. A load that fails is not tried again for
// a while: until then requests get its failure.
class NativeBackend final : public Backend {
 public:
  NativeBackend(NativeBackendOptions options, std::shared_ptr<ModelCatalog> catalog);
  ~NativeBackend() override;

  std::vector<ModelFacts> models() override;
  Stats stats() override;
  std::unique_ptr<RequestHandle> generate(GenerateRequest request,
                                          std::shared_ptr<GenerateObserver> observer) override;
  void tokenize(TokenizeRequest request, Done<Tokenized> done) override;
  void detokenize(std::string model, std::vector<std::int32_t> tokens,
                  Done<std::string> done) override;
  void render(std::string model, ChatPrompt prompt, Done<std::string> done) override;
  void load(std::string model, std::optional<std::chrono::milliseconds> keep_alive,
            Done<EngineFacts> done) override;
  void unload(std::string model, Done<std::monostate> done) override;

  // The time of models that are loaded from now on, and of those that have had the old one.
  void set_keep_alive(std::chrono::milliseconds keep_alive);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace holdfast::backend
