#include "holdfast/backend/native_backend.h"

#include <algorithm>

#include "generation.h"
#include "holdfast/platform/entropy.h"
#include "holdfast/platform/process.h"
#include "native_impl.h"

namespace holdfast::backend {

namespace {

// Nobody is told to come back later than this, or sooner than is worth a connection.
constexpr std::chrono::milliseconds kRetryMax = std::chrono::seconds(60);
constexpr std::chrono::milliseconds kRetryMin = std::chrono::seconds(1);

Failure too_many_waiters() {
  return {unavailable("too many requests wait for this model"), FailureKind::kOverloaded, 0, 0,
          count_ms(kRetryMin)};
}

}  // namespace

std::uint64_t count_ms(std::chrono::nanoseconds d) {
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(d).count();
  return ms > 0 ? static_cast<std::uint64_t>(ms) : 0;
}

void add_counters(EngineFacts& to, const EngineFacts& from) {
  to.draft_tokens += from.draft_tokens;
  to.draft_accepted += from.draft_accepted;
  to.prefix_queries += from.prefix_queries;
  to.prefix_hits += from.prefix_hits;
  to.preemptions += from.preemptions;
  to.pauses += from.pauses;
  to.steps += from.steps;
}

std::int64_t unix_now() { return platform::unix_seconds(platform::system_clock().wall_time()); }

std::uint64_t info_number(const json::Value& info, std::string_view key) {
  const json::Value* v = info.find(key);
  return v != nullptr && v->is_int() && v->as_int() > 0 ? static_cast<std::uint64_t>(v->as_int())
                                                        : 0;
}

Failure failure_of(const Error& error) {
  Failure f{error, FailureKind::kOther, 0, 0, 0};
  switch (error.code()) {
    case ErrorCode::kNotFound:
      f.kind = FailureKind::kModelNotFound;
      break;
    case ErrorCode::kCorrupt:
      f.kind = FailureKind::kModelCorrupt;
      break;
    case ErrorCode::kExhausted:
      f.kind = FailureKind::kModelDoesNotFit;
      break;
    case ErrorCode::kUnavailable:
      f.kind = FailureKind::kEngineCrashed;
      f.retry_after_ms = 1000;
      break;
    default:
      break;
  }
  return f;
}

Failure shutting_down() {
  return {unavailable("the server is shutting down"), FailureKind::kDraining, 0, 0, 1000};
}

NativeBackend::Impl::Impl(NativeBackendOptions o, std::shared_ptr<ModelCatalog> c)
    : options(std::move(o)), catalog(std::move(c)) {
  auto made = platform::BusyBoard::create();
  if (made.ok()) board = std::move(*made);
}

void NativeBackend::Impl::with_engine(const std::string& model, const WaitOptions& how,
                                      std::function<void(std::variant<Lease, Failure>)> call) {
  auto resolved = catalog->resolve(model);
  if (!resolved.ok()) return call(failure_of(resolved.error()));
  std::variant<Lease, Failure> answer = Lease();
  {
    const std::lock_guard lock(mutex);
    auto [it, fresh] = slots.try_emplace(resolved->id);
    Slot& slot = it->second;
    if (fresh) slot.keep_alive = idle_default;
    // A request cannot take a pin away: who set it wants the model to stay.
    if (how.keep_alive && (how.management || how.keep_alive->count() < 0 || !slot.pinned()))
      slot.keep_alive = std::min(*how.keep_alive, kKeepAliveMax);
    slot.facts = std::move(*resolved);
    slot.last_used = Clock::now();
    if (slot.state == ModelState::kReady && !stopping) {
      ++slot.active;
      answer = Lease{slot.engine, it->first, 0};
    } else {
      Waiter waiter{how.id, how.deadline, slot.last_used, call};
      auto failure = queue_up(slot, how, std::move(waiter));
      if (!failure) return;
      answer = std::move(*failure);
    }
  }
  call(std::move(answer));
}

// Under the mutex. A failure is told by the caller; else the waiter waits.
std::optional<Failure> NativeBackend::Impl::queue_up(Slot& slot, const WaitOptions& how,
                                                     Waiter waiter) {
  if (stopping) return shutting_down();
  const auto now = Clock::now();
  if (slot.state == ModelState::kFailed && slot.failure && now < slot.blocked_until) {
    Failure failure = *slot.failure;
    failure.retry_after_ms = count_ms(slot.blocked_until - now);
    return failure;
  }
  if (how.wait_for_load && slot.waiters.size() >= options.waiters_max) return too_many_waiters();
  if (slot.state != ModelState::kLoading) {
    slot.state = ModelState::kLoading;
    to_load.push_back(slot.facts.id);
  }
  changed.notify_all();
  if (!how.wait_for_load) {
    slot.wanted = true;
    return loading(slot);
  }
  slot.waiters.push_back(std::move(waiter));
  return std::nullopt;
}

// Under the mutex.
LoadView NativeBackend::Impl::load_view(const Slot& slot) const {
  const auto now = Clock::now();
  if (slot.facts.id == loading_id) {
    const pid_t pid = loading_pid;
    return estimator.view(
        slot.facts.size_bytes,
        std::chrono::duration_cast<std::chrono::milliseconds>(now - loading_since),
        pid > 0 ? platform::resident_bytes_of(pid) : 0);
  }
  // It waits for the loads before it, and for the pause after a crash.
  LoadView view = estimator.view(slot.facts.size_bytes, {}, 0);
  for (const std::string& id : to_load) {
    if (id == slot.facts.id) break;
    if (const auto it = slots.find(id); it != slots.end())
      view.left += estimator.estimate(it->second.facts.size_bytes);
  }
  if (const auto it = slots.find(loading_id); it != slots.end())
    view.left += load_view(it->second).left;
  if (slot.blocked_until > now)
    view.left += std::chrono::ceil<std::chrono::milliseconds>(slot.blocked_until - now);
  return view;
}

// Under the mutex.
Failure NativeBackend::Impl::loading(const Slot& slot) const {
  LoadView view = load_view(slot);
  Failure failure{unavailable("the model is being loaded"), FailureKind::kModelLoading, 0, 0,
                  count_ms(std::clamp(view.left, kRetryMin, kRetryMax))};
  failure.loading_state = std::move(view.state);
  failure.loading_progress = view.progress;
  return failure;
}

// Who waits is told by the attendant: the caller may hold locks of its own.
void NativeBackend::Impl::leave(std::uint64_t waiter) {
  const std::lock_guard lock(mutex);
  for (auto& [id, slot] : slots) {
    const auto it = std::ranges::find(slot.waiters, waiter, &Waiter::id);
    if (it == slot.waiters.end()) continue;
    refused.push_back({std::move(*it), failure_of(cancelled("the request was cancelled"))});
    slot.waiters.erase(it);
    changed.notify_all();
    return;
  }
}

void NativeBackend::Impl::release(const std::string& id) {
  const std::lock_guard lock(mutex);
  const auto it = slots.find(id);
  if (it == slots.end()) return;
  if (it->second.active > 0) --it->second.active;
  it->second.ended = true;
  it->second.last_used = Clock::now();
  changed.notify_all();
}

// Under the mutex.
void NativeBackend::Impl::drop(Slot& slot, std::vector<Unloaded> done) {
  slot.engine->on_exit(nullptr);
  to_drop.push_back({std::move(slot.engine), std::move(done)});
  ++ending;
  slot.engine.reset();
  slot.state = ModelState::kCold;
  dropped.notify_all();
}

void NativeBackend::Impl::unload(const std::string& id, Unloaded done) {
  std::vector<Waiter> waiters;
  {
    const std::lock_guard lock(mutex);
    const auto it = slots.find(id);
    if (it != slots.end()) {
      Slot& slot = it->second;
      waiters = std::exchange(slot.waiters, {});
      slot.wanted = false;
      slot.keep_alive = idle_default;  // the pin goes with it
      const auto queued = std::find(to_load.begin(), to_load.end(), id);
      if (slot.engine) {
        drop(slot, {std::exchange(done, nullptr)});
      } else if (queued != to_load.end()) {
        to_load.erase(queued);
        slot.state = ModelState::kCold;
      } else if (slot.state == ModelState::kLoading) {
        slot.unloaded.push_back(std::exchange(done, nullptr));
        abandon = true;
      } else if (slot.state == ModelState::kFailed) {
        // An operator who repaired the model need not wait for the end of the pause.
        slot.state = ModelState::kCold;
        slot.failure.reset();
        slot.failures = 0;
        slot.blocked_until = {};
      }
    }
  }
  for (Waiter& w : waiters) w.call(failure_of(cancelled("the model was unloaded")));
  if (done) done(std::monostate());
}

EngineFacts NativeBackend::Impl::facts_of(const Slot& slot) const {
  EngineFacts f = slot.said;
  f.model = slot.facts.id;
  f.state = slot.state;
  f.pinned = slot.pinned();
  f.restarts = slot.restarts;
  f.loaded_at = slot.loaded_at;
  f.load_ms = slot.load_ms;
  add_counters(f, slot.before);
  f.waiting = std::min(slot.said.waiting, slot.active);
  f.running = slot.active - f.waiting;
  if (slot.active == 0) f.kv_usage = 0;
  if (slot.state == ModelState::kLoading) {
    const LoadView view = load_view(slot);
    f.loading_state = view.state;
    f.loading_progress = view.progress;
    f.loading_left_ms = count_ms(view.left);
    f.waiting = static_cast<std::uint32_t>(slot.waiters.size());
  }
  if (!slot.engine) return f;
  const json::Value& info = slot.engine->info();
  f.pid = slot.engine->pid();
  if (const json::Value* isa = info.find("isa"); isa != nullptr && isa->is_string())
    f.isa = isa->as_string();
  f.threads = static_cast<std::uint32_t>(info_number(info, "threads"));
  f.slots = static_cast<std::uint32_t>(info_number(info, "batch_max"));
  f.context_length = info_number(info, "context");
  f.weights_bytes = info_number(info, "weights_bytes");
  f.kv_bytes = info_number(info, "kv_bytes");
  f.kv_blocks = info_number(info, "kv_pages");
  f.kv_block_tokens = static_cast<std::uint32_t>(info_number(info, "kv_page_tokens"));
  f.scratch_bytes = info_number(info, "scratch_bytes");
  if (const json::Value* s = info.find("speculation"); s != nullptr && s->is_string())
    f.speculation = s->as_string();
  if (slot.pinned()) return f;
  const auto left =
      slot.active > 0 ? slot.keep_alive : slot.keep_alive - (Clock::now() - slot.last_used);
  f.expires_at =
      unix_now() +
      std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(left).count());
  return f;
}

