// Flight: one request from its admission to its end, over all its attempts.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "router_impl.h"

namespace holdfast::router {

// The beginning of a prompt and the caller's cache domain, hashed; 0 where nothing is shared.
std::uint64_t affinity_of(const backend::GenerateRequest& request, std::size_t bytes_max);

// Held by the caller's handle and by the observer of the running attempt. Thread-safe.
class Flight final : public std::enable_shared_from_this<Flight> {
 public:
  Flight(std::shared_ptr<Router::Impl> router, ModelWays model, Arrival arrival,
         backend::GenerateRequest request, std::shared_ptr<backend::GenerateObserver> observer);

  // It was admitted: sends it somewhere, or fails with kNoRoute.
  void start();
  void cancel();
  // Ends it with kOverloaded, because memory is short. False: it does not run in an engine of ours.
  bool shed();
  // The caller let go of it.
  void drop();

 private:
  class Relay;

  void send(std::size_t target);
  void on_started(backend::Started started);
  void on_token(backend::TokenEvent event) { observer_->on_token(std::move(event)); }
  void on_finished(std::size_t target, Instant began, backend::Finished finished);
  void on_error(std::size_t target, Instant began, backend::Failure failure);
  bool try_again(std::size_t target, const backend::Failure& failure);
  void send_again(std::size_t failed);
  void end_cancelled();
  void end_without_route();
  void leave_queue();
  bool was_shed();

  const std::shared_ptr<Router::Impl> router_;
  const ModelWays model_;
  const Arrival arrival_;
  const std::uint64_t affinity_;
  const std::shared_ptr<backend::GenerateObserver> observer_;

  std::mutex mutex_;                                 // of what follows
  std::optional<backend::GenerateRequest> request_;  // while another attempt may need it
  std::shared_ptr<backend::RequestHandle> handle_;   // of the attempt under way
  std::uint32_t attempt_ = 0;
  bool started_ = false;
  std::optional<std::size_t> target_;  // of the attempt under way
  std::uint64_t number_ = 0;
  bool cancelled_ = false;
  bool shed_ = false;
  bool ended_ = false;
  bool retried_ = false;
};

}  // namespace holdfast::router
