#include "process_supervisor.h"

#include <csignal>

#include <algorithm>
#include <array>

#include "holdfast/http/client.h"
#include "holdfast/jail/external.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/platform/socket.h"
#include "holdfast/platform/thread.h"

namespace holdfast::backend {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How long the thread reads its child's output before it looks at everything else.
constexpr milliseconds kTick{50};
constexpr milliseconds kHealthWhileStarting{200};
constexpr milliseconds kHealthTimeout{2'000};
constexpr std::size_t kHealthBytesMax = 64 * 1024;
constexpr std::string_view kMetricsPath = "/metrics";
// Health checks missed in a row, after which a child that still runs is taken for dead.
constexpr std::uint32_t kHealthMissesMax = 3;
constexpr std::chrono::seconds kForgivenAfter{60};
constexpr std::size_t kLogLineBytesMax = 1024;
constexpr std::uint32_t kLogLinesPerSecond = 50;

std::string replaced(std::string text, std::string_view what, const std::string& with) {
  for (std::size_t at = text.find(what); at != std::string::npos;
       at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
  return text;
}

// A child that trickles its answer must not keep the thread from watching it.
Result<http::ClientResponse> ask(const std::string& root, std::string_view path,
                                 std::size_t bytes_max) {
  HF_TRY_ASSIGN(const http::Endpoint endpoint, http::parse_endpoint(root));
  http::ClientOptions options;
  options.connect_timeout = kHealthTimeout;
  options.idle_timeout = kHealthTimeout;
  http::ClientRequest request;
  request.path = path;
  std::string body;
  const auto until = Clock::now() + kHealthTimeout;
  const auto take = [&](const http::ClientResponse&, std::string_view bytes) {
    body += bytes;
    return body.size() <= bytes_max && Clock::now() < until;
  };
  HF_TRY_ASSIGN(http::ClientResponse answer,
                http::Client(endpoint, options).request(request, take));
  if (body.size() > bytes_max || Clock::now() >= until)
    return unavailable("the engine's answer is too long or too slow");
  answer.body = std::move(body);
  return answer;
}

}  // namespace

// The child's output, line by line into our log; bounded in length and rate.
class ProcessSupervisor::Log {
 public:
  Log(platform::UniqueFd fd, const std::string& name, const observe::Logger& logger)
      : fd_(std::move(fd)), name_(name), logger_(logger) {}

  // Waits for output until the deadline; then the caller has other things to do.
  void pump(platform::Deadline deadline) {
    std::array<std::byte, 4096> bytes;
    while (open_ && !deadline.passed()) {
      const auto got = platform::receive_some(fd_.get(), bytes, deadline);
      if (!got.ok() && got.error().code() == ErrorCode::kDeadline) return;
      open_ = got.ok() && *got > 0;
      if (open_) take(as_string_view(ByteView(bytes).first(*got)));
    }
    // A child that closed its output still has to be watched.
    while (!open_ && !deadline.passed()) platform::pause_for(milliseconds(5));
  }

 private:
  void take(std::string_view bytes) {
    for (const char c : bytes) {
      if (c == '\n') {
        write();
      } else if (line_.size() < kLogLineBytesMax) {
        line_ += c;
      }
    }
  }
  void write() {
    const std::string line = std::exchange(line_, {});
    const auto now = Clock::now();
    if (now - second_ >= std::chrono::seconds(1)) {
      if (dropped_ > 0)
        logger_.warn("upstream.log_dropped", {{"upstream", name_}, {"lines", dropped_}});
      second_ = now;
      lines_ = 0;
      dropped_ = 0;
    }
    if (++lines_ > kLogLinesPerSecond) {
      ++dropped_;
    } else if (!line.empty()) {
      logger_.info("upstream.log", {{"upstream", name_}, {"line", line}});
    }
  }

  platform::UniqueFd fd_;
  const std::string& name_;
  const observe::Logger& logger_;
  bool open_ = true;
  std::string line_;
  Clock::time_point second_{};
  std::uint32_t lines_ = 0;
  std::uint64_t dropped_ = 0;
};

ProcessSupervisor::ProcessSupervisor(std::string name, ProcessOptions options,
                                     const observe::Logger& logger, Callbacks callbacks)
    : name_(std::move(name)),
      options_(std::move(options)),
      logger_(logger),
      callbacks_(std::move(callbacks)) {
  thread_ = std::thread([this] { run(); });
}

ProcessSupervisor::~ProcessSupervisor() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ProcessSupervisor::want() {
  {
    const std::lock_guard lock(mutex_);
    wish_ = Wish::kStart;
  }
  changed_.notify_all();
}

void ProcessSupervisor::stop() {
  {
    const std::lock_guard lock(mutex_);
    wish_ = Wish::kStop;
  }
  changed_.notify_all();
}

void ProcessSupervisor::run() {
  platform::set_current_thread_name("hf-process");
  jail::ExternalProfile profile{options_.read, options_.write, options_.address_space_max};
  profile.read.push_back(platform::parent_path(options_.command.front()));
  if (!options_.model_file.empty()) profile.read.push_back(options_.model_file);
  const auto jailed = jail::confine_calling_thread(profile);
  if (!jailed.ok()) {
    logger_.error("upstream.jail", {{"upstream", name_}, {"why", jailed.error().to_string()}});
  } else {
    logger_.info("upstream.jail", {{"upstream", name_},
                                   {"landlock", jailed->landlock_abi},
                                   {"paths_missing", jailed->missing.size()}});
  }
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const Wish wish = std::exchange(wish_, Wish::kNone);
    if (wish == Wish::kNone && !child_) {
      changed_.wait(lock, [this] { return stopping_ || wish_ != Wish::kNone; });
      continue;
    }
    lock.unlock();
    if (wish == Wish::kStop && child_) {
      end_child();
      state_ = ModelState::kCold;
      callbacks_.gone();
    } else if (wish == Wish::kStart && !child_) {
      if (!jailed.ok() || Clock::now() < blocked_until_ || !start_child()) callbacks_.failed();
    } else if (child_) {
      watch_child();
    }
    lock.lock();
  }
  lock.unlock();
  if (child_) end_child();
}

bool ProcessSupervisor::start_child() {
  const auto port = platform::free_loopback_port();
  auto pair = platform::make_socket_pair();
  if (!port.ok() || !pair.ok()) {
    settle_failure("no port or socket");
    return false;
  }
  root_ = "http://127.0.0.1:" + std::to_string(*port);
  platform::SpawnOptions spawn;
  spawn.program = options_.command.front();
  for (const std::string& word : options_.command) {
    spawn.argv.push_back(
        replaced(replaced(word, "{port}", std::to_string(*port)), "{model}", options_.model_file));
  }
  spawn.environment = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/nonexistent"};
  spawn.fds = {{pair->theirs.get(), 1}, {pair->theirs.get(), 2}};
  spawn.parent_death_signal = SIGKILL;  // this thread lives as long as the child
  auto child = platform::Process::spawn(spawn);
  if (!child.ok()) {
    settle_failure(child.error().to_string());
    return false;
  }
  child_.emplace(std::move(child).value());
  log_ = std::make_unique<Log>(std::move(pair->ours), name_, logger_);
  pid_ = child_->pid();
  state_ = ModelState::kLoading;
  health_misses_ = 0;
  metrics_refused_ = false;
  const Status limited = jail::limit_process(child_->pid(), {{}, {}, options_.address_space_max});
  if (!limited.ok()) logger_.warn("upstream.limits", {{"upstream", name_}});
  logger_.info("upstream.started", {{"upstream", name_}, {"pid", pid_.load()}, {"root", root_}});
  blocked_until_ = Clock::now() + options_.start_timeout;  // until it is ready
  next_health_ = Clock::now();
  return true;
}

bool ProcessSupervisor::answers_health() {
  const auto answer = ask(root_, options_.health, kHealthBytesMax);
  return answer.ok() && answer->status == 200;
}

// An engine that shows none, or shows what is none, is as good as others.
void ProcessSupervisor::read_metrics() {
  const observe::ExpositionLimits limits;
  const auto answer = ask(root_, kMetricsPath, limits.bytes_max);
  if (!answer.ok() || answer->status != 200) return show_metrics({});
  auto families = observe::parse_exposition(answer->body, limits);
  if (families.ok()) return show_metrics(std::move(*families));
  show_metrics({});
  if (!std::exchange(metrics_refused_, true))
    logger_.warn("upstream.metrics", {{"upstream", name_}, {"why", families.error().to_string()}});
}

void ProcessSupervisor::show_metrics(std::vector<observe::ScrapedFamily> families) {
  const std::lock_guard lock(mutex_);
  metrics_ = std::move(families);
}

std::vector<observe::ScrapedFamily> ProcessSupervisor::metrics() const {
  const std::lock_guard lock(mutex_);
  return metrics_;
}

void ProcessSupervisor::watch_child() {
  log_->pump(platform::Deadline::after(kTick));
  const auto status = child_->wait(platform::Deadline::after(std::chrono::nanoseconds(0)));
  if (status.ok() && *status) {
    const bool was_ready = state_ == ModelState::kReady;
    end_child();  // what it started may still run
    settle_failure((*status)->describe());
    return was_ready ? callbacks_.gone() : callbacks_.failed();
  }
  if (Clock::now() < next_health_) return;
  const bool healthy = answers_health();
  const bool starting = state_ == ModelState::kLoading;
  next_health_ =
      Clock::now() + (starting && !healthy ? kHealthWhileStarting : options_.health_interval);
  if (healthy) {
    health_misses_ = 0;
    if (!starting) return read_metrics();
    ready_since_ = Clock::now();
    blocked_until_ = {};
    state_ = ModelState::kReady;
    logger_.info("upstream.ready", {{"upstream", name_}});
    callbacks_.ready(root_);
    read_metrics();
  } else if (starting ? Clock::now() >= blocked_until_ : ++health_misses_ >= kHealthMissesMax) {
    end_child();
    settle_failure(starting ? "not ready in time" : "does not answer its health check");
    starting ? callbacks_.failed() : callbacks_.gone();
  }
}

void ProcessSupervisor::settle_failure(const std::string& why) {
  // One crash after a long time is forgiven: whoever asks next gets a new child at once.
  if (ready_since_ && Clock::now() - *ready_since_ > kForgivenAfter) failures_ = 0;
  ready_since_.reset();
  milliseconds pause = failures_ == 0 ? milliseconds(0) : options_.restart_backoff;
  for (std::uint32_t i = 1; i < failures_ && pause < options_.restart_backoff_max; ++i) pause *= 2;
  pause = std::min(pause, options_.restart_backoff_max);
  ++failures_;
  ++restarts_;
  blocked_until_ = Clock::now() + pause;
  state_ = ModelState::kFailed;
  logger_.warn("upstream.ended",
               {{"upstream", name_}, {"why", why}, {"next_start_ms", pause.count()}});
}

void ProcessSupervisor::end_child() {
  ignore_error(child_->kill_group(SIGTERM), "it may have ended");
  const auto until = platform::Deadline::after(options_.stop_grace);
  while (!until.passed()) {
    const auto status = child_->wait(platform::Deadline::after(kTick));
    if (!status.ok() || *status) break;
    log_->pump(platform::Deadline::after(std::chrono::milliseconds(1)));
  }
  ignore_error(child_->kill_group(SIGKILL), "it may have ended");
  child_.reset();
  log_.reset();
  show_metrics({});
  pid_ = 0;
}

}  // namespace holdfast::backend
