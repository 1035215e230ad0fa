// Router: one Backend over several. Decides what may wait, where it runs, and what is tried again.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "holdfast/backend/backend.h"
#include "holdfast/observe/log.h"
#include "holdfast/observe/metrics.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/entropy.h"
#include "holdfast/router/admission.h"
#include "holdfast/router/breaker.h"
#include "holdfast/router/memory_level.h"

namespace holdfast::router {

struct Target {
  std::string name;  // "native", or the name of the upstream
  std::string kind;  // "native", "openai", "process"
  std::unique_ptr<backend::Backend> backend;
  // Requests that one model runs together there, where the backend does not tell.
  std::uint32_t slots = 8;
  // The native backend has a back-off of its own for engines that crash.
  bool with_breaker = true;
};

struct RouterOptions {
  AdmissionLimits admission;
  BreakerOptions breaker;
  // Bytes of the prompt that say which cache it belongs to: a system prompt's worth.
  std::size_t affinity_bytes_max = 1024;
  std::chrono::milliseconds retry_pause{100};
};

// A request goes to the target with the smallest part of its slots in use. Among those within a
// quarter of the smallest, the prompt's beginning and the caller's cache domain choose (rendezvous
// hashing), so that a shared prompt meets its cached prefix. Before its first token a request whose
// upstream failed is sent once more: to another target, or to the same where there is no other and
// the connection was at fault. After the first token never.
//
// Thread-safe. All targets live as long as the router and are destroyed by it, in the reverse
// order of `targets`.
class Router final : public backend::Backend {
 public:
  struct Environment {
    observe::Registry& metrics;
    const observe::Logger& logger;
    const platform::Clock& clock;
    platform::Entropy& entropy;  // used under a lock
  };

  Router(RouterOptions options, std::vector<Target> targets, Environment environment);
  ~Router() override;

  // Registers every metric that a router fills, for documents.
  static void declare_metrics(observe::Registry& registry);

  // Limits of the queues, for what arrives from now on.
  void set_admission(AdmissionLimits limits);
  // The part of the memory that is in use, 0..1, as memory_in_use() counts it. To be told again and
  // again: each call at the last level ends the youngest request of the own engines, with
  // kOverloaded.
  void set_memory_in_use(double part);

  std::vector<backend::ModelFacts> models() override;
  backend::Stats stats() override;
  std::vector<backend::RouteFacts> routes() override;
  std::unique_ptr<backend::RequestHandle> generate(
      backend::GenerateRequest request,
      std::shared_ptr<backend::GenerateObserver> observer) override;
  void tokenize(backend::TokenizeRequest request, backend::Done<backend::Tokenized> done) override;
  void detokenize(std::string model, std::vector<std::int32_t> tokens,
                  backend::Done<std::string> done) override;
  void render(std::string model, backend::ChatPrompt prompt,
              backend::Done<std::string> done) override;
  void load(std::string model, std::optional<std::chrono::milliseconds> keep_alive,
            backend::Done<backend::EngineFacts> done) override;
  void unload(std::string model, backend::Done<std::monostate> done) override;

  class Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace holdfast::router
