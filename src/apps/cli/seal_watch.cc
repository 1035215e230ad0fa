#include "seal_watch.h"

#include <chrono>

#include "holdfast/platform/thread.h"

namespace holdfast::cli {
namespace {

// How soon an operator's command shows.
constexpr auto kPoll = std::chrono::milliseconds(500);

}  // namespace

SealWatch::SealWatch(std::shared_ptr<custody::Custody> custody, const observe::Logger& logger,
                     std::function<void(bool)> changed)
    : custody_(std::move(custody)), logger_(logger), changed_(std::move(changed)) {
  open_ = is_open();
  changed_(open_);
  thread_ = std::thread([this] { run(); });
}

SealWatch::~SealWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  thread_.join();
}

void SealWatch::run() {
  platform::set_current_thread_name("hf-keyring");
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, kPoll, [this] { return stopping_; })) {
    lock.unlock();
    look();
    lock.lock();
  }
}

void SealWatch::look() {
  const bool open = is_open();
  if (open == open_) return;
  open_ = open;
  changed_(open);
}

bool SealWatch::is_open() const {
  if (!custody_->exists()) return true;
  const auto holder = custody_->holder();
  if (holder.ok() && holder->open) return true;
  // What did not open by itself the last time is an operator's to open.
  if (holder.ok() && (holder->stay_sealed || !open_)) return false;
  const Status opened = custody_->ensure_open();
  if (!opened.ok()) logger_.warn("keyring.closed", {{"why", opened.error().to_string()}});
  return opened.ok();
}

}  // namespace holdfast::cli
