// A backend that follows a script, for tests of the gateway: no model, no child, the same answers
// every time.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "holdfast/backend/backend.h"

namespace holdfast::gateway::testing_support {

// Models: "tiny:latest" (alias "t"; ready; context 64), "org/name:q4" (ready), "cold:latest"
// (cold: loads at the first request, which fails where it does not wait). The answer is "Hello,
// wörld 🌍!" in six tokens, one of them half a character, then "
// #<seed>" where a seed was given. The last message or prompt steers it:
//   "say X"       the answer is X, a token per character
//   "hang"        starts and gives no token until it is cancelled
//   "queue"       never starts
//   "count N MS"  N tokens " 0", " 1", ..., MS milliseconds apart
//   "slow"        20 ms per token, 500 tokens of "x "
//   "flood"       50000 tokens of 32 characters at once
//   "fail early"  engine crash before the start; "fail late": after two tokens
//   "raise"       refused by the chat template;  "full": the queue is full
//   "drain"       cancelled by the backend after two tokens
//   "calls"       calls weather (id a1) and time (no id) of the tools, their parts interleaved
//   "calls long"  one call with 30000 bytes of arguments; "calls tiny": 40000 parts of two calls
// "org/name:q4" can be constrained.
class FakeBackend final : public backend::Backend {
 public:
  FakeBackend();
  ~FakeBackend() override;

  std::vector<backend::ModelFacts> models() override;
  backend::Stats stats() override;
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

  // What the gateway asked for, and when it cancelled.
  std::vector<backend::GenerateRequest> requests() const;
  std::size_t cancelled() const { return cancelled_.load(); }
  std::chrono::steady_clock::time_point last_cancel() const;
  std::size_t running() const;
  std::size_t most_running() const { return most_running_.load(); }

 private:
  struct Run;
  class Handle;
  void work();
  bool step(Run& run);
  bool call_tools(Run& run);

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::list<std::shared_ptr<Run>> runs_;
  std::vector<backend::GenerateRequest> requests_;
  std::vector<std::string> loaded_;
  std::atomic<std::size_t> cancelled_{0}, most_running_{0}, steps_{0};
  std::chrono::steady_clock::time_point last_cancel_{};
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace holdfast::gateway::testing_support
