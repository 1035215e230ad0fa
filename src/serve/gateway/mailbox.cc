#include "mailbox.h"

#include <exception>

#include "generation.h"

namespace holdfast::gateway {
namespace {

// A burst must not keep its memory for ever.
constexpr std::size_t kLettersKept = 4096;

}  // namespace

void Mailbox::post(std::shared_ptr<Generation> generation, std::size_t run, Event event) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    waiting_.push_back({std::move(generation), run, std::move(event)});
    if (waiting_.size() > 1) return;  // a delivery is on its way
  }
  loop_.post([self = shared_from_this()] { self->deliver(); });
}

void Mailbox::deliver() {
  {
    const std::lock_guard lock(mutex_);
    delivering_.swap(waiting_);
  }
  for (Letter& letter : delivering_) {
    try {
      letter.generation->receive(letter.run, letter.event);
    } catch (const std::exception&) {
      // Out of memory: this one ends, the others go on.
      letter.generation->abandon();
    }
  }
  delivering_.clear();
  if (delivering_.capacity() > kLettersKept) delivering_ = {};
}

void Mailbox::close() {
  std::vector<Letter> dropped;
  const std::lock_guard lock(mutex_);
  closed_ = true;
  dropped.swap(waiting_);
}

}  // namespace holdfast::gateway
