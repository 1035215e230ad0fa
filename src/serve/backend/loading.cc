// The loading thread of NativeBackend: one load at a time, room made for it, and what its end
// means.
#include <algorithm>

#include "holdfast/platform/cpu.h"
#include "native_impl.h"

namespace holdfast::backend {

namespace {

// A load that failed answers from memory for this long, doubling, so that a broken model cannot
// keep the machine busy.
constexpr auto kFailureCooldown = std::chrono::seconds(10);
constexpr auto kFailureCooldownMax = std::chrono::minutes(5);
constexpr std::uint64_t kBusyRetryMs = 1000;
// An engine that lived this long starts again without a pause.
constexpr auto kHealthyAfter = std::chrono::minutes(1);
// A child that is killed is gone sooner; whatever is left then is not waited for.
constexpr auto kEndingMax = std::chrono::seconds(5);
// A load without a limit of its own: the slowest disk that is worth waiting for.
constexpr auto kLoadTimeoutBase = std::chrono::seconds(120);
constexpr std::uint64_t kLoadBytesPerSecondMin = 8u << 20;

std::chrono::milliseconds load_timeout(std::uint64_t bytes) {
  return kLoadTimeoutBase +
         std::chrono::seconds(static_cast<std::int64_t>(bytes / kLoadBytesPerSecondMin));
}

}  // namespace

// Under the mutex.
std::uint64_t NativeBackend::Impl::memory_left() const {
  std::uint64_t limit = options.memory_limit_bytes;
  if (limit == 0) limit = platform::MemoryLimits::detect().limit_bytes() / 10 * 9;
  for (const auto& [id, slot] : slots) {
    if (!slot.engine) continue;
    const json::Value& info = slot.engine->info();
    const std::uint64_t used = info_number(info, "weights_bytes") + info_number(info, "kv_bytes") +
                               info_number(info, "scratch_bytes");
    limit -= std::min(limit, used);
  }
  return std::max<std::uint64_t>(limit, 1);  // 0 would be no limit
}

Loaded NativeBackend::Impl::start_engine(const ModelFacts& facts) {
  EngineProcessOptions o;
  o.program = options.engine_program;
  o.config = options.engine_config;
  o.verbose = options.verbose;
  o.abandon = &abandon;
  o.started_pid = &loading_pid;
  o.board = board;
  o.load_timeout = load_timeout(facts.size_bytes);
  {
    const std::lock_guard lock(mutex);
    o.config.set("memory_limit_bytes", memory_left());
  }
  auto pack = catalog->open_pack(facts);
  if (!pack.ok()) return failure_of(pack.error());
  o.pack = std::move(*pack);
  auto keys = catalog->open_keys(facts);
  if (!keys.ok()) return failure_of(keys.error());
  o.keys = std::move(*keys);
  if (const Status draft = add_draft(facts, o); !draft.ok()) return failure_of(draft.error());
  wire::ErrorReply refusal;
  auto engine = EngineProcess::start(std::move(o), &refusal);
  loading_pid = 0;
  if (engine.ok()) return Engine(std::move(*engine));
  Failure failure = failure_of(engine.error());
  // What is not found here is the program, not the model.
  if (failure.kind == FailureKind::kModelNotFound) failure.kind = FailureKind::kOther;
  failure.limit = refusal.limit;
  failure.actual = refusal.actual;
  return failure;
}

Status NativeBackend::Impl::add_draft(const ModelFacts& model, EngineProcessOptions& o) const {
  if (options.draft_model.empty()) return ok_status();
  HF_TRY_ASSIGN(const ModelFacts draft, catalog->resolve(options.draft_model));
  if (draft.id == model.id) {
    o.config.set("speculation", "auto");
    return ok_status();
  }
  HF_TRY_ASSIGN(o.draft_pack, catalog->open_pack(draft));
  HF_TRY_ASSIGN(o.draft_keys, catalog->open_keys(draft));
  return ok_status();
}

// Ends the idle model that was used longest ago.
bool NativeBackend::Impl::evict_one(const std::string& except) {
  Engine victim;
  {
    const std::lock_guard lock(mutex);
    Slot* oldest = nullptr;
    for (auto& [id, slot] : slots) {
      if (id == except || !slot.idle() || slot.pinned()) continue;
      if (oldest == nullptr || slot.last_used < oldest->last_used) oldest = &slot;
    }
    if (oldest == nullptr) return false;
    victim = std::move(oldest->engine);
    oldest->engine.reset();
    oldest->state = ModelState::kCold;
    victim->on_exit(nullptr);
  }
  victim->stop();  // here, for its memory is wanted
  return true;
}

// A model that would fit beside less is not to blame: it waits until others are idle.
Failure NativeBackend::Impl::no_room(const std::string& id, Failure failure) const {
  const std::lock_guard lock(mutex);
  const bool others_busy = std::ranges::any_of(slots, [&](const auto& s) {
    return s.first != id && s.second.engine && s.second.active > 0 && !s.second.pinned();
  });
  if (!others_busy) return failure;
  return {unavailable("all loaded models are busy; try again later"), FailureKind::kOverloaded, 0,
          0, kBusyRetryMs};
}

Loaded NativeBackend::Impl::start_with_eviction(const std::string& id, const ModelFacts& facts) {
  {
    // An engine that is ending has its memory still.
    std::unique_lock lock(mutex);
    dropped.wait_for(lock, kEndingMax, [this] { return ending == 0 || stopping; });
  }
  const auto loaded = [this] {
    const std::lock_guard lock(mutex);
    return static_cast<std::uint32_t>(
        std::ranges::count_if(slots, [](const auto& s) { return s.second.engine != nullptr; }));
  };
  while (options.loaded_max > 0 && loaded() >= options.loaded_max) {
    if (!evict_one(id))
      return Failure{unavailable("all loaded models are busy; try again later"),
                     FailureKind::kOverloaded, 0, 0, kBusyRetryMs};
  }
  while (true) {
    Loaded result = start_engine(facts);
    Failure* failure = std::get_if<Failure>(&result);
    if (failure == nullptr || failure->error.code() != ErrorCode::kExhausted) return result;
    if (!evict_one(id)) return no_room(id, std::move(*failure));
  }
}

// Under the mutex. What a load's end means for its slot and for those who wait.
std::variant<Lease, Failure> NativeBackend::Impl::settle(Slot& slot, const Loaded& loaded,
                                                         std::chrono::nanoseconds took) {
  slot.last_used = Clock::now();
  if (const Engine* engine = std::get_if<Engine>(&loaded)) {
    slot.engine = *engine;
    add_counters(slot.before, std::exchange(slot.said, {}));
    slot.asked = false;
    slot.state = ModelState::kReady;
    slot.failure.reset();
    slot.failures = 0;
    slot.loaded_at = unix_now();
    slot.ready_since = Clock::now();
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(took);
    slot.load_ms = static_cast<std::uint64_t>(ms.count());
    estimator.record(slot.facts.size_bytes, ms);
    slot.active += static_cast<std::uint32_t>(slot.waiters.size());
    return Lease{*engine, slot.facts.id, static_cast<std::uint64_t>(took.count())};
  }
  Failure failure = std::get<Failure>(loaded);
  // Neither is the model's fault, so neither is remembered.
  if (failure.kind == FailureKind::kOverloaded || stopping) {
    slot.state = ModelState::kCold;
    if (stopping) failure = shutting_down();
    return failure;
  }
  // One death may be anyone's doing; a second in a row is the model's.
  if (failure.kind == FailureKind::kEngineCrashed && slot.failures == 0) {
    slot.state = ModelState::kCold;
    slot.failures = 1;
    slot.blocked_until = Clock::now() + options.restart_backoff;
    failure.retry_after_ms = count_ms(options.restart_backoff);
    return failure;
  }
  const auto pause = std::min<Clock::duration>(
      kFailureCooldown * (1u << std::min(slot.failures, 6u)), kFailureCooldownMax);
  ++slot.failures;
  failure.retry_after_ms = count_ms(pause);
  slot.state = ModelState::kFailed;
  slot.failure = failure;
  slot.blocked_until = Clock::now() + pause;
  return failure;
}

// Under the mutex. The start ended because the model was unloaded meanwhile: who has asked for it
// since then gets another start. False where that was not the reason.
bool NativeBackend::Impl::settle_abandoned(Slot& slot) {
  if (!abandon || stopping) return false;
  const bool again = !slot.waiters.empty() || slot.wanted;
  slot.state = again ? ModelState::kLoading : ModelState::kCold;
  if (again) to_load.push_front(slot.facts.id);
  return true;
}

void NativeBackend::Impl::finish_load(const std::string& id, Loaded loaded,
                                      std::chrono::nanoseconds took) {
  std::vector<Waiter> waiters;
  std::vector<Unloaded> unloaded;
  std::variant<Lease, Failure> answer = Lease();
  const Engine* engine = std::get_if<Engine>(&loaded);
  {
    const std::lock_guard lock(mutex);
    Slot& slot = slots[id];
    loading_id.clear();
    unloaded = std::exchange(slot.unloaded, {});
    if (engine != nullptr || !settle_abandoned(slot)) {
      slot.wanted = false;
      answer = settle(slot, loaded, took);
      waiters = std::exchange(slot.waiters, {});
    }
    // Unloaded while it was starting, and nobody has asked for it since.
    if (engine != nullptr && waiters.empty() && !unloaded.empty()) {
      drop(slot, std::exchange(unloaded, {}));
      engine = nullptr;
    }
  }
  changed.notify_all();
  if (engine != nullptr) {
    (*engine)->on_exit([weak = weak_from_this(), id, which = engine->get()] {
      if (const auto self = weak.lock()) self->engine_exited(id, which);
    });
    if (!(*engine)->alive()) engine_exited(id, engine->get());
  }
  for (Unloaded& done : unloaded) done(std::monostate());
  for (Waiter& w : waiters) {
    if (Lease* lease = std::get_if<Lease>(&answer))
      lease->load_ns = static_cast<std::uint64_t>((Clock::now() - w.since).count());
    w.call(answer);
  }
}

void NativeBackend::Impl::load_one(const std::string& id) {
  ModelFacts facts;
  const auto begin = Clock::now();
  {
    const std::lock_guard lock(mutex);
    facts = slots[id].facts;
    loading_id = id;
    loading_since = begin;
    abandon = stopping;
  }
  Loaded loaded = start_with_eviction(id, facts);
  finish_load(id, std::move(loaded), Clock::now() - begin);
}

// On the thread that read from the engine.
void NativeBackend::Impl::engine_exited(const std::string& id, const EngineProcess* which) {
  const std::lock_guard lock(mutex);
  const auto it = slots.find(id);
  if (it == slots.end() || it->second.engine.get() != which) return;
  Slot& slot = it->second;
  drop(slot, {});
  if (stopping) return;
  ++slot.restarts;
  ++restarts_total;
  slot.crashes = Clock::now() - slot.ready_since > kHealthyAfter ? 0 : slot.crashes + 1;
  const auto pause = options.restart_backoff * (1u << std::min(slot.crashes, 10u)) / 2;
  slot.blocked_until = Clock::now() + std::min<Clock::duration>(pause, options.restart_backoff_max);
}

void NativeBackend::Impl::work() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    // Who waited may have gone meanwhile; a load for nobody would only take another's place.
    std::erase_if(to_load, [this](const std::string& id) {
      Slot& slot = slots[id];
      if (!slot.waiters.empty() || slot.wanted) return false;
      slot.state = ModelState::kCold;
      return true;
    });
    // The first whose pause after a crash is over; a crash loop of one model delays no other.
    std::optional<Clock::time_point> wake;
    const auto ready = std::ranges::find_if(to_load, [&](const std::string& id) {
      const auto at = slots[id].blocked_until;
      if (at > Clock::now()) earlier(wake, at);
      return at <= Clock::now();
    });
    if (ready != to_load.end()) {
      const std::string id = std::move(*ready);
      to_load.erase(ready);
      lock.unlock();
      load_one(id);
      lock.lock();
      continue;
    }
    wake ? changed.wait_until(lock, *wake) : changed.wait_for(lock, std::chrono::hours(1));
  }
}

}  // namespace holdfast::backend
