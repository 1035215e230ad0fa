#include "holdfast/router/router.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "flight.h"
#include "holdfast/platform/thread.h"
#include "jitter.h"
#include "router_impl.h"

namespace holdfast::router {
namespace {

using backend::Failure;
using backend::FailureKind;

// How old the number of slots of a model may be.
constexpr Instant kSlotsReadEvery = std::chrono::seconds(1);
// Targets within this part of the smallest load are equal; the prompt then chooses.
constexpr double kEqualLoad = 0.25;
// Names that are remembered; a model that is gone and forgotten begins anew.
constexpr std::size_t kModelsMax = 4096;
// Memory comes back when answers end or a program does; nobody knows when.
constexpr double kMemoryRetryMs = 5000;

bool has_name(const backend::ModelFacts& model, std::string_view name) {
  return model.id == name || model.id == std::string(name) + ":latest" ||
         std::find(model.aliases.begin(), model.aliases.end(), name) != model.aliases.end();
}

// Rendezvous hashing: each target has a rank of its own for every prompt (splitmix64).
std::uint64_t rank_of(std::uint64_t affinity, std::string_view target) {
  std::uint64_t x = affinity ^ std::hash<std::string_view>()(target);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

class Handle final : public backend::RequestHandle {
 public:
  explicit Handle(std::shared_ptr<Flight> flight) : flight_(std::move(flight)) {}
  ~Handle() override { flight_->drop(); }
  void cancel() override { flight_->cancel(); }

 private:
  const std::shared_ptr<Flight> flight_;
};

Failure refused(const Refusal& refusal) {
  Failure failure{unavailable("the server is at its capacity",
                              std::string(refusal_reason_name(refusal.reason))),
                  FailureKind::kOverloaded};
  failure.retry_after_ms = static_cast<std::uint64_t>(refusal.retry_after.count());
  return failure;
}

Failure unknown_model(std::string_view model) {
  return {not_found("no such model", std::string(model)), FailureKind::kModelNotFound};
}

}  // namespace

RouterMetrics::RouterMetrics(observe::Registry& registry)
    : decisions(registry.counter(
          "holdfast_route_decisions_total",
          "Requests sent to a target, and why there: only, least_loaded, prefix, retry.",
          {"target", "reason"})),
      requests(registry.counter("holdfast_upstream_requests_total", "Requests sent to an upstream.",
                                {"upstream"})),
      errors(registry.counter("holdfast_upstream_errors_total", "Requests that an upstream failed.",
                              {"upstream"})),
      latency(registry.histogram("holdfast_upstream_latency_seconds",
                                 "From sending a request to an upstream to its end.",
                                 observe::request_seconds_buckets(), {"upstream"})),
      breaker_state(registry.gauge("holdfast_upstream_breaker_state",
                                   "0: in use, 1: tried again, 2: failing and not tried.",
                                   {"upstream"})),
      memory_in_use(registry.gauge(
          "holdfast_memory_in_use_ratio",
          "Part in use of the memory that no engine was promised, 0..1. From 0.8 no prompts are "
          "kept, from 0.9 batch requests are refused, from 0.95 all, from 0.99 the youngest end.")),
      shed(registry.counter("holdfast_memory_shed_total",
                            "Running requests that were ended because memory was short.")) {}

Router::Impl::Impl(RouterOptions o, std::vector<Target> t, Environment e)
    : options(o), targets(std::move(t)), env(e), metrics_(env.metrics) {
  for (std::size_t i = 0; i < targets.size(); ++i)
    states_.emplace_back(options.breaker, env.entropy);
  worker_ = std::thread([this] { work(); });
}

void Router::Impl::stop() {
  {
    const std::lock_guard lock(jobs_mutex_);
    stopping_ = true;
  }
  jobs_changed_.notify_all();
  if (worker_.joinable()) worker_.join();
}

bool Router::Impl::stopping() {
  const std::lock_guard lock(jobs_mutex_);
  return stopping_;
}

std::uint32_t Router::Impl::slots_of(std::size_t target, const std::string& model) {
  {
    const std::lock_guard lock(mutex_);
    const auto known = slots_.find({target, model});
    if (known != slots_.end() && now() - known->second.read_at < kSlotsReadEvery)
      return known->second.slots;
  }
  std::uint32_t slots = targets[target].slots;
  for (const backend::EngineFacts& engine : targets[target].backend->stats().engines) {
    if (engine.model == model && engine.slots > 0) slots = engine.slots;
  }
  const std::lock_guard lock(mutex_);
  if (slots_.size() > kModelsMax) slots_.clear();
  slots_[{target, model}] = {std::max<std::uint32_t>(slots, 1), now()};
  return std::max<std::uint32_t>(slots, 1);
}

ModelWays Router::Impl::ways_of(std::string_view model) {
  ModelWays out;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    for (const backend::ModelFacts& facts : targets[i].backend->models()) {
      if (!(out.id.empty() ? has_name(facts, model) : facts.id == out.id)) continue;
      out.id = facts.id;
      out.ways.push_back({i, slots_of(i, facts.id)});
      out.slots += out.ways.back().slots;
      break;
    }
  }
  return out;
}

backend::Backend* Router::Impl::first_with(std::string& model) {
  const ModelWays ways = ways_of(model);
  if (ways.ways.empty()) return nullptr;
  model = ways.id;
  const std::lock_guard lock(mutex_);
  for (const Candidate& way : ways.ways) {
    if (states_[way.target].breaker.allows(now())) return targets[way.target].backend.get();
  }
  return targets[ways.ways.front().target].backend.get();
}

std::optional<Refusal> Router::Impl::admit(const ModelWays& model, const Arrival& arrival) {
  const std::lock_guard lock(mutex_);
  const MemoryLevel memory = memory_level();
  const bool batch = arrival.priority == backend::Priority::kBatch;
  if (memory >= (batch ? MemoryLevel::kNoBatch : MemoryLevel::kNoNew))
    return Refusal{RefusalReason::kMemory,
                   std::chrono::milliseconds(std::llround(kMemoryRetryMs * jitter(env.entropy)))};
  if (gates_.size() > kModelsMax && !gates_.contains(model.id))
    std::erase_if(gates_, [](const auto& item) { return item.second.under_way() == 0; });
  auto gate = gates_.try_emplace(model.id, options.admission, env.entropy).first;
  return gate->second.arrive(now(), model.slots, arrival);
}

void Router::Impl::admitted_started(const std::string& model, const Arrival& arrival) {
  const std::lock_guard lock(mutex_);
  gates_.at(model).started(arrival);
}

void Router::Impl::admitted_ended(const std::string& model, std::uint32_t slots,
                                  const Arrival& arrival, bool was_started, std::uint64_t flight) {
  const std::lock_guard lock(mutex_);
  flights_.erase(flight);
  gates_.at(model).ended(now(), slots, arrival, was_started);
}

std::uint64_t Router::Impl::add_flight(std::weak_ptr<Flight> flight) {
  const std::lock_guard lock(mutex_);
  flights_.emplace(next_flight_, std::move(flight));
  return next_flight_++;
}

void Router::Impl::set_admission(AdmissionLimits limits) {
  const std::lock_guard lock(mutex_);
  options.admission = limits;
  for (auto& [model, gate] : gates_) gate.set_limits(limits);
}

void Router::Impl::set_memory_in_use(double part) {
  metrics_.memory_in_use.with().set(part);
  const MemoryLevel level = router::memory_level(part);
  const MemoryLevel before = memory_level_.exchange(level);
  if (level != before)
    env.logger.log(level > before ? observe::LogLevel::kWarn : observe::LogLevel::kInfo,
                   "memory.level",
                   {{"level", static_cast<int>(level)}, {"percent", std::llround(part * 100)}});
  if (level == MemoryLevel::kShed) shed_youngest();
}

void Router::Impl::shed_youngest() {
  std::vector<std::shared_ptr<Flight>> flights;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& item : flights_) {
      if (auto flight = item.second.lock()) flights.push_back(std::move(flight));
    }
  }
  for (auto flight = flights.rbegin(); flight != flights.rend(); ++flight) {
    if (!(*flight)->shed()) continue;
    metrics_.shed.with().add();
    return;
  }
}

