#include "flight.h"

namespace holdfast::router {
namespace {

using backend::FailureKind;

constexpr std::uint64_t kFnvOffset = 14695981039346656037ull;
constexpr std::uint64_t kFnvPrime = 1099511628211ull;

std::uint64_t fnv(std::uint64_t hash, std::string_view bytes) {
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * kFnvPrime;
  return hash;
}

// The text that a prompt begins with, as far as it decides which cached prefix fits.
struct Beginning {
  std::size_t bytes_max;
  std::string operator()(const backend::TextPrompt& p) const { return p.text.substr(0, bytes_max); }
  std::string operator()(const backend::TokenPrompt& p) const {
    const std::size_t count = std::min(p.tokens.size(), bytes_max / sizeof(std::int32_t));
    return std::string(reinterpret_cast<const char*>(p.tokens.data()),
                       count * sizeof(std::int32_t));
  }
  std::string operator()(const backend::ChatPrompt& p) const {
    std::string out;
    if (!p.messages.is_array()) return out;
    for (const json::Value& message : p.messages.as_array()) {
      const json::Value* content = message.find("content");
      if (content != nullptr && content->is_string())
        out += content->as_string().substr(0, bytes_max);
      if (out.size() >= bytes_max) break;
      out += '\0';
    }
    return out.substr(0, bytes_max);
  }
};

// Failures that another backend might not have.
bool elsewhere_helps(FailureKind kind) {
  switch (kind) {
    case FailureKind::kUpstream:
    case FailureKind::kUpstreamTimeout:
    case FailureKind::kRateLimited:
    case FailureKind::kOverloaded:
    case FailureKind::kEngineCrashed:
    case FailureKind::kModelLoading:
      return true;
    default:
      return false;
  }
}

// Failures that speak against the backend, not against the request.
bool counts_against(FailureKind kind) {
  return kind == FailureKind::kUpstream || kind == FailureKind::kUpstreamTimeout;
}

backend::Failure out_of_memory() {
  constexpr std::uint64_t kRetryMs = 10'000;
  backend::Failure failure{
      unavailable("the server ran short of memory and ended its youngest request",
                  std::string(refusal_reason_name(RefusalReason::kMemory))),
      FailureKind::kOverloaded};
  failure.retry_after_ms = kRetryMs;
  return failure;
}

}  // namespace

std::uint64_t affinity_of(const backend::GenerateRequest& request, std::size_t bytes_max) {
  const std::string beginning = std::visit(Beginning{bytes_max}, request.prompt);
  return fnv(fnv(fnv(kFnvOffset, beginning), "\x01"), request.caller.cache_domain);
}

// The observer of one attempt.
class Flight::Relay final : public backend::GenerateObserver {
 public:
  Relay(std::shared_ptr<Flight> flight, std::size_t target, Instant began)
      : flight_(std::move(flight)), target_(target), began_(began) {}
  void on_started(backend::Started started) override { flight_->on_started(std::move(started)); }
  void on_token(backend::TokenEvent event) override { flight_->on_token(std::move(event)); }
  void on_finished(backend::Finished finished) override {
    flight_->on_finished(target_, began_, std::move(finished));
  }
  void on_error(backend::Failure failure) override {
    flight_->on_error(target_, began_, std::move(failure));
  }

 private:
  const std::shared_ptr<Flight> flight_;
  const std::size_t target_;
  const Instant began_;
};

Flight::Flight(std::shared_ptr<Router::Impl> router, ModelWays model, Arrival arrival,
               backend::GenerateRequest request,
               std::shared_ptr<backend::GenerateObserver> observer)
    : router_(std::move(router)),
      model_(std::move(model)),
      arrival_(std::move(arrival)),
      affinity_(affinity_of(request, router_->options.affinity_bytes_max)),
      observer_(std::move(observer)),
      request_(std::move(request)) {}

void Flight::start() {
  number_ = router_->add_flight(weak_from_this());
  const auto target = router_->choose(model_, affinity_, std::nullopt, "");
  target ? send(*target) : end_without_route();
}

void Flight::end_without_route() {
  leave_queue();
  backend::Failure failure{unavailable("no backend can serve this model now", model_.id),
                           FailureKind::kNoRoute};
  failure.retry_after_ms = router_->retry_after_ms(model_);
  observer_->on_error(std::move(failure));
}

void Flight::send(std::size_t target) {
  backend::GenerateRequest request;
  std::uint32_t attempt = 0;
  {
    const std::lock_guard lock(mutex_);
    attempt = ++attempt_;
    target_ = target;
    // Kept for a second attempt only where there can be one.
    const bool last =
        retried_ || (model_.ways.size() == 1 && !router_->targets[target].with_breaker);
    if (last) {
      request = std::move(*request_);
      request_.reset();
    } else {
      request = *request_;
    }
  }
  auto relay = std::make_shared<Relay>(shared_from_this(), target, router_->now());
  std::shared_ptr<backend::RequestHandle> handle =
      router_->targets[target].backend->generate(std::move(request), std::move(relay));
  {
    const std::lock_guard lock(mutex_);
    // It may have failed already, and another attempt be under way.
    if (!ended_ && !cancelled_ && attempt == attempt_) handle_ = handle;
    if (!cancelled_) return;
  }
  if (handle) handle->cancel();
}

void Flight::on_started(backend::Started started) {
  {
    const std::lock_guard lock(mutex_);
    started_ = true;
    request_.reset();
  }
  router_->admitted_started(model_.id, arrival_);
  observer_->on_started(std::move(started));
}

void Flight::leave_queue() {
  bool was_started = false;
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    was_started = started_;
    request_.reset();
  }
  router_->admitted_ended(model_.id, model_.slots, arrival_, was_started, number_);
}

