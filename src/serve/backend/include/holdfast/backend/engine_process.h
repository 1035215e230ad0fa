// EngineProcess: one jailed engine child and the requests that are under way in it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "holdfast/base/result.h"
#include "holdfast/json/json.h"
#include "holdfast/platform/busy_board.h"
#include "holdfast/platform/process.h"
#include "holdfast/platform/unique_fd.h"
#include "holdfast/wire/channel.h"
#include "holdfast/wire/messages.h"

namespace holdfast::backend {

struct EngineProcessOptions {
  std::string program;            // path of holdfast-engine
  platform::UniqueFd pack;        // the model, open for reading
  platform::UniqueFd draft_pack;  // the model that guesses for it, if config says so
  // Where these are sealed: sockets from which the engine reads their keys (vault::content_keys.h).
  // Whoever holds the other ends has sent them already or sends them at once.
  platform::UniqueFd keys;
  platform::UniqueFd draft_keys;
  json::Object config;  // of wire::Load: threads, context, kv_type, ...
  std::chrono::milliseconds load_timeout{600'000};
  bool verbose = false;  // the child's log goes to standard error
  // Set from another thread, it ends a start that is under way with kCancelled.
  const std::atomic<bool>* abandon = nullptr;
  // Receives the child's process id as soon as there is one: a start can be watched.
  std::atomic<pid_t>* started_pid = nullptr;
  // Where the child shows that it computes, and sees whether others do while it loads; may be
  // empty.
  std::shared_ptr<platform::BusyBoard> board;
};

// No message of that request follows it, whether it fits the request or not.
bool is_last(const wire::Message& message);

// Thread-safe. Answers arrive on a thread of its own.
class EngineProcess {
 public:
  // Starts the child and waits until the model is loaded. The child's own refusal (does not fit,
  // corrupt, unsupported) comes back as it is; kUnavailable if it died, kDeadline if it took too
  // long. `refusal` receives the child's own reply, with its numbers, where there was one.
  static Result<std::unique_ptr<EngineProcess>> start(EngineProcessOptions options,
                                                      wire::ErrorReply* refusal = nullptr);
  // stop(), unless that was done. Not on the reading thread: where owners are shared, one of them
  // stops the engine before it lets go.
  ~EngineProcess();
  EngineProcess(const EngineProcess&) = delete;
  EngineProcess& operator=(const EngineProcess&) = delete;

  // What the child said of itself when it was ready: a JSON object.
  const json::Value& info() const { return info_; }
  pid_t pid() const { return process_->pid(); }
  bool alive() const { return alive_; }
  // Called once, on the reading thread, when the child is gone, before the requests that were under
  // way are told: who asks again after that gets another engine.
  void on_exit(std::function<void()> callback);
  // Since when the child has owed an answer without saying anything; nullopt while it owes none.
  std::optional<std::chrono::steady_clock::time_point> silent_since();
  // Ends the child as a crash would. Returns at once.
  void kill();
  // Cancels what is under way, waits a moment for that, ends the child. Whatever is left then gets
  // an ErrorReply with code kCancelled. No callback runs after it. Not on the reading thread, and
  // once.
  void stop();

  // Receives the messages of one request in order, the last one included; then it is destroyed. An
  // ErrorReply with code kUnavailable and detail "engine exited" is made here when the child dies.
  using Handler = std::function<void(const wire::Message&)>;
  // Sends a request message (its `request` field is filled in) and returns the number. If it cannot
  // be sent, the handler gets an ErrorReply before this returns.
  std::uint64_t send(wire::Message message, Handler handler);
  void cancel(std::uint64_t request);

  // One request with one answer, waited for.
  Result<wire::Message> call(wire::Message message);

 private:
  EngineProcess() = default;
  Status handshake(EngineProcessOptions& options);
  Result<wire::Message> receive_reply(const EngineProcessOptions& options,
                                      platform::Deadline deadline);
  void read_loop();
  void deliver(const wire::Message& message);
  wire::ErrorReply lost(std::uint64_t request) const;
  void lose_all();
  void cancel_all();

  std::unique_ptr<platform::BusyBoard::Place> place_;  // given back after the process's end
  std::optional<platform::Process> process_;
  std::unique_ptr<wire::Channel> channel_;
  json::Value info_;
  std::thread reader_;
  wire::ErrorReply* refusal_ = nullptr;  // while it starts
  std::atomic<bool> alive_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> crashed_{false};  // ended although nobody had asked for it

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::uint64_t next_request_ = 1;
  std::map<std::uint64_t, Handler> handlers_;
  std::chrono::steady_clock::time_point heard_at_;  // or when it came to owe an answer
  std::function<void()> on_exit_;
};

}  // namespace holdfast::backend