NativeBackend::NativeBackend(NativeBackendOptions options, std::shared_ptr<ModelCatalog> catalog)
    : impl_(std::make_shared<Impl>(std::move(options), std::move(catalog))) {
  impl_->worker = std::thread([raw = impl_.get()] { raw->work(); });
  impl_->attendant = std::thread([raw = impl_.get()] { raw->attend(); });
  impl_->reaper = std::thread([raw = impl_.get()] { raw->reap(); });
}

NativeBackend::~NativeBackend() {
  std::vector<Waiter> waiters;
  std::vector<Refused> refused;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    impl_->abandon = true;
    impl_->changed.notify_all();
    impl_->dropped.notify_all();
  }
  impl_->worker.join();
  impl_->attendant.join();
  {
    const std::lock_guard lock(impl_->mutex);
    for (auto& [id, slot] : impl_->slots) {
      std::move(slot.waiters.begin(), slot.waiters.end(), std::back_inserter(waiters));
      slot.waiters.clear();
      if (slot.engine) impl_->drop(slot, {});
    }
    refused = std::exchange(impl_->refused, {});
    impl_->reaping = false;
    impl_->dropped.notify_all();
  }
  for (Waiter& w : waiters) w.call(shutting_down());
  for (Refused& r : refused) r.waiter.call(std::move(r.failure));
  impl_->reaper.join();
}

