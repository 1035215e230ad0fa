#include "holdfast/wire/channel.h"

#include <sys/socket.h>

#include "holdfast/platform/socket.h"
#include "holdfast/platform/thread.h"

namespace holdfast::wire {
namespace {

constexpr std::size_t kReceiveBytes = 256 * 1024;
// Joined for one write; larger frames go alone.
constexpr std::size_t kWriteBytesMax = 64 * 1024;
constexpr std::chrono::milliseconds kLastWordsTimeout{1000};

Error other_side_gone() { return unavailable("the other side is gone"); }

}  // namespace

Channel::Channel(platform::UniqueFd fd, const ChannelOptions& options)
    : fd_(std::move(fd)), options_(options), chunk_(kReceiveBytes) {}

Result<std::unique_ptr<Channel>> Channel::open(platform::UniqueFd fd,
                                               const ChannelOptions& options) {
  std::unique_ptr<Channel> channel(new Channel(std::move(fd), options));
  HF_TRY_ASSIGN(channel->writer_,
                platform::start_thread("wire-writer", [c = channel.get()] { c->write_loop(); }));
  return channel;
}

Channel::~Channel() {
  ignore_error(flush(platform::Deadline::after(kLastWordsTimeout)), "the other side may be gone");
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  shut_down();  // ends a write that waits
  if (writer_.joinable()) writer_.join();
}

void Channel::shut_down() { ::shutdown(fd_.get(), SHUT_RDWR); }

Result<std::optional<Message>> Channel::receive(platform::Deadline deadline) {
  while (true) {
    HF_TRY_ASSIGN(const std::optional<Frame> frame, parser_.next());
    if (frame) {
      auto message = decode(*frame);
      if (message.ok()) return std::optional<Message>(std::move(message).value());
      if (message.error().code() != ErrorCode::kUnsupported) return std::move(message).error();
      continue;
    }
    HF_TRY_ASSIGN(const std::size_t n, platform::receive_some(fd_.get(), chunk_, deadline));
    if (n == 0) {
      if (parser_.pending_bytes() != 0) return corrupt("internal protocol error", "cut frame");
      return std::optional<Message>();
    }
    parser_.feed(ByteView(chunk_).first(n));
  }
}

Status Channel::send(const Message& message) {
  HF_TRY_ASSIGN(Bytes frame, encode(message));
  std::unique_lock lock(mutex_);
  // An empty queue takes any frame: one larger than the whole limit could otherwise never be sent.
  const auto has_room = [&] {
    return write_error_ || stopping_ || queued_bytes_ == 0 ||
           queued_bytes_ + frame.size() <= options_.queued_bytes_max;
  };
  if (!changed_.wait_for(lock, options_.send_timeout, has_room)) {
    return Error(ErrorCode::kDeadline, "the other side does not read its messages");
  }
  if (write_error_) return *write_error_;
  if (stopping_) return other_side_gone();
  queued_bytes_ += frame.size();
  queue_.push_back(std::move(frame));
  lock.unlock();
  changed_.notify_all();
  return {};
}

Status Channel::flush(platform::Deadline deadline) {
  std::unique_lock lock(mutex_);
  const auto done = [&] { return queued_bytes_ == 0 || write_error_.has_value(); };
  const int timeout_ms = deadline.poll_timeout_ms();
  if (timeout_ms < 0) {
    changed_.wait(lock, done);
  } else if (!changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), done)) {
    return Error(ErrorCode::kDeadline, "the other side does not read its messages");
  }
  return write_error_ ? Status(*write_error_) : ok_status();
}

void Channel::write_loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    // A step of the engine ends for many requests at once: one write for all that is there.
    Bytes frames = std::move(queue_.front());
    queue_.pop_front();
    while (!queue_.empty() && frames.size() + queue_.front().size() <= kWriteBytesMax) {
      frames.insert(frames.end(), queue_.front().begin(), queue_.front().end());
      queue_.pop_front();
    }
    lock.unlock();
    Status sent = platform::send_all(fd_.get(), frames, platform::Deadline::never());
    lock.lock();
    queued_bytes_ -= frames.size();
    if (!sent.ok()) {
      write_error_ = std::move(sent).error();
      queue_.clear();
      queued_bytes_ = 0;
    }
    changed_.notify_all();
    if (write_error_) return;
  }
}

}  // namespace holdfast::wire