std::optional<std::size_t> Router::Impl::choose(const ModelWays& model, std::uint64_t affinity,
                                                std::optional<std::size_t> except,
                                                std::string_view reason) {
  const std::lock_guard lock(mutex_);
  std::vector<const Candidate*> open;
  double least = 1e300;
  const auto load = [&](const Candidate& way) {
    return static_cast<double>(states_[way.target].under_way) / way.slots;
  };
  for (const Candidate& way : model.ways) {
    if (way.target == except || !states_[way.target].breaker.allows(now())) continue;
    open.push_back(&way);
    least = std::min(least, load(way));
  }
  if (open.empty()) return std::nullopt;
  const std::size_t all = open.size();
  std::erase_if(open, [&](const Candidate* way) { return load(*way) > least + kEqualLoad; });
  const auto best = std::max_element(open.begin(), open.end(), [&](const auto* a, const auto* b) {
    return rank_of(affinity, targets[a->target].name) < rank_of(affinity, targets[b->target].name);
  });
  const std::size_t target = (*best)->target;
  if (reason.empty()) reason = all == 1 ? "only" : open.size() > 1 ? "prefix" : "least_loaded";
  enter(target, reason);
  return target;
}

void Router::Impl::enter(std::size_t target, std::string_view reason) {
  TargetState& state = states_[target];
  if (targets[target].with_breaker) state.breaker.begin(now());
  ++state.under_way;
  ++state.requests;
  metrics_.decisions.with({targets[target].name, reason}).add();
  if (targets[target].with_breaker) metrics_.requests.with({targets[target].name}).add();
}

