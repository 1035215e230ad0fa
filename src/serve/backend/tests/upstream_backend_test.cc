// UpstreamBackend against a stub on loopback that follows the model's name. The oracle is the
// stub's own count of connections and the contract of GenerateObserver: exactly one end for each
// request.
#include "holdfast/backend/upstream_backend.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

namespace holdfast::backend {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

class NullSink final : public observe::LogSink {
 public:
  void write_line(std::string_view) override {}
};

// Answers each connection by the model that its request names: "good", "slow" (waits 20 ms),
// "endless", "silent" (a head and nothing more), "cut", "status".
class Stub {
 public:
  Stub() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 256) != 0) std::abort();
    ::getsockname(listener_, generic, &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~Stub() {
    stopping_ = true;
    acceptor_.join();
    for (std::thread& t : threads_) t.join();
    ::close(listener_);
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int most_open() const { return most_open_; }
  int open() const { return open_; }
  std::vector<std::string> order() {
    const std::lock_guard lock(mutex_);
    return order_;
  }

 private:
  void accept_all() {
    while (!stopping_) {
      pollfd p{listener_, POLLIN, 0};
      if (::poll(&p, 1, 20) <= 0) continue;
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      threads_.emplace_back([this, fd] {
        serve(fd);
        ::close(fd);
      });
    }
  }

  bool closed(int fd, int wait_ms) const {
    pollfd p{fd, POLLIN, 0};
    char byte = 0;
    return ::poll(&p, 1, wait_ms) > 0 && ::recv(fd, &byte, 1, MSG_PEEK) <= 0;
  }

  static bool send(int fd, std::string_view text) {
    return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }

  void serve(int fd) {
    std::string request;
    char bytes[4096];
    while (request.find("\"prompt\":\"") == std::string::npos || request.back() != '}') {
      pollfd p{fd, POLLIN, 0};
      if (stopping_) return;
      if (::poll(&p, 1, 20) <= 0) continue;
      const ssize_t n = ::recv(fd, bytes, sizeof bytes, 0);
      if (n <= 0) return;
      request.append(bytes, static_cast<std::size_t>(n));
    }
    const int now = ++open_;
    for (int most = most_open_; now > most && !most_open_.compare_exchange_weak(most, now);) {
    }
    note(request, "\"prompt\":\"");
    answer(fd, request);
    --open_;
  }

  void note(const std::string& request, const std::string& before) {
    const std::size_t at = request.find(before) + before.size();
    const std::lock_guard lock(mutex_);
    order_.push_back(request.substr(at, request.find('"', at) - at));
  }

  void answer(int fd, const std::string& request) {
    const auto is = [&](const char* model) {
      return request.find("\"model\":\"" + std::string(model) + "\"") != std::string::npos;
    };
    if (is("status")) {
      send(fd, "HTTP/1.1 500 no\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
      return;
    }
    send(fd, "HTTP/1.1 200 ok\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
    if (is("silent")) {
      while (!stopping_ && !closed(fd, 10)) {
      }
      return;
    }
    const std::string token = "data: {\"choices\":[{\"index\":0,\"text\":\"x\"}]}\n\n";
    if (is("slow")) std::this_thread::sleep_for(milliseconds(20));
    send(fd, token);
    if (is("cut")) return;
    while (is("endless") && !stopping_ && send(fd, token)) {
      if (closed(fd, 1)) return;
    }
    send(fd,
         "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
  }

  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> open_{0};
  std::atomic<int> most_open_{0};
  std::thread acceptor_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::vector<std::string> order_;
};

class Recorder final : public GenerateObserver {
 public:
  void on_started(Started) override {
    note([this] { ++starts; });
  }
  void on_token(TokenEvent event) override {
    note([&] {
      if (ends > 0 || starts != 1) ++mistakes;
      text += event.text;
    });
  }
  void on_finished(Finished f) override {
    note([&] {
      reason = f.reason;
      ++ends;
    });
  }
  void on_error(Failure f) override {
    note([&] {
      failure = f.kind;
      ++ends;
    });
  }
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [this] { return ends > 0; });
  }
  bool wait_started() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [this] { return starts > 0; });
  }

  int starts = 0;
  int ends = 0;
  int mistakes = 0;
  std::string text;
  std::optional<FinishReason> reason;
  std::optional<FailureKind> failure;

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

class UpstreamBackendTest : public ::testing::Test {
 protected:
  struct Running {
    std::shared_ptr<Recorder> seen = std::make_shared<Recorder>();
    std::unique_ptr<RequestHandle> handle;
  };

  UpstreamBackendTest() {
    options_.name = "stub";
    options_.url = stub_.url();
    options_.concurrency = 4;
    for (const char* model : {"good", "slow", "endless", "silent", "cut", "status"})
      options_.models[model] = std::string("our-") + model;
  }
  UpstreamBackend& backend() {
    if (!backend_) backend_ = UpstreamBackend::create(options_, logger_).value();
    return *backend_;
  }
  Running generate(const std::string& model, const std::string& prompt = "p",
                   Priority priority = Priority::kInteractive,
                   std::optional<milliseconds> deadline = std::nullopt) {
    Running out;
    GenerateRequest request;
    request.model = "our-" + model;
    request.prompt = TextPrompt{prompt};
    request.priority = priority;
    if (deadline) request.deadline = Clock::now() + *deadline;
    out.handle = backend().generate(std::move(request), out.seen);
    return out;
  }

  Stub stub_;
  NullSink sink_;
  observe::Logger logger_{sink_, platform::system_clock(), {}};
  UpstreamOptions options_;
  std::unique_ptr<UpstreamBackend> backend_;
};

TEST_F(UpstreamBackendTest, NeverMoreThanTheConcurrencyAndAllAreServed) {
  std::vector<Running> all;
  for (int i = 0; i < 40; ++i) all.push_back(generate("slow"));
  for (Running& r : all) {
    ASSERT_TRUE(r.seen->wait());
    EXPECT_EQ(r.seen->reason, FinishReason::kStop);
    EXPECT_EQ(r.seen->text, "x");
  }
  EXPECT_LE(stub_.most_open(), 4);
}

TEST_F(UpstreamBackendTest, HigherClassesGoFirst) {
  options_.concurrency = 1;
  auto first = generate("endless", "first");
  ASSERT_TRUE(first.seen->wait_started());
  auto batch = generate("good", "batch", Priority::kBatch);
  auto normal = generate("good", "normal");
  auto realtime = generate("good", "realtime", Priority::kRealtime);
  first.handle->cancel();
  for (Running* r : {&batch, &normal, &realtime}) ASSERT_TRUE(r->seen->wait());
  EXPECT_EQ(stub_.order(), (std::vector<std::string>{"first", "realtime", "normal", "batch"}));
}

TEST_F(UpstreamBackendTest, ACancelEndsItRunningSilentOrWaiting) {
  options_.concurrency = 2;
  auto endless = generate("endless");
  ASSERT_TRUE(endless.seen->wait_started());
  auto silent = generate("silent");
  auto waiting = generate("good");
  for (Running* r : {&waiting, &silent, &endless}) {
    r->handle->cancel();
    ASSERT_TRUE(r->seen->wait());
    EXPECT_EQ(r->seen->reason, FinishReason::kCancelled);
  }
  for (int i = 0; i < 500 && stub_.open() > 0; ++i) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_EQ(stub_.open(), 0);
}

TEST_F(UpstreamBackendTest, TheDeadlineHoldsRunningAndWaiting) {
  options_.concurrency = 1;
  auto running = generate("silent", "p", Priority::kInteractive, milliseconds(150));
  auto waiting = generate("good", "p", Priority::kInteractive, milliseconds(50));
  for (Running* r : {&running, &waiting}) {
    ASSERT_TRUE(r->seen->wait());
    EXPECT_EQ(r->seen->failure, FailureKind::kDeadline);
  }
}

TEST_F(UpstreamBackendTest, FailuresHaveTheirKinds) {
  options_.first_token_timeout = milliseconds(100);
  auto silent = generate("silent");
  auto cut = generate("cut");
  auto status = generate("status");
  ASSERT_TRUE(silent.seen->wait() && cut.seen->wait() && status.seen->wait());
  EXPECT_EQ(silent.seen->failure, FailureKind::kUpstreamTimeout);
  EXPECT_EQ(cut.seen->failure, FailureKind::kUpstream);
  EXPECT_EQ(cut.seen->starts, 1);
  EXPECT_EQ(status.seen->failure, FailureKind::kUpstream);
  EXPECT_EQ(status.seen->starts, 0);
}

TEST_F(UpstreamBackendTest, OneEndForEachWhateverHappens) {
  std::mt19937 random(11);
  const std::vector<std::string> models = {"good", "slow", "endless", "silent", "cut", "status"};
  std::vector<Running> all;
  for (int i = 0; i < 300; ++i) {
    all.push_back(generate(models[random() % models.size()]));
    Running& any = all[random() % all.size()];
    if (random() % 2 == 0 && any.handle) any.handle->cancel();
    if (random() % 3 == 0) any.handle.reset();
    if (random() % 10 == 0) std::this_thread::sleep_for(milliseconds(random() % 5));
  }
  std::thread canceller([&] {
    for (Running& r : all) {
      if (r.handle) r.handle->cancel();
    }
  });
  backend_.reset();
  canceller.join();
  for (Running& r : all) {
    EXPECT_EQ(r.seen->ends, 1);
    EXPECT_EQ(r.seen->mistakes, 0);
    EXPECT_LE(r.seen->starts, 1);
  }
}

TEST(UpstreamUrl, OnlyThisMachineWithoutEgressAndOnlyTlsBeyondIt) {
  NullSink sink;
  const observe::Logger logger(sink, platform::system_clock(), {});
  const auto made = [&](const std::string& url, bool egress) {
    UpstreamOptions options;
    options.name = "u";
    options.url = url;
    options.models = {{"a", "b"}};
    options.egress_allowed = egress;
    return UpstreamBackend::create(std::move(options), logger).ok();
  };
  for (const char* url : {"http://127.0.0.1:8000", "http://localhost/v1", "http://[::1]:1/v1/",
                          "unix:/run/x.sock", "https://127.0.0.1", "http://127.9.9.9"}) {
    EXPECT_TRUE(made(url, false)) << url;
  }
  for (const char* url : {"https://example.com/v1", "https://127.0.0.1.example.com"}) {
    EXPECT_FALSE(made(url, false)) << url;
    EXPECT_TRUE(made(url, true)) << url;
  }
  for (const char* url :
       {"http://example.com", "http://127.0.0.1.example.com", "http://128.0.0.1", "ftp://127.0.0.1",
        "file:///etc/passwd", "http://user@127.0.0.1", "http://127.0.0.1/?x=1",
        "http://127.0.0.1/#x", "unix:relative", "", "http://", "http://[::2]", "http://0.0.0.0",
        "http://127.0.0.1@example.com", "gopher://localhost"}) {
    EXPECT_FALSE(made(url, true)) << url;
  }
}

}  // namespace
}  // namespace holdfast::backend
