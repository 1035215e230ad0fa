// The fetching side over real sockets on loopback, without its jail (e2e.pull has it).
#include "holdfast/fetch/transfer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "holdfast/platform/socket.h"

namespace holdfast::fetch {
namespace {

// Listens on 127.0.0.1 and answers nothing.
class Listener {
 public:
  Listener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_.get(), 8), 0);
    socklen_t size = sizeof address;
    EXPECT_EQ(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  std::uint16_t port() const { return port_; }
  bool was_connected() const {
    pollfd p{fd_.get(), POLLIN, 0};
    return ::poll(&p, 1, 300) > 0;
  }

 private:
  platform::UniqueFd fd_;
  std::uint16_t port_ = 0;
};

// One request to that listener by a fetcher that may connect to `pinned`; the error of its end.
std::optional<Error> ask(const Listener& listener, std::vector<IpAddress> pinned,
                         const std::string& url_host = "127.0.0.1") {
  EXPECT_TRUE(prepare_transfers().ok());
  auto pair = platform::make_socket_pair();
  EXPECT_TRUE(pair.ok());
  TransferSetup setup;
  setup.start = {"127.0.0.1", listener.port(), false, "", 0};
  setup.pinned = std::move(pinned);
  setup.control_fd = pair->theirs.get();
  std::thread fetcher([&setup] { EXPECT_TRUE(serve_transfers(setup).ok()); });
  Request request;
  request.id = 1;
  request.url = *parse_url("http://" + url_host + ":" + std::to_string(listener.port()) + "/");
  request.sink = Sink::kMemory;
  request.total = 100;
  request.stall_ms = 1000;
  const auto deadline = platform::Deadline::after(std::chrono::seconds(20));
  EXPECT_TRUE(send_message(pair->ours.get(), request, deadline).ok());
  std::optional<Error> error;
  for (bool done = false; !done;) {
    const auto message = receive_message(pair->ours.get(), deadline);
    if (!message.ok()) {
      ADD_FAILURE() << message.error().to_string();
      break;
    }
    if (const auto* end = std::get_if<Done>(&*message)) {
      error = end->error;
      done = true;
    }
  }
  pair->ours.reset();
  fetcher.join();
  return error;
}

TEST(Transfer, ConnectsToPinnedAddressesOnly) {
  const Listener pinned;
  const auto stalled = ask(pinned, {*parse_address("127.0.0.1")});
  ASSERT_TRUE(stalled.has_value());
  EXPECT_EQ(stalled->code(), ErrorCode::kDeadline);  // nobody answers there, but it was reached
  EXPECT_TRUE(pinned.was_connected());
  const Listener other;
  const auto refused = ask(other, {});
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->code(), ErrorCode::kUnavailable);
  EXPECT_FALSE(other.was_connected());
}

TEST(Transfer, IsForOneHost) {
  const Listener listener;
  const auto refused = ask(listener, {*parse_address("127.0.0.1")}, "127.0.0.2");
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->code(), ErrorCode::kInvalidArgument);
  EXPECT_FALSE(listener.was_connected());
}

TEST(Transfer, AddressesOfALiteralNeedNobody) {
  const auto deadline = platform::Deadline::after(std::chrono::seconds(1));
  const auto addresses = look_up("/nonexistent", "192.0.2.7", deadline);
  ASSERT_TRUE(addresses.ok());
  EXPECT_EQ(addresses->front().text(), "192.0.2.7");
}

}  // namespace
}  // namespace holdfast::fetch
