// A backend whose requests end when the test says so.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "holdfast/backend/backend.h"

namespace holdfast::router {

class ScriptedBackend final : public backend::Backend {
 public:
  struct Call {
    backend::GenerateRequest request;
    std::shared_ptr<backend::GenerateObserver> observer;
    bool cancelled = false;
  };

  // Of each, shared with the test, which outlives the router.
  struct Script {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<backend::ModelFacts> models;
    std::deque<std::shared_ptr<Call>> calls;
    std::uint32_t slots = 0;  // told by stats()
    bool fail_at_once = false;
    backend::Failure failure{unavailable("down"), backend::FailureKind::kUpstream};

    // Waits for the call with that number.
    std::shared_ptr<Call> call(std::size_t index) {
      std::unique_lock lock(mutex);
      changed.wait_for(lock, std::chrono::seconds(10), [&] { return calls.size() > index; });
      return calls.size() > index ? calls[index] : nullptr;
    }
    std::size_t count() {
      const std::lock_guard lock(mutex);
      return calls.size();
    }
  };

  explicit ScriptedBackend(std::shared_ptr<Script> script) : script_(std::move(script)) {}
  ~ScriptedBackend() override {
    std::deque<std::shared_ptr<Call>> calls;
    {
      const std::lock_guard lock(script_->mutex);
      calls.swap(script_->calls);
    }
    for (const auto& call : calls) {
      if (call->observer) call->observer->on_error({cancelled("the backend stops")});
    }
  }

  std::vector<backend::ModelFacts> models() override { return script_->models; }
  backend::Stats stats() override {
    backend::Stats out;
    for (const auto& model : script_->models) {
      backend::EngineFacts engine;
      engine.model = model.id;
      engine.slots = script_->slots;
      engine.running = 1;
      out.engines.push_back(engine);
    }
    return out;
  }

  std::unique_ptr<backend::RequestHandle> generate(
      backend::GenerateRequest request,
      std::shared_ptr<backend::GenerateObserver> observer) override {
    auto call = std::make_shared<Call>(Call{std::move(request), observer, false});
    bool fail = false;
    {
      const std::lock_guard lock(script_->mutex);
      fail = script_->fail_at_once;
      if (fail) call->observer = nullptr;
      script_->calls.push_back(call);
    }
    script_->changed.notify_all();
    if (fail) observer->on_error(script_->failure);
    return std::make_unique<Handle>(script_, std::move(call));
  }

  void tokenize(backend::TokenizeRequest, backend::Done<backend::Tokenized> done) override {
    done(backend::Tokenized{{1, 2, 3}, {}});
  }
  void detokenize(std::string, std::vector<std::int32_t>, backend::Done<std::string> d) override {
    d(std::string("text"));
  }
  void render(std::string, backend::ChatPrompt, backend::Done<std::string> d) override {
    d(std::string("prompt"));
  }
  void load(std::string, std::optional<std::chrono::milliseconds>,
            backend::Done<backend::EngineFacts> done) override {
    done(backend::EngineFacts{});
  }
  void unload(std::string, backend::Done<std::monostate> done) override { done(std::monostate()); }

 private:
  class Handle final : public backend::RequestHandle {
   public:
    Handle(std::shared_ptr<Script> script, std::shared_ptr<Call> call)
        : script_(std::move(script)), call_(std::move(call)) {}
    ~Handle() override { cancel(); }
    void cancel() override {
      const std::lock_guard lock(script_->mutex);
      call_->cancelled = true;
    }

   private:
    const std::shared_ptr<Script> script_;
    const std::shared_ptr<Call> call_;
  };

  const std::shared_ptr<Script> script_;
};

// What one request was told.
class Recorder final : public backend::GenerateObserver {
 public:
  void on_started(backend::Started) override {
    note([this] { ++started; });
  }
  void on_token(backend::TokenEvent event) override {
    note([&] { text += event.text; });
  }
  void on_finished(backend::Finished f) override {
    note([&] {
      finished = f;
      ++ends;
    });
  }
  void on_error(backend::Failure f) override {
    note([&] {
      failure = f;
      ++ends;
    });
  }
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [this] { return ends > 0; });
  }

  int started = 0;
  int ends = 0;
  std::string text;
  std::optional<backend::Finished> finished;
  std::optional<backend::Failure> failure;

 private:
  template <typename F>
  void note(F change) {
    {
      const std::lock_guard lock(mutex_);
      change();
    }
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace holdfast::router
