// UpstreamBackend: models that another engine or service runs, over the OpenAI API.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/backend/backend.h"
#include "holdfast/observe/log.h"
#include "holdfast/observe/trace.h"
#include "holdfast/platform/entropy.h"

namespace holdfast::backend {

// A child that serves the API on a loopback port that we choose.
struct ProcessOptions {
  std::vector<std::string> command;  // absolute program first; {port} and {model} are replaced
  std::string model_file;
  std::string health = "/health";  // answers 200 when it is ready
  std::chrono::milliseconds start_timeout{120'000};
  std::chrono::milliseconds health_interval{5'000};
  // First and longest pause before it is started again; it doubles in between. The first failure
  // after a minute without one costs no pause.
  std::chrono::milliseconds restart_backoff{1'000};
  std::chrono::milliseconds restart_backoff_max{60'000};
  std::chrono::milliseconds stop_grace{5'000};
  std::vector<std::string> read;   // what it may read besides the model and the system's libraries
  std::vector<std::string> write;  // what it may write
  std::uint64_t address_space_max = 0;
};

struct UpstreamOptions {
  std::string name;
  std::string url;     // empty for a process
  std::string bearer;  // the credential itself; empty: none
  std::string ca_file;
  std::map<std::string, std::string, std::less<>> models;  // theirs to ours
  std::uint32_t concurrency = 8;
  std::uint64_t context_length = 0;
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds first_token_timeout{300'000};
  std::chrono::milliseconds idle_timeout{60'000};
  std::chrono::milliseconds timeout{600'000};
  std::optional<ProcessOptions> process;
  bool egress_allowed = false;  // false: only loopback and unix sockets
};

// What has to be reached for an upstream's URL.
struct UpstreamReach {
  std::uint16_t port = 0;  // 0: a unix socket
  bool by_name = false;    // the host is neither an address nor "localhost": it is looked up
};
// kInvalidArgument: not the URL of an upstream.
Result<UpstreamReach> upstream_reach(const std::string& url);

// Where the spans of calls go. Both outlive the backend.
struct UpstreamTracing {
  observe::SpanSink* sink =
      nullptr;  // null: there are none, and contexts are passed on as they are
  platform::Entropy* entropy = nullptr;  // of span ids; set with `sink`
};

// A process is started by the first request and runs until unload() or the end. Answers arrive on a
// thread of the backend. Everything it reads is bounded; its words never reach a client, nor the
// credential a log.
class UpstreamBackend final : public Backend {
 public:
  // kInvalidArgument: a URL that is none, or that policy.egress forbids. The logger outlives it.
  static Result<std::unique_ptr<UpstreamBackend>> create(UpstreamOptions options,
                                                         const observe::Logger& logger,
                                                         UpstreamTracing tracing = {});
  ~UpstreamBackend() override;

  std::vector<ModelFacts> models() override;
  Stats stats() override;
  // One row, for its `health`; empty for a service.
  std::vector<RouteFacts> routes() override;
  std::unique_ptr<RequestHandle> generate(GenerateRequest request,
                                          std::shared_ptr<GenerateObserver> observer) override;
  // kUnsupported where the upstream has no such route (llama-server has).
  void tokenize(TokenizeRequest request, Done<Tokenized> done) override;
  void detokenize(std::string model, std::vector<std::int32_t> tokens,
                  Done<std::string> done) override;
  void render(std::string model, ChatPrompt prompt, Done<std::string> done) override;
  void load(std::string model, std::optional<std::chrono::milliseconds> keep_alive,
            Done<EngineFacts> done) override;
  void unload(std::string model, Done<std::monostate> done) override;

  struct Impl;

 private:
  explicit UpstreamBackend(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;
};

}  // namespace holdfast::backend
