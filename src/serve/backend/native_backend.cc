#include "holdfast/backend/native_backend.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "generation.h"
#include "holdfast/platform/cpu.h"
#include "holdfast/platform/entropy.h"

namespace holdfast::backend {

namespace {

using Clock = std::chrono::steady_clock;
using Engine = std::shared_ptr<EngineProcess>;

// A load that failed answers from memory for this long, doubling, so that a broken model cannot
// keep the machine busy.
constexpr auto kFailureCooldown = std::chrono::seconds(10);
constexpr auto kFailureCooldownMax = std::chrono::minutes(5);
constexpr std::uint64_t kBusyRetryMs = 1000;
// Longer than anyone means, and far from where the sum with a point in time would overflow.
constexpr std::chrono::milliseconds kKeepAliveMax = std::chrono::hours(24 * 3650);
// How old what /metrics says of a busy engine may be.
constexpr auto kStatsInterval = std::chrono::milliseconds(500);
// An engine that lived this long starts again without a pause.
constexpr auto kHealthyAfter = std::chrono::minutes(1);

std::int64_t unix_now() { return platform::unix_seconds(platform::system_clock().wall_time()); }

std::uint64_t info_number(const json::Value& info, std::string_view key) {
  const json::Value* v = info.find(key);
  return v != nullptr && v->is_int() && v->as_int() > 0 ? static_cast<std::uint64_t>(v->as_int())
                                                        : 0;
}

// A loaded model that a request counts as active on, until it is released.
struct Lease {
  Engine engine;
  std::string id;
  std::uint64_t load_ns = 0;  // time spent waiting for the load
};
// What waits for a model.
using Waiter = std::function<void(std::variant<Lease, Failure>)>;
using Loaded = std::variant<Engine, Failure>;
using Unloaded = Done<std::monostate>;

// An engine that is to end, and who waits for that.
struct Dropped {
  Engine engine;
  std::vector<Unloaded> done;
};

struct Slot {
  ModelFacts facts;
  ModelState state = ModelState::kCold;
  Engine engine;
  std::vector<Waiter> waiters;
  std::chrono::milliseconds keep_alive{0};  // negative: never unloaded
  Clock::time_point last_used;
  Clock::time_point ready_since;
  Clock::time_point blocked_until;  // after a crash or a failed load
  std::optional<Failure> failure;   // of the last load
  std::uint32_t failures = 0;       // in a row
  std::uint32_t active = 0;
  std::uint32_t waiting = 0;         // of these, not admitted by the engine yet; as it last said
  double kv_usage = 0;               // likewise, 0..1
  std::uint64_t draft_tokens = 0;    // likewise, by this engine
  std::uint64_t draft_accepted = 0;  // likewise
  std::uint64_t draft_tokens_before = 0;  // by those before it
  std::uint64_t draft_accepted_before = 0;
  bool ended = false;  // a request ended after it last said so
  Clock::time_point stats_at;
  std::uint32_t restarts = 0;
  std::int64_t loaded_at = 0;
  std::uint64_t load_ms = 0;
  std::vector<Unloaded> unloaded;  // unload the engine that is being started
};

}  // namespace

struct NativeBackend::Impl : std::enable_shared_from_this<NativeBackend::Impl> {
  Impl(NativeBackendOptions o, std::shared_ptr<ModelCatalog> c)
      : options(std::move(o)), catalog(std::move(c)) {}

  void with_engine(const std::string& model, Waiter waiter,
                   std::optional<std::chrono::milliseconds> keep_alive = {});
  void release(const std::string& id);
  void work();
  void reap();
  void load_one(const std::string& id);
  Loaded start_engine(const ModelFacts& facts);
  Status add_draft(const ModelFacts& model, EngineProcessOptions& o) const;
  Loaded start_with_eviction(const std::string& id, const ModelFacts& facts);
  bool evict_one(const std::string& except);
  void finish_load(const std::string& id, Loaded loaded, std::chrono::nanoseconds took);
  std::variant<Lease, Failure> settle(Slot& slot, const Loaded& loaded,
                                      std::chrono::nanoseconds took);
  void unload(const std::string& id, Unloaded done);
  void drop(Slot& slot, std::vector<Unloaded> done);
  void engine_exited(const std::string& id, const EngineProcess* which);
  std::optional<Clock::time_point> sweep_idle();
  std::optional<Clock::time_point> next_stats() const;
  void refresh_stats(std::unique_lock<std::mutex>& lock);
  std::uint64_t memory_left() const;
  std::chrono::milliseconds idle_time() const {
    const std::lock_guard lock(mutex);
    return idle_default;
  }
  EngineFacts facts_of(const Slot& slot) const;

