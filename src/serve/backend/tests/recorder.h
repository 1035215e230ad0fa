// Records what a backend tells one caller, and complains about calls out of order.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/backend/backend.h"

namespace holdfast::backend::testing {

inline constexpr auto kPatience = std::chrono::seconds(60);

class Recorder final : public GenerateObserver {
 public:
  void on_started(Started started) override {
    note([&] {
      EXPECT_FALSE(started_) << "started twice";
      EXPECT_TRUE(tokens_.empty()) << "started after a token";
      started_ = std::move(started);
    });
  }
  void on_token(TokenEvent event) override {
    note([&] {
      EXPECT_TRUE(started_) << "a token before the start";
      text_ += event.text;
      for (TokenInfo& t : event.tokens) tokens_.push_back(std::move(t));
    });
    if (on_each_token) on_each_token();
  }
  void on_finished(Finished finished) override {
    note([&] { finished_ = std::move(finished); });
  }
  void on_error(Failure failure) override {
    note([&] { failure_ = std::move(failure); });
  }

  // False after kPatience.
  bool wait_end() {
    return wait([this] { return ended(); });
  }
  bool wait_tokens(std::size_t n) {
    return wait([this, n] { return tokens_.size() >= n || ended(); }) && !has_ended();
  }
  bool has_ended() {
    const std::lock_guard lock(mutex_);
    return ended();
  }

  // After the end.
  const std::optional<Started>& started() const { return started_; }
  const std::optional<Finished>& finished() const { return finished_; }
  const std::optional<Failure>& failure() const { return failure_; }
  const std::string& text() const { return text_; }
  std::vector<std::int32_t> ids() const {
    std::vector<std::int32_t> ids;
    for (const TokenInfo& t : tokens_) ids.push_back(t.id);
    return ids;
  }

  std::function<void()> on_each_token;

 private:
  bool ended() const { return finished_ || failure_; }
  void note(const std::function<void()>& change) {
    const std::lock_guard lock(mutex_);
    EXPECT_FALSE(ended()) << "called after the end";
    change();
    changed_.notify_all();
  }
  bool wait(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, condition);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Started> started_;
  std::optional<Finished> finished_;
  std::optional<Failure> failure_;
  std::string text_;
  std::vector<TokenInfo> tokens_;
};

// The one answer of a Done callback.
template <typename T>
class Answer {
 public:
  Done<T> done() {
    return [state = state_](std::variant<T, Failure> v) { state->set_value(std::move(v)); };
  }
  std::variant<T, Failure> get() {
    auto future = state_->get_future();
    if (future.wait_for(kPatience) == std::future_status::ready) return future.get();
    ADD_FAILURE() << "no answer";
    return Failure{internal_error("no answer"), FailureKind::kOther, 0, 0, 0};
  }
  T value() {
    auto v = get();
    if (const Failure* f = std::get_if<Failure>(&v)) {
      ADD_FAILURE() << f->error.to_string();
      return T();
    }
    return std::get<T>(std::move(v));
  }
  Failure failure() {
    auto v = get();
    if (Failure* f = std::get_if<Failure>(&v)) return std::move(*f);
    ADD_FAILURE() << "it succeeded";
    return Failure{internal_error("it succeeded"), FailureKind::kOther, 0, 0, 0};
  }

 private:
  std::shared_ptr<std::promise<std::variant<T, Failure>>> state_ =
      std::make_shared<std::promise<std::variant<T, Failure>>>();
};

}  // namespace holdfast::backend::testing
