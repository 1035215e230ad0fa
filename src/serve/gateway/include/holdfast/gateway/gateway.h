// Gateway: the HTTP API. Reads requests, asks the backend, writes answers and event streams.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/backend/backend.h"
#include "holdfast/gateway/tracing.h"
#include "holdfast/http/server.h"
#include "holdfast/identity/key_table.h"
#include "holdfast/identity/principal.h"
#include "holdfast/observe/log.h"
#include "holdfast/observe/metrics.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/entropy.h"

namespace holdfast::gateway {

struct MetricsOptions {
  bool enabled = true;                 // whether /metrics answers (metrics.enabled)
  bool vllm_names = true;              // false: holdfast_ instead of vllm: (metrics.vllm_names)
  bool vllm_old_names = false;         // also names that vLLM has given up (metrics.vllm_old_names)
  std::size_t model_names_max = 1000;  // further ones are "_other" (metrics.model_name_max)
};

// When keys are needed (auth.mode). Auto: as soon as one exists, and always where others than this
// machine can connect.
enum class AuthMode : std::uint8_t { kAuto, kRequired, kOff };

struct AuthOptions {
  AuthMode mode = AuthMode::kAuto;
  bool public_listener = false;      // a TCP listener that is not loopback
  bool metrics_auth = false;         // /metrics needs a key of an administrator (metrics.auth)
  std::uint64_t fail_limit = 20;     // wrong keys a minute and address (auth.fail_limit); 0: any
  std::uint32_t owner_uid = 0;       // whose processes are the local user on the unix socket
  std::vector<std::string> proxies;  // not empty: only these addresses, and this machine, may ask
};

struct CallerLimits {
  std::uint32_t requests_per_key = 32;  // at once (limits.requests_per_key)
  identity::Quotas quotas;              // of keys without their own (quota.*); 0: none
};

struct GatewayOptions {
  std::string version = "0.0.0";
  std::string commit;
  std::string engine_isa;            // shown by /version
  std::string default_model;         // used when a request names none; empty: the request must
  std::vector<std::string> preload;  // models that /health waits for
  std::uint32_t n_max = 8;           // answers per request (limits.n_max)
  std::size_t body_bytes_max = 8u << 20;
  std::chrono::milliseconds deadline{600'000};      // of any request (server.deadline)
  std::chrono::milliseconds ping_interval{15'000};  // silence in a stream
  bool wait_for_load =
      true;  // false: a request for a cold model is answered 503 while it loads (models.on_cold)
  int overload_status = 503;  // or 429, for gateways that read 429 as backpressure
  // A text that an answer holds back because its reader is slow. The reader is dropped above it.
  std::size_t backlog_bytes_max = 4u << 20;
  MetricsOptions metrics;
  AuthOptions auth;
  CallerLimits limits;
};

// Names and states that /readyz reports, besides its own.
using ReadinessCheck = std::function<std::vector<std::pair<std::string, bool>>()>;

// The configuration of the process, as the management routes show and reload it. Called on the
// loop's thread.
struct ConfigAccess {
  std::function<json::Array()> show;  // an object per setting
  // Reads it again: what changed, or why it was refused whole.
  std::function<Result<json::Object>()> reload;
};

// The planner, as the management routes ask it: a document in, an answer out. Errors begin with the
// path of the field. Called on a thread of the gateway's own, one call at a time.
using PlanCall = std::function<Result<json::Value>(json::Value)>;
struct PlanAccess {
  PlanCall plan;
  PlanCall fit;
};

// To stop: begin_drain(), then end_generations(), close the server, destroy the gateway, then the
// backend, then the loop.
//
// References outlive the gateway; the gateway outlives the server that its hooks are given to.
// Everything runs on the loop's thread except where the backend calls back, which only posts to the
// loop.
class Gateway {
 public:
  struct Environment {
    http::EventLoop& loop;
    backend::Backend& backend;
    observe::Registry& metrics;
    const observe::Logger& logger;
    const platform::Clock& clock;
    platform::Entropy& entropy;
    Tracing* tracing = nullptr;          // where traces go; null: there are none
    identity::KeyTable* keys = nullptr;  // nullptr: there are no keys
  };

  Gateway(Environment environment, GatewayOptions options);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // Registers every metric that a gateway fills, for documents and for checks of names.
  static void declare_metrics(observe::Registry& registry, const MetricsOptions& options = {});

  http::ServerHooks hooks();
  // Host and CORS rules with the header lists of this API.
  static http::AccessOptions access_options(std::vector<std::string> hosts,
                                            std::vector<std::string> cors_origins);

  void set_readiness(ReadinessCheck check);
  // Layers of the sandbox that this system withholds: /readyz?verbose names them, and stays 200.
  void set_degraded(std::vector<std::string> layers);
  // Without it the configuration routes are 404.
  void set_config(ConfigAccess access);
  // Without it the planner's routes are 404. Before requests come.
  void set_planner(PlanAccess access);
  // For requests that begin from now on. Loop's thread only.
  void update(GatewayOptions options);
  // From now on /readyz is 503 and new generations are refused with 503 `draining`. Loop's thread
  // only.
  void begin_drain();
  // While the keyring is sealed every path but /livez and /healthz is 503 `sealed`. Loop's thread
  // only.
  void set_sealed(bool sealed);
  // Ends the generations that still run with an error frame or 503.
  void end_generations();
  std::size_t active_generations() const;

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace holdfast::gateway