  const NativeBackendOptions options;
  const std::shared_ptr<ModelCatalog> catalog;

  mutable std::mutex mutex;  // of what follows; never held while a callback runs
  // Idle time of a model whose loader named none.
  std::chrono::milliseconds idle_default = std::min(options.keep_alive, kKeepAliveMax);
  std::condition_variable changed;
  std::map<std::string, Slot> slots;
  std::deque<std::string> to_load;
  // Engines end on a thread of their own: not on one that reads from them, and not behind a load.
  std::vector<Dropped> to_drop;
  std::condition_variable dropped;
  std::uint64_t restarts_total = 0;
  std::atomic<bool> stopping{false};  // written under the mutex
  bool reaping = true;
  std::thread worker;
  std::thread reaper;
};

namespace {

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

}  // namespace

void NativeBackend::Impl::with_engine(const std::string& model, Waiter waiter,
                                      std::optional<std::chrono::milliseconds> keep_alive) {
  auto resolved = catalog->resolve(model);
  if (!resolved.ok()) return waiter(failure_of(resolved.error()));
  std::variant<Lease, Failure> answer = Lease();
  {
    const std::lock_guard lock(mutex);
    auto [it, fresh] = slots.try_emplace(resolved->id);
    Slot& slot = it->second;
    if (fresh) slot.keep_alive = idle_default;
    if (keep_alive) slot.keep_alive = std::min(*keep_alive, kKeepAliveMax);
    slot.facts = std::move(*resolved);
    slot.last_used = Clock::now();
    if (stopping) {
      answer = shutting_down();
    } else if (slot.state == ModelState::kReady) {
      ++slot.active;
      answer = Lease{slot.engine, it->first, 0};
    } else if (slot.state == ModelState::kFailed && slot.failure &&
               Clock::now() < slot.blocked_until) {
      answer = *slot.failure;
    } else {
      slot.waiters.push_back(std::move(waiter));
      if (slot.state != ModelState::kLoading) {
        slot.state = ModelState::kLoading;
        to_load.push_back(it->first);
        changed.notify_all();
      }
      return;
    }
  }
  waiter(std::move(answer));
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
  o.abandon = &stopping;
  {
    const std::lock_guard lock(mutex);
    o.config.set("memory_limit_bytes", memory_left());
  }
  auto pack = catalog->open_pack(facts);
  if (!pack.ok()) return failure_of(pack.error());
  o.pack = std::move(*pack);
  if (const Status draft = add_draft(facts, o); !draft.ok()) return failure_of(draft.error());
  wire::ErrorReply refusal;
  auto engine = EngineProcess::start(std::move(o), &refusal);
  if (engine.ok()) return Engine(std::move(*engine));
  Failure failure = failure_of(engine.error());
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
  return ok_status();
}

// Ends the idle model that was used longest ago.
bool NativeBackend::Impl::evict_one(const std::string& except) {
  Engine victim;
  {
    const std::lock_guard lock(mutex);
    Slot* oldest = nullptr;
    for (auto& [id, slot] : slots) {
      if (id == except || !slot.engine || slot.active > 0 || slot.keep_alive.count() < 0) continue;
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

Loaded NativeBackend::Impl::start_with_eviction(const std::string& id, const ModelFacts& facts) {
  const auto loaded = [this] {
    const std::lock_guard lock(mutex);
    return static_cast<std::uint32_t>(std::count_if(
        slots.begin(), slots.end(), [](const auto& s) { return s.second.engine != nullptr; }));
  };
  while (options.loaded_max > 0 && loaded() >= options.loaded_max) {
    if (!evict_one(id))
      return Failure{unavailable("all loaded models are busy; try again later"),
                     FailureKind::kOverloaded, 0, 0, kBusyRetryMs};
  }
  while (true) {
    Loaded result = start_engine(facts);
    const Failure* failure = std::get_if<Failure>(&result);
    if (failure == nullptr || failure->error.code() != ErrorCode::kExhausted || !evict_one(id))
      return result;
  }
}

// What a load's end means for its slot and for those who wait.
std::variant<Lease, Failure> NativeBackend::Impl::settle(Slot& slot, const Loaded& loaded,
                                                         std::chrono::nanoseconds took) {
  slot.last_used = Clock::now();
  if (const Engine* engine = std::get_if<Engine>(&loaded)) {
    slot.engine = *engine;
    slot.draft_tokens_before += std::exchange(slot.draft_tokens, 0);
    slot.draft_accepted_before += std::exchange(slot.draft_accepted, 0);
    slot.state = ModelState::kReady;
    slot.failure.reset();
    slot.loaded_at = unix_now();
    slot.ready_since = Clock::now();
    slot.load_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(took).count());
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
  const auto pause = std::min<Clock::duration>(
      kFailureCooldown * (1u << std::min(slot.failures, 6u)), kFailureCooldownMax);
  ++slot.failures;
  failure.retry_after_ms = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(pause).count());
  slot.state = ModelState::kFailed;
  slot.failure = failure;
  slot.blocked_until = Clock::now() + pause;
  return failure;
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
    answer = settle(slot, loaded, took);
    waiters = std::exchange(slot.waiters, {});
    unloaded = std::exchange(slot.unloaded, {});
    // Unloaded while it was starting, and nobody has asked for it since.
    if (engine != nullptr && waiters.empty() && !unloaded.empty()) {
      drop(slot, std::exchange(unloaded, {}));
      engine = nullptr;
    }
  }
  if (engine != nullptr) {
    (*engine)->on_exit([weak = weak_from_this(), id, which = engine->get()] {
      if (const auto self = weak.lock()) self->engine_exited(id, which);
    });
    if (!(*engine)->alive()) engine_exited(id, engine->get());
  }
  for (Unloaded& done : unloaded) done(std::monostate());
  for (Waiter& w : waiters) w(answer);
}

void NativeBackend::Impl::load_one(const std::string& id) {
  ModelFacts facts;
  {
    const std::lock_guard lock(mutex);
    facts = slots[id].facts;
  }
  const auto begin = Clock::now();
  Loaded loaded = start_with_eviction(id, facts);
  finish_load(id, std::move(loaded), Clock::now() - begin);
}

// Under the mutex.
void NativeBackend::Impl::drop(Slot& slot, std::vector<Unloaded> done) {
  slot.engine->on_exit(nullptr);
  to_drop.push_back({std::move(slot.engine), std::move(done)});
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
      const auto queued = std::find(to_load.begin(), to_load.end(), id);
      if (slot.engine) {
        drop(slot, {std::exchange(done, nullptr)});
      } else if (queued != to_load.end()) {
        to_load.erase(queued);
        slot.state = ModelState::kCold;
      } else if (slot.state == ModelState::kLoading) {
        slot.unloaded.push_back(std::exchange(done, nullptr));
      }
    }
  }
  for (Waiter& w : waiters)
    w(Failure{cancelled("the model was unloaded"), FailureKind::kOther, 0, 0, 0});
  if (done) done(std::monostate());
}

