#include "interrupts.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>

#include "holdfast/platform/clock.h"

namespace holdfast::cli {
namespace {

Result<platform::UniqueFd> make_wake() {
  platform::UniqueFd wake(::eventfd(0, EFD_CLOEXEC));
  if (wake.get() < 0) return os_error(errno, "make an event descriptor");
  return wake;
}

}  // namespace

Result<std::unique_ptr<Interrupts>> Interrupts::create() {
  HF_TRY_ASSIGN(platform::SignalQueue signals, platform::SignalQueue::create({SIGINT, SIGTERM}));
  HF_TRY_ASSIGN(platform::UniqueFd wake, make_wake());
  return std::unique_ptr<Interrupts>(new Interrupts(std::move(signals), std::move(wake), {}));
}

Result<std::unique_ptr<Interrupts>> Interrupts::create_with_hangup(
    std::function<void()> on_hangup) {
  HF_TRY_ASSIGN(platform::SignalQueue signals,
                platform::SignalQueue::create({SIGINT, SIGTERM, SIGHUP}));
  HF_TRY_ASSIGN(platform::UniqueFd wake, make_wake());
  return std::unique_ptr<Interrupts>(
      new Interrupts(std::move(signals), std::move(wake), std::move(on_hangup)));
}

Interrupts::Interrupts(platform::SignalQueue signals, platform::UniqueFd wake,
                       std::function<void()> on_hangup)
    : signals_(std::move(signals)),
      wake_(std::move(wake)),
      on_hangup_(std::move(on_hangup)),
      thread_([this] { watch(); }) {}

Interrupts::~Interrupts() {
  ignore_error(::eventfd_write(wake_.get(), 1), "the counter cannot be full");
  thread_.join();
}

void Interrupts::set_handler(Handler handler) {
  const std::lock_guard lock(mutex_);
  handler_ = std::move(handler);
  delivered_ = false;
}

void Interrupts::watch() {
  while (true) {
    pollfd fds[] = {{signals_.fd(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) return;
    if ((fds[1].revents & POLLIN) != 0) return;
    const auto signal = signals_.next(platform::Deadline::after(std::chrono::nanoseconds(0)));
    if (signal.ok() && *signal) deliver(**signal);
  }
}

void Interrupts::deliver(int signal) {
  if (signal == SIGHUP) return on_hangup_();
  const std::lock_guard lock(mutex_);
  // Engine children end by themselves when their socket closes.
  if (!handler_ || delivered_) std::_Exit(128 + signal);
  delivered_ = true;
  last_ = signal;
  handler_(signal);
}

}  // namespace holdfast::cli