void Flight::on_finished(std::size_t target, Instant began, backend::Finished finished) {
  const bool cancelled = finished.reason == backend::FinishReason::kCancelled;
  router_->leave(target, cancelled ? Router::Impl::Verdict::kNone : Router::Impl::Verdict::kGood,
                 began);
  leave_queue();
  if (cancelled && was_shed()) return observer_->on_error(out_of_memory());
  observer_->on_finished(std::move(finished));
}

void Flight::on_error(std::size_t target, Instant began, backend::Failure failure) {
  // A backend that refuses a request works; one that was stopped says nothing.
  const bool silent = failure.error.code() == ErrorCode::kCancelled;
  router_->leave(target,
                 counts_against(failure.kind) ? Router::Impl::Verdict::kBad
                 : silent                     ? Router::Impl::Verdict::kNone
                                              : Router::Impl::Verdict::kGood,
                 began);
  if (try_again(target, failure)) {
    router_->env.logger.info("route.retry", {{"model", model_.id},
                                             {"target", router_->targets[target].name},
                                             {"why", failure.error.to_string()}});
    router_->later([self = shared_from_this(), target] { self->send_again(target); });
    return;
  }
  leave_queue();
  observer_->on_error(std::move(failure));
}

bool Flight::try_again(std::size_t target, const backend::Failure& failure) {
  if (router_->stopping()) return false;
  const bool other = elsewhere_helps(failure.kind) && router_->has_other(model_, target);
  const bool same =
      failure.kind == FailureKind::kUpstream && failure.error.code() == ErrorCode::kUnavailable;
  const std::lock_guard lock(mutex_);
  // What has started keeps no request: after the first byte nothing is said twice.
  if (cancelled_ || retried_ || !request_ || (!other && !same)) return false;
  retried_ = true;
  return true;
}

void Flight::send_again(std::size_t failed) {
  std::shared_ptr<backend::RequestHandle> old;
  bool cancelled = false;
  {
    const std::lock_guard lock(mutex_);
    old.swap(handle_);
    cancelled = cancelled_;
  }
  old.reset();
  if (cancelled || router_->stopping()) return end_cancelled();
  if (const auto target = router_->choose(model_, affinity_, failed, "retry")) return send(*target);
  router_->choose_again(failed) ? send(failed) : end_without_route();
}

void Flight::end_cancelled() {
  leave_queue();
  if (was_shed()) return observer_->on_error(out_of_memory());
  backend::Finished finished;
  finished.reason = backend::FinishReason::kCancelled;
  observer_->on_finished(std::move(finished));
}

void Flight::cancel() {
  std::shared_ptr<backend::RequestHandle> handle;
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    handle = handle_;
  }
  if (handle) handle->cancel();
}

bool Flight::shed() {
  std::shared_ptr<backend::RequestHandle> handle;
  {
    const std::lock_guard lock(mutex_);
    const bool own = target_ && !router_->targets[*target_].with_breaker;
    if (ended_ || cancelled_ || !own) return false;
    cancelled_ = shed_ = true;
    handle = handle_;
  }
  if (handle) handle->cancel();
  return true;
}

bool Flight::was_shed() {
  const std::lock_guard lock(mutex_);
  return shed_;
}

void Flight::drop() {
  std::shared_ptr<backend::RequestHandle> handle;
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    handle.swap(handle_);
  }
  if (handle) handle->cancel();
}

}  // namespace holdfast::router
