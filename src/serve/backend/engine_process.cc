#include "holdfast/backend/engine_process.h"

#include <csignal>
#include <future>
#include <vector>

#include "holdfast/platform/socket.h"
#include "holdfast/platform/thread.h"

namespace holdfast::backend {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kControlFd = 3;
constexpr int kPackFd = 4;
constexpr int kDraftPackFd = 5;
constexpr int kBoardFd = 6;
constexpr int kKeysFd = 7;
constexpr int kDraftKeysFd = 8;
// The child answers Hello before it has done any work.
constexpr auto kHelloTimeout = std::chrono::seconds(20);
constexpr auto kExitGrace = std::chrono::milliseconds(500);
// A cancelled request ends with the step that is being computed.
constexpr auto kCancelGrace = std::chrono::milliseconds(2000);
// How often a start that is under way looks whether it was abandoned.
constexpr auto kAbandonPoll = std::chrono::milliseconds(100);

std::uint64_t request_of(const wire::Message& message) {
  return std::visit(
      [](const auto& m) -> std::uint64_t {
        if constexpr (requires { m.request; }) {
          return m.request;
        } else {
          return 0;
        }
      },
      message);
}

void set_request(wire::Message& message, std::uint64_t request) {
  std::visit(
      [request](auto& m) {
        if constexpr (requires { m.request; }) m.request = request;
      },
      message);
}

// True for messages after which nothing more comes for their request.
}  // namespace

bool is_last(const wire::Message& m) {
  return std::holds_alternative<wire::ErrorReply>(m) || std::holds_alternative<wire::Finished>(m) ||
         std::holds_alternative<wire::Tokens>(m) || std::holds_alternative<wire::Text>(m) ||
         std::holds_alternative<wire::Rendered>(m) || std::holds_alternative<wire::StatsReply>(m);
}

Result<std::unique_ptr<EngineProcess>> EngineProcess::start(EngineProcessOptions options,
                                                            wire::ErrorReply* refusal) {
  std::unique_ptr<EngineProcess> self(new EngineProcess());
  self->refusal_ = refusal;
  HF_TRY_ASSIGN(platform::SocketPair sockets, platform::make_socket_pair());
  platform::SpawnOptions spawn;
  spawn.program = options.program;
  spawn.argv = {"holdfast-engine", "engine"};
  if (options.verbose) spawn.argv.push_back("--verbose");
  spawn.fds = {{sockets.theirs.get(), kControlFd}, {options.pack.get(), kPackFd}};
  if (options.draft_pack.valid()) spawn.fds.push_back({options.draft_pack.get(), kDraftPackFd});
  if (options.keys.valid()) spawn.fds.push_back({options.keys.get(), kKeysFd});
  if (options.draft_keys.valid()) spawn.fds.push_back({options.draft_keys.get(), kDraftKeysFd});
  if (options.board) self->place_ = platform::BusyBoard::take(options.board);
  if (self->place_) spawn.fds.push_back({self->place_->fd(), kBoardFd});
  HF_TRY_ASSIGN(platform::Process process, platform::Process::spawn(spawn));
  self->process_.emplace(std::move(process));
  if (options.started_pid != nullptr) *options.started_pid = self->process_->pid();
  sockets.theirs.reset();
  HF_TRY_ASSIGN(self->channel_, wire::Channel::open(std::move(sockets.ours)));
  HF_TRY(self->handshake(options));
  self->refusal_ = nullptr;
  self->alive_ = true;
  self->reader_ = std::thread([raw = self.get()] { raw->read_loop(); });
  return self;
}

Result<wire::Message> EngineProcess::receive_reply(const EngineProcessOptions& options,
                                                   platform::Deadline deadline) {
  Result<std::optional<wire::Message>> received = std::optional<wire::Message>();
  do {
    if (options.abandon != nullptr && *options.abandon) return cancelled("the start was abandoned");
    received = channel_->receive(platform::Deadline::after(kAbandonPoll));
  } while (!received.ok() && received.error().code() == ErrorCode::kDeadline && !deadline.passed());
  HF_TRY_ASSIGN(std::optional<wire::Message> message, std::move(received));
  if (!message) {
    const auto status = process_->wait(platform::Deadline::after(kExitGrace));
    const std::string how = status.ok() && *status ? (*status)->describe() : "closed its socket";
    return unavailable("the engine ended while it started", how);
  }
  if (const auto* error = std::get_if<wire::ErrorReply>(&*message)) {
    if (refusal_ != nullptr) *refusal_ = *error;
    return wire::to_error(*error);
  }
  return std::move(*message);
}