void NativeBackend::Impl::reap() {
  std::unique_lock lock(mutex);
  while (true) {
    dropped.wait(lock, [this] { return !reaping || !to_drop.empty(); });
    if (to_drop.empty()) return;
    std::vector<Dropped> ended = std::exchange(to_drop, {});
    lock.unlock();
    for (Dropped& d : ended) {
      d.engine->stop();
      for (Unloaded& done : d.done) done(std::monostate());
    }
    ended.clear();
    lock.lock();
  }
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
  slot.failures = Clock::now() - slot.ready_since > kHealthyAfter ? 0 : slot.failures + 1;
  const auto pause = options.restart_backoff * (1u << std::min(slot.failures, 10u)) / 2;
  slot.blocked_until = Clock::now() + std::min<Clock::duration>(pause, options.restart_backoff_max);
}

std::optional<Clock::time_point> NativeBackend::Impl::sweep_idle() {
  std::optional<Clock::time_point> next;
  for (auto& [id, slot] : slots) {
    if (!slot.engine || slot.active > 0 || slot.keep_alive.count() < 0) continue;
    const auto due = slot.last_used + slot.keep_alive;
    if (due <= Clock::now()) {
      drop(slot, {});
    } else {
      next = next ? std::min(*next, due) : due;
    }
  }
  return next;
}

