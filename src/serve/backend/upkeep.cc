// What NativeBackend does by the clock: waiters whose deadline passes, idle models, engines that
// hang, figures for /metrics; and the end of engines.
#include <algorithm>

#include "native_impl.h"

namespace holdfast::backend {

namespace {

// How old what /metrics says of a busy engine may be.
constexpr auto kStatsInterval = std::chrono::milliseconds(500);

Failure too_late() {
  return {Error(ErrorCode::kDeadline, "the deadline passed while the model was being loaded"),
          FailureKind::kDeadline, 0, 0, 0};
}

}  // namespace

// All three: under the mutex. They set `wake` to when they are to be called next.

void NativeBackend::Impl::sweep_waiters(std::optional<Clock::time_point>& wake) {
  const auto now = Clock::now();
  for (auto& [id, slot] : slots) {
    std::erase_if(slot.waiters, [&](Waiter& w) {
      if (!w.deadline) return false;
      if (*w.deadline > now) {
        earlier(wake, *w.deadline);
        return false;
      }
      refused.push_back({std::move(w), too_late()});
      return true;
    });
  }
}

void NativeBackend::Impl::sweep_idle(std::optional<Clock::time_point>& wake) {
  for (auto& [id, slot] : slots) {
    if (!slot.idle() || slot.pinned()) continue;
    const auto due = slot.last_used + slot.keep_alive;
    if (due <= Clock::now()) {
      drop(slot, {});
    } else {
      earlier(wake, due);
    }
  }
}

// An engine that says nothing although it was asked something is ended: its requests get an error,
// the next one another engine. Figures are asked for every half second, so a step that takes longer
// than the limit is all that can look like it.
void NativeBackend::Impl::watch_engines(std::optional<Clock::time_point>& wake) {
  if (options.hang_timeout.count() == 0) return;
  for (auto& [id, slot] : slots) {
    if (!slot.engine) continue;
    const auto since = slot.engine->silent_since();
    if (!since) continue;
    const auto due = *since + options.hang_timeout;
    if (due <= Clock::now()) {
      slot.engine->kill();
    } else {
      earlier(wake, due);
    }
  }
}

// Asks engines that are busy, or have ended a request since they last answered; the answers are
// stored when they come, so nobody waits for a busy engine. True if it gave the mutex up.
bool NativeBackend::Impl::refresh_stats(std::unique_lock<std::mutex>& lock,
                                        std::optional<Clock::time_point>& wake) {
  std::vector<std::pair<std::string, Engine>> asked;
  for (auto& [id, slot] : slots) {
    if (!slot.engine || slot.asked || (slot.active == 0 && !slot.ended)) continue;
    const auto due = slot.stats_at + kStatsInterval;
    if (due > Clock::now()) {
      earlier(wake, due);
      continue;
    }
    slot.stats_at = Clock::now();
    slot.ended = false;
    slot.asked = true;
    asked.emplace_back(id, slot.engine);
  }
  if (asked.empty()) return false;
  lock.unlock();
  for (const auto& [id, engine] : asked) {
    engine->send(wire::Stats{}, [weak = weak_from_this(), model = id,
                                 which = engine.get()](const wire::Message& m) {
      if (const auto self = weak.lock()) self->store_stats(model, which, m);
    });
  }
  asked.clear();
  lock.lock();
  return true;
}

void NativeBackend::Impl::store_stats(const std::string& id, const EngineProcess* which,
                                      const wire::Message& m) {
  const auto* reply = std::get_if<wire::StatsReply>(&m);
  const auto stats =
      reply ? json::parse(reply->stats_json) : Result<json::Value>(internal_error("no stats"));
  const std::lock_guard lock(mutex);
  const auto it = slots.find(id);
  if (it == slots.end() || it->second.engine.get() != which) return;
  it->second.asked = false;
  changed.notify_all();
  if (!stats.ok()) return;
  EngineFacts& said = it->second.said;
  const std::uint64_t pages = info_number(*stats, "pages_total");
  said.waiting = static_cast<std::uint32_t>(info_number(*stats, "waiting"));
  said.draft_tokens = info_number(*stats, "draft_tokens");
  said.draft_accepted = info_number(*stats, "draft_accepted");
  said.prefix_queries = info_number(*stats, "prefix_queries");
  said.prefix_hits = info_number(*stats, "prefix_hits");
  said.preemptions = info_number(*stats, "preemptions");
  said.pauses = info_number(*stats, "pauses");
  said.steps = info_number(*stats, "steps");
  said.kv_usage = pages == 0 ? 0
                             : static_cast<double>(info_number(*stats, "pages_used")) /
                                   static_cast<double>(pages);
}

void NativeBackend::Impl::attend() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    std::optional<Clock::time_point> wake;
    sweep_waiters(wake);
    sweep_idle(wake);
    watch_engines(wake);
    if (!refused.empty()) {
      std::vector<Refused> told = std::exchange(refused, {});
      lock.unlock();
      for (Refused& r : told) r.waiter.call(std::move(r.failure));
      told.clear();
      lock.lock();
      continue;
    }
    if (refresh_stats(lock, wake)) continue;
    wake ? changed.wait_until(lock, *wake) : changed.wait_for(lock, std::chrono::hours(1));
  }
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
    const std::size_t count = ended.size();
    ended.clear();
    lock.lock();
    ending -= count;
    dropped.notify_all();
  }
}

}  // namespace holdfast::backend
