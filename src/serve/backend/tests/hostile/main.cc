// An engine that somebody else has taken over: it greets, says that it is ready, and then sends
// whatever it likes. Started by hostile_engine_test.cc, which tells it by the configuration in
// Load: hostile_ready (what Ready says), hostile_seed, hostile_burst (messages for each request).
#include <charconv>
#include <random>
#include <variant>

#include "holdfast/json/json.h"
#include "holdfast/platform/socket.h"
#include "holdfast/wire/wire.h"
#include "samples.h"

namespace {

using namespace holdfast;

constexpr int kControlFd = 3;
constexpr auto kPatience = std::chrono::seconds(60);

class Hostile {
 public:
  explicit Hostile(wire::Channel& channel) : channel_(channel) {}

  // Serves until the other side closes or it ends the connection itself.
  void run() {
    while (true) {
      auto message = channel_.receive(platform::Deadline::after(kPatience));
      if (!message.ok() || !message->has_value()) return;
      if (const auto* load = std::get_if<wire::Load>(&**message)) {
        if (!begin(load->config_json)) return;
      } else if (const auto* submit = std::get_if<wire::Submit>(&**message)) {
        if (!burst(submit->request)) return;
      } else if (std::holds_alternative<wire::Shutdown>(**message)) {
        return;
      }
    }
  }

 private:
  bool begin(const std::string& text) {
    const auto config = json::parse(text);
    if (!config.ok()) return false;
    random_.seed(static_cast<std::uint64_t>(config->find("hostile_seed")->as_int()));
    messages_ = static_cast<int>(config->find("hostile_burst")->as_int());
    return channel_.send(wire::Ready{config->find("hostile_ready")->as_string()}).ok();
  }

  std::uint64_t below(std::uint64_t n) { return random_() % n; }

  // Mostly of the request that is under way, else of one that may be, or of none.
  std::uint64_t any_request(std::uint64_t now) {
    if (below(4) != 0) return now;
    return below(10) == 0 ? random_() : now + below(8) - 4;
  }

  wire::Message any_message(std::uint64_t now) {
    wire::Message m = samples_[below(samples_.size())];
    std::visit(
        [&](auto& message) {
          if constexpr (requires { message.request; }) message.request = any_request(now);
        },
        m);
    if (auto* token = std::get_if<wire::Token>(&m)) {
      for (auto& t : token->tokens) {
        if (below(3) == 0) t.token = static_cast<std::int32_t>(random_());
      }
      token->text.assign(below(64), static_cast<char>(random_()));
    }
    return m;
  }

  // Noise for a request, which then ends, is left without an end once in a while, or gets a frame
  // that is none. False: the connection is over.
  bool burst(std::uint64_t now) {
    for (int i = 0; i < messages_; ++i) {
      if (!channel_.send(any_message(now)).ok()) return false;
    }
    if (below(12) == 0) return false;
    if (below(12) == 0) {
      if (!channel_.flush(platform::Deadline::after(kPatience)).ok()) return false;
      return mutilated(any_message(now));
    }
    return channel_.send(wire::Finished{now, wire::FinishReason::kStop, {}, {}, {}}).ok();
  }

  bool mutilated(const wire::Message& message) {
    auto frame = wire::encode(message);
    if (!frame.ok()) return false;
    for (std::uint64_t i = 1 + below(8); i > 0; --i)
      (*frame)[below(frame->size())] = static_cast<std::byte>(random_());
    ignore_error(platform::send_all(kControlFd, *frame, platform::Deadline::after(kPatience)),
                 "the other side may have ended it");
    return below(2) == 0;
  }

  wire::Channel& channel_;
  std::mt19937_64 random_;
  std::vector<wire::Message> samples_ = wire::sample_messages();
  int messages_ = 0;
};

}  // namespace

int main() {
  auto channel = wire::Channel::open(platform::UniqueFd(kControlFd));
  if (!channel.ok() || !(*channel)->send(wire::Hello{}).ok()) return 1;
  Hostile(**channel).run();
  return 0;
}