// When busy engines are to be asked next; nullopt while none is busy. The last request of an engine
// that becomes idle is counted too.
std::optional<Clock::time_point> NativeBackend::Impl::next_stats() const {
  std::optional<Clock::time_point> next;
  for (const auto& [id, slot] : slots) {
    if (!slot.engine || (slot.active == 0 && !slot.ended)) continue;
    const auto due = slot.stats_at + kStatsInterval;
    next = next ? std::min(*next, due) : due;
  }
  return next;
}

// Asks; the answers are stored when they come, so nobody waits for a busy engine.
void NativeBackend::Impl::refresh_stats(std::unique_lock<std::mutex>& lock) {
  std::vector<std::pair<std::string, Engine>> asked;
  for (auto& [id, slot] : slots) {
    if (!slot.engine || (slot.active == 0 && !slot.ended)) continue;
    slot.stats_at = Clock::now();
    slot.ended = false;
    asked.emplace_back(id, slot.engine);
  }
  lock.unlock();
  for (const auto& [id, engine] : asked) {
    engine->send(wire::Stats{}, [weak = weak_from_this(), model = id](const wire::Message& m) {
      const auto self = weak.lock();
      const auto* reply = std::get_if<wire::StatsReply>(&m);
      const auto stats =
          reply ? json::parse(reply->stats_json) : Result<json::Value>(internal_error("no stats"));
      if (!self || !stats.ok()) return;
      const std::lock_guard stats_lock(self->mutex);
      const auto it = self->slots.find(model);
      if (it == self->slots.end()) return;
      const std::uint64_t pages = info_number(*stats, "pages_total");
      it->second.waiting = static_cast<std::uint32_t>(info_number(*stats, "waiting"));
      it->second.draft_tokens = info_number(*stats, "draft_tokens");
      it->second.draft_accepted = info_number(*stats, "draft_accepted");
      it->second.kv_usage = pages == 0 ? 0
                                       : static_cast<double>(info_number(*stats, "pages_used")) /
                                             static_cast<double>(pages);
    });
  }
  asked.clear();
  lock.lock();
}

void NativeBackend::Impl::work() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    const auto next = sweep_idle();
    // The first whose pause after a crash is over; a crash loop of one model delays no other.
    std::optional<Clock::time_point> wake = next;
    const auto ready = std::find_if(to_load.begin(), to_load.end(), [&](const std::string& id) {
      const auto at = slots[id].blocked_until;
      if (at > Clock::now()) wake = wake ? std::min(*wake, at) : at;
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
    if (const auto due = next_stats()) {
      if (*due <= Clock::now()) {
        refresh_stats(lock);
        continue;
      }
      wake = wake ? std::min(*wake, *due) : due;
    }
    wake ? changed.wait_until(lock, *wake) : changed.wait_for(lock, std::chrono::hours(1));
  }
}

EngineFacts NativeBackend::Impl::facts_of(const Slot& slot) const {
  EngineFacts f;
  f.model = slot.facts.id;
  f.state = slot.state;
  f.restarts = slot.restarts;
  f.loaded_at = slot.loaded_at;
  f.load_ms = slot.load_ms;
  if (!slot.engine) return f;
  const json::Value& info = slot.engine->info();
  f.pid = slot.engine->pid();
  if (const json::Value* isa = info.find("isa"); isa != nullptr && isa->is_string())
    f.isa = isa->as_string();
  f.threads = static_cast<std::uint32_t>(info_number(info, "threads"));
  f.context_length = info_number(info, "context");
  f.weights_bytes = info_number(info, "weights_bytes");
  f.kv_bytes = info_number(info, "kv_bytes");
  f.scratch_bytes = info_number(info, "scratch_bytes");
  f.waiting = std::min(slot.waiting, slot.active);
  f.running = slot.active - f.waiting;
  if (const json::Value* s = info.find("speculation"); s != nullptr && s->is_string())
    f.speculation = s->as_string();
  f.draft_tokens = slot.draft_tokens_before + slot.draft_tokens;
  f.draft_accepted = slot.draft_accepted_before + slot.draft_accepted;
  f.kv_usage = slot.active > 0 ? slot.kv_usage : 0;
  if (slot.keep_alive.count() >= 0) {
    const auto left =
        slot.active > 0 ? slot.keep_alive : slot.keep_alive - (Clock::now() - slot.last_used);
    f.expires_at =
        unix_now() +
        std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(left).count());
  }
  return f;
}

