#include "scheduler.h"

#include <algorithm>
#include <tuple>

#include "holdfast/base/check.h"

namespace holdfast::runtime {

Scheduler::Scheduler(const SchedulerOptions& options) : options_(options) {}

std::size_t Scheduler::waiting() const {
  std::size_t sum = 0;
  for (const Class& c : classes_) sum += c.waiting;
  return sum;
}

bool Scheduler::add(Job job) {
  Class& c = classes_[index(job.scheduling.priority)];
  if (c.waiting >= options_.queue_max) return false;
  auto [it, fresh] = c.shares.try_emplace(job.scheduling.tenant);
  Share& share = it->second;
  share.weight = std::max(job.scheduling.weight, 1u);
  if (fresh) share.credit = kQuantumTokens * share.weight;
  share.queue.push_back(job.id);
  ++c.waiting;
  const RequestId id = job.id;
  if (const auto deadline = job.scheduling.deadline_ns) deadlines_.emplace(*deadline, id);
  const bool added = entries_.emplace(id, Entry{std::move(job)}).second;
  HF_CHECK(added);
  return true;
}

void Scheduler::drop_share(Class& c, const std::string& tenant) {
  const auto it = c.shares.find(tenant);
  if (it->second.queue.empty() && it->second.running == 0) c.shares.erase(it);
}

void Scheduler::remove(RequestId id) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return;
  Entry& e = it->second;
  Class& c = class_of(e);
  const std::string tenant = e.job.scheduling.tenant;
  if (e.runs) {
    leave_place(e);
  } else {
    std::erase(share_of(e).queue, id);
    --c.waiting;
  }
  if (const auto deadline = e.job.scheduling.deadline_ns) deadlines_.erase({*deadline, id});
  entries_.erase(it);
  drop_share(c, tenant);
}

void Scheduler::leave_place(const Entry& e) {
  --share_of(e).running;
  const auto tenant = per_tenant_.find(e.job.scheduling.tenant);
  if (--tenant->second == 0) per_tenant_.erase(tenant);
  std::erase(running_, e.job.id);
}

bool Scheduler::runs_something(const std::string& tenant) const {
  return per_tenant_.contains(tenant);
}

// The class to serve next: the highest that waits, but for those kept waiting for too long.
std::size_t Scheduler::first_class() const {
  std::size_t first = 0;
  while (first < classes_.size() && classes_[first].waiting == 0) ++first;
  if (higher_in_row_ < kHigherInRow) return first;
  for (std::size_t lower = classes_.size(); lower-- > first + 1;) {
    if (classes_[lower].waiting > 0) return lower;
  }
  return first;
}

// The request whose turn it is among those that may have one of the free places. Changes nothing
// but credits, and those only where nobody has any: asked again, it says the same. A guest must
// have credit of its own, or its place would be worth more than its share.
std::optional<RequestId> Scheduler::pick(Class& c) {
  const bool place = running_.size() < options_.slots;
  const bool guest_place = running_.size() < options_.slots + options_.guest_slots;
  std::vector<std::pair<const std::string*, Share*>> ring;  // from the turn on
  auto start = c.shares.lower_bound(c.turn);
  for (std::size_t i = 0; i < c.shares.size(); ++i, ++start) {
    if (start == c.shares.end()) start = c.shares.begin();
    if (start->second.queue.empty()) continue;
    const bool guest = start->second.credit > 0 && !runs_something(start->first);
    if (place || (guest_place && guest)) ring.emplace_back(&start->first, &start->second);
  }
  if (ring.empty()) return std::nullopt;
  // As many rounds as the one needs that is nearest to having credit again.
  std::int64_t rounds = INT64_MAX;
  for (const auto& [tenant, share] : ring) {
    const std::int64_t quantum = kQuantumTokens * share->weight;
    rounds = std::min(rounds, share->credit > 0 ? 0 : -share->credit / quantum + 1);
  }
  for (const auto& [tenant, share] : ring) share->credit += rounds * kQuantumTokens * share->weight;
  const auto turn =
      std::ranges::find_if(ring, [](const auto& entry) { return entry.second->credit > 0; });
  c.turn = *turn->first;
  return turn->second->queue.front();
}

