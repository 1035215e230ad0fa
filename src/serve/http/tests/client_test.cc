#include "holdfast/http/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "holdfast/http/server.h"

namespace holdfast::http {
namespace {

using namespace std::chrono_literals;

class ClientTest : public testing::Test {
 protected:
  void SetUp() override {
    ServerHooks hooks;
    hooks.handle = [this](std::shared_ptr<Request> request,
                          std::shared_ptr<ResponseWriter> writer) {
      if (request->path == "/never") {
        held_ = std::move(writer);
      } else if (request->path == "/stream") {
        writer->start_stream(200, {{"X", "y"}}, "");
        for (int i = 0; i < 3; ++i) writer->write("part" + std::to_string(i));
        writer->finish();
      } else {
        writer->send({200, {}, request->method + request->target + request->body});
      }
    };
    ServerOptions options;
    options.limits.body_bytes_max = 100;
    options.idle_timeout = 50ms;
    server_ = std::make_unique<Server>(loop_, options, hooks);
    address_ = server_->listen_tcp("127.0.0.1:0").value();
    path_ = testing::TempDir() + std::to_string(getpid()) + "hf_client.sock";
    ASSERT_TRUE(server_->listen_unix(path_).ok());
    thread_ = std::thread([this] { loop_.run(); });
  }
  void TearDown() override {
    loop_.post([this] {
      held_.reset();
      server_->close_all();
      loop_.stop();
    });
    thread_.join();
  }
  EventLoop loop_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<ResponseWriter> held_;
  std::string address_, path_;
  std::thread thread_;
};

TEST_F(ClientTest, TcpAndUnix) {
  for (const std::string& where : {"http://" + address_ + "/base/", "unix:" + path_}) {
    Client client(parse_endpoint(where).value());
    const auto answer = client.request({"POST", "/x", {}, "body"});
    ASSERT_TRUE(answer.ok()) << answer.error().to_string();
    EXPECT_EQ(answer->body, where.front() == 'h' ? "POST/base/xbody" : "POST/xbody");
    // The server closes idle connections: the second request must not fail for it.
    std::this_thread::sleep_for(120ms);
    EXPECT_TRUE(client.request({"GET", "/y", {}, ""}).ok());
  }
}

TEST_F(ClientTest, StreamsAndStops) {
  Client client(parse_endpoint(address_).value());
  std::string got;
  auto answer = client.request({"GET", "/stream", {}, ""},
                               [&](const ClientResponse& head, std::string_view bytes) {
                                 EXPECT_EQ(head.headers.get("x"), "y");
                                 got += bytes;
                                 return true;
                               });
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(got, "part0part1part2");
  answer = client.request({"GET", "/stream", {}, ""},
                          [](const ClientResponse&, std::string_view) { return false; });
  EXPECT_TRUE(answer.ok());
  EXPECT_TRUE(client.request({"GET", "/again", {}, ""}).ok());
}

TEST_F(ClientTest, FailuresAreTyped) {
  Client nobody(parse_endpoint("127.0.0.1:1").value());
  EXPECT_EQ(nobody.request({}).error().code(), ErrorCode::kUnavailable);
  Client no_socket(parse_endpoint("unix:/nonexistent/x.sock").value());
  EXPECT_EQ(no_socket.request({}).error().code(), ErrorCode::kUnavailable);
  ClientOptions options;
  options.idle_timeout = 100ms;
  Client slow(parse_endpoint(address_).value(), options);
  EXPECT_EQ(slow.request({"GET", "/never", {}, ""}).error().code(), ErrorCode::kDeadline);
  std::atomic<bool> stop{false};
  options.stop = &stop;
  options.idle_timeout = 10s;
  Client stopped(parse_endpoint(address_).value(), options);
  std::thread stopper([&] {
    std::this_thread::sleep_for(50ms);
    stop = true;
  });
  EXPECT_EQ(stopped.request({"GET", "/never", {}, ""}).error().code(), ErrorCode::kCancelled);
  stopper.join();
  Client large(parse_endpoint(address_).value());
  const auto refused = large.request({"POST", "/x", {}, std::string(1u << 20, 'x')});
  ASSERT_TRUE(refused.ok()) << refused.error().to_string();
  EXPECT_EQ(refused->status, 413);
}

TEST(Endpoint, Forms) {
  EXPECT_EQ(parse_endpoint("unix:/a/b")->unix_path, "/a/b");
  EXPECT_EQ(parse_endpoint("localhost")->port, "11435");
  EXPECT_EQ(parse_endpoint("http://[::1]:80/v1/")->host, "::1");
  EXPECT_EQ(parse_endpoint("http://[::1]:80/v1/")->base_path, "/v1");
  for (const char* bad : {"", "unix:", "http://", "h:99x", "https://h", "h:"}) {
    EXPECT_FALSE(parse_endpoint(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace holdfast::http