Status EngineProcess::handshake(EngineProcessOptions& options) {
  HF_TRY_ASSIGN(const wire::Message hello,
                receive_reply(options, platform::Deadline::after(kHelloTimeout)));
  if (!std::holds_alternative<wire::Hello>(hello))
    return internal_error("the engine did not greet");
  options.config.set("pack_fd", kPackFd);
  if (options.draft_pack.valid()) options.config.set("draft_pack_fd", kDraftPackFd);
  if (options.keys.valid()) options.config.set("keys_fd", kKeysFd);
  if (options.draft_keys.valid()) options.config.set("draft_keys_fd", kDraftKeysFd);
  if (place_) {
    options.config.set("board_fd", kBoardFd);
    options.config.set("board_place", place_->number());
  }
  HF_TRY(channel_->send(wire::Load{json::write(options.config)}));
  HF_TRY_ASSIGN(const wire::Message ready,
                receive_reply(options, platform::Deadline::after(options.load_timeout)));
  const auto* r = std::get_if<wire::Ready>(&ready);
  if (r == nullptr) return internal_error("the engine answered Load with another message");
  HF_TRY_ASSIGN(info_, json::parse(r->info_json));
  return ok_status();
}

EngineProcess::~EngineProcess() { stop(); }

void EngineProcess::stop() {
  if (stopping_.exchange(true)) return;
  if (alive_) cancel_all();
  if (channel_) {
    ignore_error(channel_->send(wire::Shutdown{}), "the child may be gone already");
    ignore_error(channel_->flush(platform::Deadline::after(kExitGrace)), "it is killed below");
    channel_->shut_down();
  }
  if (reader_.joinable()) reader_.join();
  if (process_) ignore_error(process_->terminate(kExitGrace), "reaped by the destructor");
  place_.reset();
}

void EngineProcess::cancel_all() {
  std::unique_lock lock(mutex_);
  std::vector<std::uint64_t> requests;
  for (const auto& [request, handler] : handlers_) requests.push_back(request);
  lock.unlock();
  for (const std::uint64_t request : requests) cancel(request);
  lock.lock();
  changed_.wait_for(lock, kCancelGrace, [this] { return handlers_.empty() || !alive_; });
}

void EngineProcess::on_exit(std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  on_exit_ = std::move(callback);
}

std::optional<Clock::time_point> EngineProcess::silent_since() {
  const std::lock_guard lock(mutex_);
  if (handlers_.empty() || !alive_) return std::nullopt;
  return heard_at_;
}

void EngineProcess::kill() {
  ignore_error(process_->kill(SIGKILL), "the reading thread sees its end");
}

std::uint64_t EngineProcess::send(wire::Message message, Handler handler) {
  std::uint64_t request = 0;
  {
    const std::lock_guard lock(mutex_);
    request = next_request_++;
    if (handlers_.empty()) heard_at_ = Clock::now();
    handlers_.emplace(request, std::move(handler));
  }
  set_request(message, request);
  if (!alive_ || stopping_) {
    deliver(lost(request));
  } else if (const Status s = channel_->send(message); !s.ok()) {
    deliver(s.error().code() == ErrorCode::kUnavailable
                ? lost(request)
                : wire::make_error_reply(request, s.error()));
  }
  return request;
}

void EngineProcess::cancel(std::uint64_t request) {
  ignore_error(channel_->send(wire::Cancel{request}), "a dead child has nothing to cancel");
}

Result<wire::Message> EngineProcess::call(wire::Message message) {
  std::promise<wire::Message> promise;
  send(std::move(message), [&promise](const wire::Message& m) {
    if (is_last(m)) promise.set_value(m);
  });
  wire::Message answer = promise.get_future().get();
  if (const auto* error = std::get_if<wire::ErrorReply>(&answer)) return wire::to_error(*error);
  return answer;
}

// A handler may send another request, so none is called under the lock.
void EngineProcess::deliver(const wire::Message& message) {
  Handler handler;
  const std::uint64_t request = request_of(message);
  const bool last = is_last(message);
  {
    const std::lock_guard lock(mutex_);
    heard_at_ = Clock::now();
    const auto it = handlers_.find(request);
    if (it == handlers_.end()) return;
    handler = last ? std::move(it->second) : it->second;
    if (last) handlers_.erase(it);
    if (handlers_.empty()) changed_.notify_all();
  }
  handler(message);
}

void EngineProcess::read_loop() {
  platform::ask_for_short_turns();
  while (true) {
    auto message = channel_->receive();
    if (!message.ok() || !message->has_value()) break;
    const auto* error = std::get_if<wire::ErrorReply>(&**message);
    if (error != nullptr && error->request == 0) break;
    deliver(**message);
  }
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    crashed_ = !stopping_;
    alive_ = false;
    callback = std::exchange(on_exit_, nullptr);
  }
  changed_.notify_all();
  if (callback) callback();
  lose_all();
}

wire::ErrorReply EngineProcess::lost(std::uint64_t request) const {
  if (!crashed_) return wire::make_error_reply(request, cancelled("the model was unloaded"));
  return wire::make_error_reply(
      request, unavailable("the engine of this model ended unexpectedly; it is being restarted",
                           "engine exited"));
}

void EngineProcess::lose_all() {
  while (true) {
    std::uint64_t request = 0;
    {
      const std::lock_guard lock(mutex_);
      if (handlers_.empty()) break;
      request = handlers_.begin()->first;
    }
    deliver(lost(request));
  }
}

}  // namespace holdfast::backend
