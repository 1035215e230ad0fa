// A gateway with the scripted backend, served on loopback.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "fake_backend.h"
#include "holdfast/gateway/gateway.h"
#include "holdfast/http/client.h"
#include "holdfast/http/sse.h"

namespace holdfast::gateway::testing_support {

struct Answer {
  int status = 0;
  http::Headers headers;
  std::string body;
  json::Value json;                 // null if the body is no JSON
  std::vector<json::Value> events;  // of a stream, without [DONE]
  bool done = false;                // [DONE] came last

  std::string error(std::string_view member) const {
    const json::Value* error = json.find("error");
    const json::Value* value = error == nullptr ? nullptr : error->find(member);
    return value == nullptr || !value->is_string() ? "" : value->as_string();
  }
};

class GatewayTest : public testing::Test {
 protected:
  void start() {
    log_.emplace(sink_, platform::system_clock(), observe::LogOptions{});
    gateway_ = std::make_unique<Gateway>(Gateway::Environment{loop_, fake_, metrics_, *log_, clock_,
                                                              entropy_, gateway_tracing_, keys_},
                                         options_);
    server_options_.access = Gateway::access_options({}, {"https://app.example"});
    server_options_.limits.body_bytes_max = options_.body_bytes_max;
    server_ = std::make_unique<http::Server>(loop_, server_options_, gateway_->hooks());
    address_ = server_->listen_tcp("127.0.0.1:0").value();
    thread_ = std::thread([this] { loop_.run(); });
  }
  void TearDown() override {
    if (!thread_.joinable()) return;
    on_loop([this] {
      gateway_->end_generations();
      server_->close_all();
    });
    loop_.stop();
    thread_.join();
  }
  void on_loop(const std::function<void()>& fn) {
    std::promise<void> done;
    loop_.post([&] {
      fn();
      done.set_value();
    });
    done.get_future().wait();
  }
  template <typename Predicate>
  static bool eventually(Predicate predicate,
                         std::chrono::milliseconds within = std::chrono::seconds(3)) {
    const auto deadline = std::chrono::steady_clock::now() + within;
    while (!predicate()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  static Answer read(http::ClientResponse response) {
    Answer out{
        response.status, std::move(response.headers), std::move(response.body), {}, {}, false};
    if (out.headers.get("content-type").substr(0, 17) == "text/event-stream") {
      http::SseReader reader([&](std::string_view, std::string_view data) {
        out.done = data == "[DONE]";
        if (!out.done) out.events.push_back(json::parse(data).value());
      });
      reader.feed(out.body);
    } else if (auto value = json::parse(out.body); value.ok()) {
      out.json = std::move(*value);
    }
    return out;
  }
  Answer ask(std::string method, std::string path, std::string body = {},
             http::Headers headers = {}) {
    http::Client client(http::parse_endpoint(address_).value());
    auto response =
        client.request({std::move(method), std::move(path), std::move(headers), std::move(body)});
    if (!response.ok()) {
      ADD_FAILURE() << response.error().to_string();
      return {};
    }
    return read(std::move(*response));
  }
  Answer get(std::string path, http::Headers headers = {}) {
    return ask("GET", std::move(path), {}, std::move(headers));
  }
  // `more` is further members, with a leading comma.
  Answer chat(const std::string& content, const std::string& more = {}) {
    return ask("POST", "/v1/chat/completions", chat_body(content, more));
  }
  static std::string chat_body(const std::string& content, const std::string& more = {}) {
    return R"({"model":"tiny:latest","messages":[{"role":"user","content":)" +
           json::write(content) + "}]" + more + "}";
  }
  Answer complete(const std::string& prompt_json, const std::string& more = {}) {
    return ask("POST", "/v1/completions",
               R"({"model":"tiny:latest","prompt":)" + prompt_json + more + "}");
  }

  http::EventLoop loop_;  // outlives the backend, which posts to it until it has ended
  FakeBackend fake_;
  observe::Registry metrics_;
  observe::MemoryLogSink sink_;
  std::optional<observe::Logger> log_;
  platform::ManualClock clock_{784111777};
  platform::SeededEntropy entropy_{1};
  Tracing* gateway_tracing_ = nullptr;
  identity::KeyTable* keys_ = nullptr;  // set before start() by tests with keys
  GatewayOptions options_;
  http::ServerOptions server_options_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<http::Server> server_;
  std::string address_;
  std::thread thread_;
};

}  // namespace holdfast::gateway::testing_support
