// WireSink: the engine's outputs as messages on the control socket.
#pragma once

#include <unordered_map>

#include "holdfast/runtime/request.h"
#include "holdfast/wire/channel.h"

namespace holdfast::enginehost {

// Used by the engine's thread, and by the receiving thread for requests that never reached the
// engine; Channel::send is thread-safe and the rest is per request, so the two never touch the same
// entry.
class WireSink final : public runtime::OutputSink {
 public:
  explicit WireSink(wire::Channel& channel) : channel_(channel) {}

  // What the sink must know of a request to answer it.
  struct Wants {
    bool logprobs = false;
    bool margins = false;
    std::vector<std::uint32_t> positions;  // of an evaluation: row i is position positions[i]
  };
  // Called by the engine's thread before submit(). False: a request of that number is under way,
  // and the new one must be passed over, for an answer to it would be taken for one to the other.
  bool expect(runtime::RequestId id, Wants wants) {
    return wants_.try_emplace(id, std::move(wants)).second;
  }

  void on_started(runtime::RequestId id, runtime::StartedOutput started) override;
  void on_token(runtime::RequestId id, runtime::TokenOutput token, std::string text) override;
  void on_finished(runtime::RequestId id, runtime::FinishedOutput finished) override;
  void on_rows(runtime::RequestId id, std::uint32_t first_row, std::uint32_t width,
               std::span<const float> values) override;
  void on_score(runtime::RequestId id, double nll, std::uint32_t count) override;
  void on_failed(runtime::RequestId id, runtime::Failure failure) override;

  // The socket failed: nothing that is still said would be heard.
  bool broken() const { return broken_; }

 private:
  void send(const wire::Message& message);
  wire::TokenDetail detail(runtime::RequestId id, runtime::TokenOutput token,
                           bool from_prompt) const;

  wire::Channel& channel_;
  std::unordered_map<runtime::RequestId, Wants> wants_;
  bool broken_ = false;
};

// The reply to a request that failed, with the numbers that the gateway shows.
wire::ErrorReply to_reply(runtime::RequestId id, const runtime::Failure& failure);

}  // namespace holdfast::enginehost