bool Router::Impl::has_other(const ModelWays& model, std::size_t except) {
  const std::lock_guard lock(mutex_);
  return std::any_of(model.ways.begin(), model.ways.end(), [&](const Candidate& way) {
    return way.target != except && states_[way.target].breaker.allows(now());
  });
}

bool Router::Impl::choose_again(std::size_t target) {
  const std::lock_guard lock(mutex_);
  if (!states_[target].breaker.allows(now())) return false;
  enter(target, "retry");
  return true;
}

void Router::Impl::leave(std::size_t target, Verdict verdict, Instant began) {
  const bool external = targets[target].with_breaker;
  const std::string& name = targets[target].name;
  const std::lock_guard lock(mutex_);
  TargetState& state = states_[target];
  --state.under_way;
  if (verdict == Verdict::kBad) ++state.errors;
  if (!external) return;
  const BreakerState before = state.breaker.state(now());
  if (verdict == Verdict::kGood) state.breaker.succeeded();
  if (verdict == Verdict::kBad) state.breaker.failed(now());
  if (verdict == Verdict::kNone) state.breaker.unknown();
  if (verdict == Verdict::kBad) metrics_.errors.with({name}).add();
  if (verdict == Verdict::kGood)
    metrics_.latency.with({name}).observe(std::chrono::duration<double>(now() - began).count());
  const BreakerState after = state.breaker.state(now());
  if (before != after) {
    env.logger.warn("route.breaker", {{"target", name}, {"state", breaker_state_name(after)}});
  }
}

std::uint64_t Router::Impl::retry_after_ms(const ModelWays& model) {
  const std::lock_guard lock(mutex_);
  Instant least = std::chrono::minutes(1);
  for (const Candidate& way : model.ways)
    least = std::min(least, states_[way.target].breaker.retry_after(now()));
  return std::max<std::uint64_t>(
      1000, static_cast<std::uint64_t>(
                std::chrono::duration_cast<std::chrono::milliseconds>(least).count()));
}

void Router::Impl::later(std::function<void()> job) {
  {
    const std::lock_guard lock(jobs_mutex_);
    if (!stopping_) {
      jobs_.emplace_back(Instant(platform::system_clock().monotonic_ns()) + options.retry_pause,
                         std::move(job));
      job = nullptr;
    }
  }
  jobs_changed_.notify_all();
  if (job) job();
}

void Router::Impl::work() {
  platform::set_current_thread_name("hf-router");
  std::unique_lock lock(jobs_mutex_);
  while (true) {
    const Instant time(platform::system_clock().monotonic_ns());
    const auto due = std::find_if(jobs_.begin(), jobs_.end(),
                                  [&](const auto& job) { return stopping_ || job.first <= time; });
    if (due != jobs_.end()) {
      const auto job = std::move(due->second);
      jobs_.erase(due);
      lock.unlock();
      job();
      lock.lock();
    } else if (stopping_) {
      return;
    } else if (jobs_.empty()) {
      jobs_changed_.wait(lock);
    } else {
      jobs_changed_.wait_for(lock, jobs_.front().first - time);
    }
  }
}

std::vector<backend::RouteFacts> Router::Impl::routes() {
  std::vector<backend::RouteFacts> out;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    std::vector<backend::ModelFacts> models = targets[i].backend->models();
    std::string health;
    for (const backend::RouteFacts& own : targets[i].backend->routes()) health = own.health;
    for (backend::ModelFacts& model : models) {
      backend::RouteFacts route;
      route.slots = slots_of(i, model.id);
      route.model = std::move(model.id);
      route.target = targets[i].name;
      route.kind = targets[i].kind;
      route.health = health;
      const std::lock_guard lock(mutex_);
      const TargetState& state = states_[i];
      route.state = breaker_state_name(state.breaker.state(now()));
      route.under_way = state.under_way;
      route.requests = state.requests;
      route.errors = state.errors;
      route.retry_after_ms = static_cast<std::uint64_t>(state.breaker.retry_after(now()) /
                                                        std::chrono::milliseconds(1));
      out.push_back(std::move(route));
    }
  }
  return out;
}

void Router::Impl::refresh_metrics() {
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (!targets[i].with_breaker) continue;
    const BreakerState state = states_[i].breaker.state(now());
    metrics_.breaker_state.with({targets[i].name})
        .set(state == BreakerState::kClosed     ? 0
             : state == BreakerState::kHalfOpen ? 1
                                                : 2);
  }
}

