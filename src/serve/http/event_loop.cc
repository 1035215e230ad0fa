#include "holdfast/http/event_loop.h"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <utility>

#include "holdfast/platform/thread.h"
#include "loop_impl.h"

namespace holdfast::http {

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {}
EventLoop::~EventLoop() = default;

void EventLoop::run() {
  platform::ask_for_short_turns();
  while (!impl_->context.stopped()) {
    try {
      impl_->context.run();
    } catch (const std::exception&) {
      // The function that threw has ended; its connection is closed by its own destructors. The
      // others go on.
    }
  }
}

void EventLoop::stop() { impl_->context.stop(); }

void EventLoop::post(std::function<void()> fn) { asio::post(impl_->context, std::move(fn)); }

struct Timer::Impl {
  explicit Impl(asio::io_context& context) : timer(context) {}
  asio::steady_timer timer;
  std::function<void()> fn;
  std::uint64_t generation = 0;
};

Timer::Timer(EventLoop& loop) : impl_(std::make_shared<Impl>(loop.impl().context)) {}
Timer::~Timer() { cancel(); }

void Timer::start(std::chrono::milliseconds after, std::function<void()> fn) {
  impl_->fn = std::move(fn);
  const std::uint64_t generation = ++impl_->generation;
  impl_->timer.expires_after(after);
  impl_->timer.async_wait([weak = std::weak_ptr<Impl>(impl_), generation](const asio_error& error) {
    const auto self = weak.lock();
    // A timer that fired before it was restarted or cancelled still delivers its handler: the
    // generation tells.
    if (error || !self || self->generation != generation) return;
    const auto due = std::exchange(self->fn, nullptr);
    if (due) due();
  });
}

void Timer::cancel() {
  ++impl_->generation;
  impl_->fn = nullptr;
  impl_->timer.cancel();
}

}  // namespace holdfast::http