std::vector<ModelFacts> NativeBackend::models() {
  std::vector<ModelFacts> models = impl_->catalog->list();
  const std::lock_guard lock(impl_->mutex);
  for (ModelFacts& m : models) {
    const auto it = impl_->slots.find(m.id);
    if (it == impl_->slots.end()) continue;
    const Slot& slot = it->second;
    m.state = slot.state;
    m.pinned = slot.pinned();
    if (slot.engine) m.context_length = info_number(slot.engine->info(), "context");
    if (slot.state != ModelState::kLoading) continue;
    LoadView view = impl_->load_view(slot);
    m.loading_state = std::move(view.state);
    m.loading_progress = view.progress;
    m.loading_left_ms = count_ms(view.left);
  }
  return models;
}

Stats NativeBackend::stats() {
  Stats stats;
  const std::lock_guard lock(impl_->mutex);
  for (const auto& [id, slot] : impl_->slots) {
    if (slot.state == ModelState::kCold) continue;
    stats.engines.push_back(impl_->facts_of(slot));
  }
  stats.engine_restarts_total = impl_->restarts_total;
  return stats;
}

namespace {

class Handle final : public RequestHandle {
 public:
  explicit Handle(std::shared_ptr<Generation> generation) : generation_(std::move(generation)) {}
  ~Handle() override { generation_->cancel(); }
  void cancel() override { generation_->cancel(); }