// Of the lowest class below `above`, the one that has run for the shortest time.
std::optional<RequestId> Scheduler::victim(std::size_t above) const {
  std::optional<RequestId> best;
  std::size_t best_class = above;
  for (const RequestId id : running_) {
    const Entry& e = entries_.at(id);
    const std::size_t own = index(e.job.scheduling.priority);
    if (!e.job.restartable || e.keeps_place || own <= above || own < best_class) continue;
    best = id;
    best_class = own;
  }
  return best;
}

Scheduler::Action Scheduler::make_way(std::size_t for_class) const {
  if (const auto id = victim(for_class)) return {Action::Kind::kPreempt, *id};
  return {};
}

Scheduler::Action Scheduler::next(const Fits& fits) {
  const std::size_t first = first_class();
  if (first == classes_.size()) return {};
  const auto id = pick(classes_[first]);
  if (!id) return make_way(first);
  const Entry& e = entries_.at(*id);
  if (!fits(*id, runs_something(e.job.scheduling.tenant))) return make_way(first);
  return {Action::Kind::kAdmit, *id};
}

void Scheduler::admitted(RequestId id, std::uint64_t prompt_tokens) {
  Entry& e = entries_.at(id);
  HF_CHECK(!e.runs);
  Class& c = class_of(e);
  Share& share = share_of(e);
  std::erase(share.queue, id);
  --c.waiting;
  ++share.running;
  ++per_tenant_[e.job.scheduling.tenant];
  share.credit -= static_cast<std::int64_t>(prompt_tokens);
  const std::size_t own = index(e.job.scheduling.priority);
  const auto waits = [](const Class& other) { return other.waiting > 0; };
  const auto lower = classes_.begin() + static_cast<std::ptrdiff_t>(own) + 1;
  const bool went_before_lower = std::any_of(lower, classes_.end(), waits);
  const bool let_by_higher = std::any_of(classes_.begin(), lower - 1, waits);
  e.keeps_place = let_by_higher;
  higher_in_row_ = went_before_lower && !let_by_higher ? higher_in_row_ + 1 : 0;
  e.runs = true;
  e.admission = ++admissions_;
  running_.push_back(id);
}

void Scheduler::preempted(RequestId id) {
  Entry& e = entries_.at(id);
  HF_CHECK(e.runs);
  leave_place(e);
  share_of(e).queue.push_front(id);
  ++class_of(e).waiting;
  e.runs = false;
}

void Scheduler::served(RequestId id, std::uint64_t tokens) {
  const auto it = entries_.find(id);
  if (it != entries_.end()) share_of(it->second).credit -= static_cast<std::int64_t>(tokens);
}

std::vector<RequestId> Scheduler::order(std::span<const RequestId> prompts) const {
  struct Place {
    std::size_t priority;
    std::size_t turn;   // how many of its tenant come before it
    std::int64_t debt;  // of its tenant
    std::uint64_t admission;
    RequestId id;
  };
  std::vector<Place> places;
  for (const RequestId id : prompts) {
    const Entry& e = entries_.at(id);
    const Class& c = classes_[index(e.job.scheduling.priority)];
    const std::int64_t credit = c.shares.find(e.job.scheduling.tenant)->second.credit;
    places.push_back({index(e.job.scheduling.priority), 0, -credit, e.admission, id});
  }
  std::ranges::sort(places, {}, [](const Place& p) { return std::tie(p.priority, p.admission); });
  std::map<std::pair<std::size_t, std::string_view>, std::size_t> seen;
  for (Place& p : places) p.turn = seen[{p.priority, entries_.at(p.id).job.scheduling.tenant}]++;
  std::ranges::sort(
      places, {}, [](const Place& p) { return std::tie(p.priority, p.turn, p.debt, p.admission); });
  std::vector<RequestId> out;
  for (const Place& p : places) out.push_back(p.id);
  return out;
}

std::vector<RequestId> Scheduler::expired(std::uint64_t now_ns) const {
  std::vector<RequestId> out;
  for (auto it = deadlines_.begin(); it != deadlines_.end() && it->first <= now_ns; ++it)
    out.push_back(it->second);
  return out;
}

}  // namespace holdfast::runtime