NativeBackend::NativeBackend(NativeBackendOptions options, std::shared_ptr<ModelCatalog> catalog)
    : impl_(std::make_shared<Impl>(std::move(options), std::move(catalog))) {
  impl_->worker = std::thread([raw = impl_.get()] { raw->work(); });
  impl_->reaper = std::thread([raw = impl_.get()] { raw->reap(); });
}

NativeBackend::~NativeBackend() {
  std::vector<Waiter> waiters;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    impl_->changed.notify_all();
  }
  impl_->worker.join();
  {
    const std::lock_guard lock(impl_->mutex);
    for (auto& [id, slot] : impl_->slots) {
      std::move(slot.waiters.begin(), slot.waiters.end(), std::back_inserter(waiters));
      slot.waiters.clear();
      if (slot.engine) impl_->drop(slot, {});
    }
    impl_->reaping = false;
    impl_->dropped.notify_all();
  }
  for (Waiter& w : waiters) w(shutting_down());
  impl_->reaper.join();
}

std::vector<ModelFacts> NativeBackend::models() {
  std::vector<ModelFacts> models = impl_->catalog->list();
  const std::lock_guard lock(impl_->mutex);
  for (ModelFacts& m : models) {
    const auto it = impl_->slots.find(m.id);
    if (it == impl_->slots.end()) continue;
    m.state = it->second.state;
    if (it->second.engine) m.context_length = info_number(it->second.engine->info(), "context");
  }
  return models;
}

Stats NativeBackend::stats() {
  Stats stats;
  {
    const std::lock_guard lock(impl_->mutex);
    for (const auto& [id, slot] : impl_->slots) {
      if (slot.state == ModelState::kCold) continue;
      stats.engines.push_back(impl_->facts_of(slot));
    }
    stats.engine_restarts_total = impl_->restarts_total;
  }
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
  const std::string model = request.model;
  const auto keep_alive = request.keep_alive;
  const std::int64_t seed = request.sampling.seed.value_or(0);
  const bool drawn = !request.sampling.seed.has_value();
  auto generation = std::make_shared<Generation>(std::move(request), drawn ? draw_seed() : seed,
                                                 std::move(observer));
  impl_->with_engine(
      model,
      [impl = impl_, generation](std::variant<Lease, Failure> got) {
        if (Failure* failure = std::get_if<Failure>(&got))
          return generation->fail(std::move(*failure));
        const Lease& lease = std::get<Lease>(got);
        generation->run_on(lease.engine, lease.load_ns,
                           [impl, id = lease.id] { impl->release(id); });
      },
      keep_alive);
  return std::make_unique<Handle>(std::move(generation));
}

void NativeBackend::tokenize(TokenizeRequest request, Done<Tokenized> done) {
  const std::string model = request.model;
  impl_->with_engine(model, [impl = impl_, request = std::move(request),
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
  impl_->with_engine(model, [impl = impl_, tokens = std::move(tokens),
                             done = std::move(done)](std::variant<Lease, Failure> got) {
    if (Failure* failure = std::get_if<Failure>(&got)) return done(std::move(*failure));
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
  impl_->with_engine(model, [impl = impl_, chat = to_submit(request, 0).text,
                             done = std::move(done)](std::variant<Lease, Failure> got) {
    if (Failure* failure = std::get_if<Failure>(&got)) return done(std::move(*failure));
    ask<wire::Rendered>(
        std::get<Lease>(got).engine, wire::Render{0, chat}, done,
        [](const wire::Rendered& r) { return r.text; },
        [impl, id = std::get<Lease>(got).id] { impl->release(id); });
  });
}

void NativeBackend::load(std::string model, std::optional<std::chrono::milliseconds> keep_alive,
                         Done<EngineFacts> done) {
  impl_->with_engine(
      model,
      [impl = impl_, done = std::move(done)](std::variant<Lease, Failure> got) {
        if (Failure* failure = std::get_if<Failure>(&got)) return done(std::move(*failure));
        const std::string& id = std::get<Lease>(got).id;
        impl->release(id);
        EngineFacts answer;
        {
          const std::lock_guard lock(impl->mutex);
          answer = impl->facts_of(impl->slots[id]);
        }
        done(std::move(answer));
      },
      keep_alive ? keep_alive : impl_->idle_time());
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
