// Channel: messages over one end of a socket pair, for the side that may block.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "holdfast/platform/clock.h"
#include "holdfast/platform/unique_fd.h"
#include "holdfast/wire/messages.h"

namespace holdfast::wire {

struct ChannelOptions {
  // Encoded messages that wait for the other side to read. Above it send() waits: memory stays
  // bounded when the gateway stalls.
  std::size_t queued_bytes_max = std::size_t{32} << 20;
  // How long send() waits for room before it calls the other side dead.
  std::chrono::milliseconds send_timeout{30'000};
};

// One thread receives; any number of threads send. A writer thread of its own empties the queue, so
// a sender waits only when the queue is full. Destruction sends what is queued for at most a
// second, then stops.
class Channel {
 public:
  // Takes a connected stream socket. kExhausted where no thread can be started.
  static Result<std::unique_ptr<Channel>> open(platform::UniqueFd fd,
                                               const ChannelOptions& options = {});
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // The next message; nullopt when the other side closed between frames. kDeadline, kCorrupt, kIo.
  Result<std::optional<Message>> receive(platform::Deadline deadline = platform::Deadline::never());
  // Queues a message; messages of one thread keep their order. kUnavailable when the other side is
  // gone, kDeadline when the queue stays full, and the errors of encode().
  Status send(const Message& message);
  // Waits until everything queued is with the kernel. kUnavailable, kDeadline.
  Status flush(platform::Deadline deadline);
  // Makes a blocked receive() return end of stream, from another thread.
  void shut_down();

 private:
  Channel(platform::UniqueFd fd, const ChannelOptions& options);
  void write_loop();

  platform::UniqueFd fd_;
  const ChannelOptions options_;
  FrameParser parser_;  // with chunk_: the receiving thread's
  Bytes chunk_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Bytes> queue_;
  std::size_t queued_bytes_ = 0;  // includes the frame that is being written
  bool stopping_ = false;
  std::optional<Error> write_error_;
  std::thread writer_;
};

}  // namespace holdfast::wire
