// What the backend's threads have to say to generations, brought to the loop's thread many at a
// time.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <variant>
#include <vector>

#include "holdfast/backend/backend.h"
#include "holdfast/http/event_loop.h"

namespace holdfast::gateway {

class Generation;

// An engine that computes hundreds of sequences together gives a token to each at the same moment:
// one post for all of them instead of one each. post() and close() are thread-safe; the rest runs
// on the loop's thread.
class Mailbox : public std::enable_shared_from_this<Mailbox> {
 public:
  // Nothing more comes from that run; what held the generation for it is let go on the loop.
  struct Gone {};
  using Event = std::variant<backend::Started, backend::TokenEvent, backend::Finished,
                             backend::Failure, Gone>;

  explicit Mailbox(http::EventLoop& loop) : loop_(loop) {}

  // Events of one generation arrive in the order in which they were posted.
  void post(std::shared_ptr<Generation> generation, std::size_t run, Event event);
  // Drops what waits and what comes later: the loop has ended.
  void close();

 private:
  struct Letter {
    std::shared_ptr<Generation> generation;
    std::size_t run;
    Event event;
  };
  void deliver();

  http::EventLoop& loop_;
  std::mutex mutex_;
  std::vector<Letter> waiting_;
  std::vector<Letter> delivering_;  // the loop's; kept for its memory
  bool closed_ = false;
};

}  // namespace holdfast::gateway