 private:
  std::shared_ptr<Generation> generation_;
};

std::int64_t draw_seed() {
  std::uint64_t bits = 0;
  std::array<std::byte, sizeof bits> bytes{};
  if (platform::fill_random(bytes).ok()) bits = load_le<std::uint64_t>(bytes.data());
  // 53 bits survive every client's JSON.
  return static_cast<std::int64_t>(bits >> 11);
}

// Sends one request to the model's engine and hands its answer on.
template <typename Answer, typename T, typename Convert>
void ask(const std::shared_ptr<EngineProcess>& engine, wire::Message message, Done<T> done,
         Convert convert, std::function<void()> on_end) {
  engine->send(std::move(message), [done = std::move(done), convert,
                                    on_end = std::move(on_end)](const wire::Message& m) {
    on_end();
    if (const auto* answer = std::get_if<Answer>(&m)) {
      done(convert(*answer));
    } else if (const auto* error = std::get_if<wire::ErrorReply>(&m)) {
      done(to_failure(*error));
    } else {
      done(Failure{internal_error("the engine gave an answer of another kind"), FailureKind::kOther,
                   0, 0, 0});
    }
  });
}

}  // namespace

std::unique_ptr<RequestHandle> NativeBackend::generate(GenerateRequest request,
                                                       std::shared_ptr<GenerateObserver> observer) {
  // The gateway asks ModelFacts::constrained first; whoever did not must not get an answer that was
  // held to nothing.
  if (is_constrained(request)) {
    observer->on_error(Failure{unsupported("the output of this model cannot be constrained")});
    return nullptr;
  }
  const std::string model = request.model;
  WaitOptions how;
  how.deadline = request.deadline;
  how.keep_alive = request.keep_alive;
  how.wait_for_load = request.wait_for_load;
  {
    const std::lock_guard lock(impl_->mutex);
    how.id = impl_->next_waiter++;
  }
  const std::int64_t seed = request.sampling.seed.value_or(0);
  const bool drawn = !request.sampling.seed.has_value();
  auto generation = std::make_shared<Generation>(std::move(request), drawn ? draw_seed() : seed,
                                                 std::move(observer));
  generation->while_waiting([weak = std::weak_ptr(impl_), id = how.id] {
    if (const auto impl = weak.lock()) impl->leave(id);
  });
  impl_->with_engine(model, how, [impl = impl_, generation](std::variant<Lease, Failure> got) {
    if (Failure* failure = std::get_if<Failure>(&got)) return generation->fail(std::move(*failure));
    const Lease& lease = std::get<Lease>(got);
    generation->run_on(lease.engine, lease.load_ns, [impl, id = lease.id] { impl->release(id); });
  });
  return std::make_unique<Handle>(std::move(generation));
}

