#include "worker.h"

#include <utility>

#include "holdfast/platform/thread.h"

namespace holdfast::gateway {

Worker::~Worker() { stop(); }

bool Worker::post(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  if (stopped_ || waiting_.size() >= waiting_max_) return false;
  if (!thread_.joinable()) {
    auto started = platform::start_thread("hf-planner", [this] { run(); });
    if (!started.ok()) return false;
    thread_ = std::move(*started);
  }
  waiting_.push_back(std::move(job));
  wake_.notify_one();
  return true;
}

void Worker::stop() {
  std::deque<std::function<void()>> dropped;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    dropped.swap(waiting_);
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void Worker::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopped_ || !waiting_.empty(); });
    if (stopped_) return;
    const std::function<void()> job = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    job();
    lock.lock();
  }
}

}  // namespace holdfast::gateway
