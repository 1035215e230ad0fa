// A server with scripted handlers, for the tests of this module.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#include "holdfast/http/server.h"
#include "raw_socket.h"

namespace holdfast::http::testing_support {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Clock = std::chrono::steady_clock;

// A server on its own thread. Paths: /echo answers the body, /hold keeps the writer in `held`,
// /drop drops it, /throw throws, /no-memory and /no-thread throw what exhaustion does, /stream
// starts a stream into `held`.
class ServerTest : public testing::Test {
 protected:
  void start() {
    ServerHooks hooks;
    hooks.handle = [this](std::shared_ptr<Request> request,
                          std::shared_ptr<ResponseWriter> writer) {
      handle(*request, std::move(writer));
    };
    hooks.render_error = [](const Request&, const HttpError& error) {
      return Response{error.status, {}, std::string(error.code)};
    };
    hooks.decorate = [](const Request& request, int, Headers& headers) {
      headers.set("x-request-id", request.id);
    };
    hooks.on_complete = [this](const Request& request, int status, std::uint64_t) {
      const std::lock_guard lock(mutex_);
      completed_.push_back(request.path + " " + std::to_string(status));
    };
    server_ = std::make_unique<Server>(loop_, options_, hooks);
    auto bound = server_->listen_tcp("127.0.0.1:0");
    ASSERT_TRUE(bound.ok());
    address_ = *bound;
    thread_ = std::thread([this] { loop_.run(); });
  }
  void TearDown() override {
    if (!thread_.joinable()) return;
    on_loop([this] {
      held_.reset();
      server_->close_all();
    });
    loop_.stop();
    thread_.join();
  }
  void on_loop(std::function<void()> fn) {
    std::promise<void> done;
    loop_.post([&] {
      fn();
      done.set_value();
    });
    done.get_future().wait();
  }
  void handle(const Request& request, std::shared_ptr<ResponseWriter> writer) {
    ++calls_;
    if (request.path == "/drop") return;
    if (request.path == "/throw") throw std::runtime_error("secret text");
    if (request.path == "/no-memory") throw std::bad_alloc();
    if (request.path == "/no-thread")
      throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
    if (request.path == "/hold" || request.path == "/stream") {
      if (request.path == "/stream") writer->start_stream(200, {}, ": ping\n\n");
      writer->on_disconnect([this](Disconnect reason) {
        reason_ = reason;
        gone_at_ = Clock::now();
        gone_ = true;
      });
      writer->on_drain([this] { ++drains_; });
      held_ = std::move(writer);
      holding_ = true;
      return;
    }
    writer->send({200, {}, request.method + " " + request.path + " " + request.body});
  }
  template <typename Predicate>
  static bool eventually(Predicate predicate,
                         std::chrono::milliseconds within = std::chrono::seconds(3)) {
    const auto deadline = Clock::now() + within;
    while (!predicate()) {
      if (Clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
  RawSocket connect() { return RawSocket(address_); }
  std::string ask(std::string_view text) {
    RawSocket socket = connect();
    socket.send(text);
    return socket.read();
  }
  std::vector<std::string> completed() {
    const std::lock_guard lock(mutex_);
    return completed_;
  }

  EventLoop loop_;
  ServerOptions options_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
  std::string address_;
  std::shared_ptr<ResponseWriter> held_;
  std::atomic<bool> holding_{false}, gone_{false};
  std::atomic<int> calls_{0}, drains_{0};
  std::atomic<Disconnect> reason_{Disconnect::kShutdown};
  Clock::time_point gone_at_{};
  std::mutex mutex_;
  std::vector<std::string> completed_;
};

inline const std::string kGet = "GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n";
inline const std::string kGetClose =
    "GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

inline std::string get(std::string_view path, std::string_view more = {}) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(more) +
         "\r\n";
}

}  // namespace holdfast::http::testing_support