void NativeBackend::tokenize(TokenizeRequest request, Done<Tokenized> done) {
  const std::string model = request.model;
  impl_->with_engine(
      model, {},
      [impl = impl_, request = std::move(request),
       done = std::move(done)](std::variant<Lease, Failure> got) {
        if (Failure* failure = std::get_if<Failure>(&got)) return done(std::move(*failure));
        wire::Tokenize message{0, request.text, request.add_special, false, request.with_pieces};
        ask<wire::Tokens>(
            std::get<Lease>(got).engine, std::move(message), done,
            [](const wire::Tokens& t) {
              return Tokenized{t.tokens, t.pieces};
            },
            [impl, id = std::get<Lease>(got).id] { impl->release(id); });
      });
}

void NativeBackend::detokenize(std::string model, std::vector<std::int32_t> tokens,
                               Done<std::string> done) {
  impl_->with_engine(model, {},
                     [impl = impl_, tokens = std::move(tokens),
                      done = std::move(done)](std::variant<Lease, Failure> got) {
                       if (Failure* failure = std::get_if<Failure>(&got))
                         return done(std::move(*failure));
                       wire::Detokenize message{0, tokens, false, true};
                       ask<wire::Text>(
                           std::get<Lease>(got).engine, std::move(message), done,
                           [](const wire::Text& t) { return t.text; },
                           [impl, id = std::get<Lease>(got).id] { impl->release(id); });
                     });
}

void NativeBackend::render(std::string model, ChatPrompt prompt, Done<std::string> done) {
  GenerateRequest request;
  request.prompt = std::move(prompt);
  impl_->with_engine(model, {},
                     [impl = impl_, chat = to_submit(request, 0).text,
                      done = std::move(done)](std::variant<Lease, Failure> got) {
                       if (Failure* failure = std::get_if<Failure>(&got))
                         return done(std::move(*failure));
                       ask<wire::Rendered>(
                           std::get<Lease>(got).engine, wire::Render{0, chat}, done,
                           [](const wire::Rendered& r) { return r.text; },
                           [impl, id = std::get<Lease>(got).id] { impl->release(id); });
                     });
}

void NativeBackend::load(std::string model, std::optional<std::chrono::milliseconds> keep_alive,
                         Done<EngineFacts> done) {
  WaitOptions how;
  how.keep_alive = keep_alive ? keep_alive : impl_->idle_time();
  how.management = keep_alive.has_value();
  impl_->with_engine(model, how,
                     [impl = impl_, done = std::move(done)](std::variant<Lease, Failure> got) {
                       if (Failure* failure = std::get_if<Failure>(&got))
                         return done(std::move(*failure));
                       const std::string& id = std::get<Lease>(got).id;
                       impl->release(id);
                       EngineFacts answer;
                       {
                         const std::lock_guard lock(impl->mutex);
                         answer = impl->facts_of(impl->slots[id]);
                       }
                       done(std::move(answer));
                     });
}

void NativeBackend::set_keep_alive(std::chrono::milliseconds keep_alive) {
  const std::lock_guard lock(impl_->mutex);
  const auto before = std::exchange(impl_->idle_default, std::min(keep_alive, kKeepAliveMax));
  for (auto& [id, slot] : impl_->slots) {
    if (slot.keep_alive == before) slot.keep_alive = impl_->idle_default;
  }
  impl_->changed.notify_all();
}

void NativeBackend::unload(std::string model, Done<std::monostate> done) {
  const auto facts = impl_->catalog->resolve(model);
  if (!facts.ok()) return done(failure_of(facts.error()));
  impl_->unload(facts->id, std::move(done));
}

}  // namespace holdfast::backend
