// Generation: one request while it waits for its model or runs in an engine; turns wire messages
// into observer calls.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "holdfast/backend/backend.h"
#include "holdfast/backend/engine_process.h"

namespace holdfast::backend {

// What went wrong, from an engine's reply.
Failure to_failure(const wire::ErrorReply& reply);
wire::Submit to_submit(const GenerateRequest& request, std::int64_t seed);

// Thread-safe. `on_end` is called once, after the observer's last call.
class Generation final : public std::enable_shared_from_this<Generation> {
 public:
  Generation(GenerateRequest request, std::int64_t seed,
             std::shared_ptr<GenerateObserver> observer);

  // `leave` is called, once, by a cancel() before run_on() or fail(): who waits is then told soon.
  // Before anyone else knows this generation.
  void while_waiting(std::function<void()> leave) { leave_ = std::move(leave); }
  // The engine is there: submit, unless it was cancelled meanwhile.
  void run_on(const std::shared_ptr<EngineProcess>& engine, std::uint64_t load_ns,
              std::function<void()> on_end);
  void fail(Failure failure);
  void cancel();

 private:
  void handle(const wire::Message& message);
  void handle_token(const wire::Token& token);
  void finish_cancelled();
  void end();

  const GenerateRequest request_;
  const std::int64_t seed_;
  const std::shared_ptr<GenerateObserver> observer_;
  std::uint64_t load_ns_ = 0;
  std::vector<TokenInfo> prompt_;
  std::function<void()> on_end_;

  std::mutex mutex_;  // of what follows
  bool cancelled_ = false;
  std::function<void()> leave_;
  std::weak_ptr<EngineProcess> engine_;
  std::uint64_t number_ = 0;
};

}  // namespace holdfast::backend