Router::Router(RouterOptions options, std::vector<Target> targets, Environment environment)
    : impl_(std::make_shared<Impl>(options, std::move(targets), environment)) {
  environment.metrics.on_collect([weak = std::weak_ptr<Impl>(impl_)] {
    if (const auto impl = weak.lock()) impl->refresh_metrics();
  });
}

// Targets end what runs in them and tell the flights, which need the rest of the router for that.
Router::~Router() {
  impl_->stop();
  for (auto target = impl_->targets.rbegin(); target != impl_->targets.rend(); ++target)
    target->backend.reset();
}

std::vector<backend::ModelFacts> Router::models() {
  std::vector<backend::ModelFacts> out;
  for (const Target& target : impl_->targets) {
    for (backend::ModelFacts& model : target.backend->models()) {
      const auto known = std::find_if(out.begin(), out.end(),
                                      [&](const auto& other) { return other.id == model.id; });
      if (known == out.end()) {
        out.push_back(std::move(model));
        continue;
      }
      // Any of them may be chosen.
      known->constrained = known->constrained && model.constrained;
      if (model.state == backend::ModelState::kReady) known->state = backend::ModelState::kReady;
    }
  }
  return out;
}

backend::Stats Router::stats() {
  backend::Stats out;
  for (const Target& target : impl_->targets) {
    backend::Stats stats = target.backend->stats();
    out.engine_restarts_total += stats.engine_restarts_total;
    std::ranges::move(stats.scraped, std::back_inserter(out.scraped));
    for (backend::EngineFacts& engine : stats.engines) {
      const auto known =
          std::find_if(out.engines.begin(), out.engines.end(),
                       [&](const auto& other) { return other.model == engine.model; });
      if (known == out.engines.end()) {
        out.engines.push_back(std::move(engine));
      } else {
        known->running += engine.running;
        known->waiting += engine.waiting;
        known->slots += engine.slots;
      }
    }
  }
  return out;
}

void Router::set_admission(AdmissionLimits limits) { impl_->set_admission(limits); }

void Router::set_memory_in_use(double part) { impl_->set_memory_in_use(part); }

std::vector<backend::RouteFacts> Router::routes() { return impl_->routes(); }

std::unique_ptr<backend::RequestHandle> Router::generate(
    backend::GenerateRequest request, std::shared_ptr<backend::GenerateObserver> observer) {
  ModelWays model = impl_->ways_of(request.model);
  if (model.ways.empty()) {
    observer->on_error(unknown_model(request.model));
    return nullptr;
  }
  request.model = model.id;
  request.keep_prompt = impl_->memory_level() < MemoryLevel::kKeepNothing;
  Arrival arrival{request.caller.tenant, request.caller.weight, request.priority,
                  request.follow_up};
  if (const auto refusal = impl_->admit(model, arrival)) {
    observer->on_error(refused(*refusal));
    return nullptr;
  }
  auto flight = std::make_shared<Flight>(impl_, std::move(model), std::move(arrival),
                                         std::move(request), std::move(observer));
  flight->start();
  return std::make_unique<Handle>(std::move(flight));
}

void Router::tokenize(backend::TokenizeRequest request, backend::Done<backend::Tokenized> done) {
  backend::Backend* target = impl_->first_with(request.model);
  if (target == nullptr) return done(unknown_model(request.model));
  target->tokenize(std::move(request), std::move(done));
}

void Router::detokenize(std::string model, std::vector<std::int32_t> tokens,
                        backend::Done<std::string> done) {
  backend::Backend* target = impl_->first_with(model);
  if (target == nullptr) return done(unknown_model(model));
  target->detokenize(std::move(model), std::move(tokens), std::move(done));
}

void Router::render(std::string model, backend::ChatPrompt prompt,
                    backend::Done<std::string> done) {
  backend::Backend* target = impl_->first_with(model);
  if (target == nullptr) return done(unknown_model(model));
  target->render(std::move(model), std::move(prompt), std::move(done));
}

void Router::load(std::string model, std::optional<std::chrono::milliseconds> keep_alive,
                  backend::Done<backend::EngineFacts> done) {
  backend::Backend* target = impl_->first_with(model);
  if (target == nullptr) return done(unknown_model(model));
  target->load(std::move(model), keep_alive, std::move(done));
}

void Router::unload(std::string model, backend::Done<std::monostate> done) {
  backend::Backend* target = impl_->first_with(model);
  if (target == nullptr) return done(unknown_model(model));
  target->unload(std::move(model), std::move(done));
}

void Router::declare_metrics(observe::Registry& registry) {
  const RouterMetrics declared(registry);
}

}  // namespace holdfast::router
