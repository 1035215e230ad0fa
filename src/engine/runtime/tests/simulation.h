// A simulated engine: the real Scheduler, StepPacer and share_out on a virtual clock, with a cost
// model in the place of the forward pass. One seed is one run.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "scheduler.h"
#include "step_pacer.h"

namespace holdfast::runtime {

struct SimulatedJob {
  double arrival_s = 0;
  std::string tenant;
  std::uint32_t weight = 1;
  Priority priority = Priority::kInteractive;
  std::size_t prompt = 64;
  std::size_t answer = 32;
  std::optional<double> deadline_s;  // after the arrival
  std::optional<double> leaves_s;    // after the arrival: it is cancelled

  // What became of it.
  enum class End { kNone, kServed, kRefused, kExpired, kCancelled };
  End end = End::kNone;
  int ends = 0;
  double admitted_s = -1, first_token_s = -1, ended_s = -1;
  std::uint32_t restarts = 0;
  std::vector<double> token_times;

  // While it runs.
  std::size_t computed = 0;  // of prompt and answer
  std::size_t prefill_end = 0;
  std::size_t answered = 0;
  std::size_t pages() const { return (prompt + answer + 31) / 32; }
  double ttft_s() const { return first_token_s - arrival_s; }
};

struct SimulatedEngine {
  SchedulerOptions scheduler;
  std::size_t pages = 512;
  std::size_t chunk = 192;
  // Seconds of a step: fixed + answers x per_answer + prompt tokens x per_prompt_token.
  double fixed_s = 3e-3, per_answer_s = 6e-4, per_prompt_token_s = 6e-4;
  bool one_tenant = false;  // the scheduler is told that all are one tenant: checks must notice
  double until_s = 1e9;     // what has not ended by then stays unfinished
};

class Simulation {
 public:
  Simulation(const SimulatedEngine& engine, std::vector<SimulatedJob> jobs)
      : engine_(engine),
        jobs_(std::move(jobs)),
        scheduler_(engine.scheduler),
        pacer_(engine.scheduler.slots + engine.scheduler.guest_slots) {
    for (std::size_t i = 0; i < jobs_.size(); ++i) arrivals_.push_back(i);
    std::ranges::stable_sort(arrivals_, {}, [&](std::size_t i) { return jobs_[i].arrival_s; });
  }

  void run() {
    while (now_s_ < engine_.until_s) {
      arrive();
      if (scheduler_.waiting() + scheduler_.running() == 0) {
        if (next_arrival_ == arrivals_.size()) return;
        now_s_ = jobs_[arrivals_[next_arrival_]].arrival_s;
        continue;
      }
      leave();
      expire();
      if (scheduler_.waiting() + scheduler_.running() == 0) continue;
      admit();
      step();
    }
  }

  const std::vector<SimulatedJob>& jobs() const { return jobs_; }
  double now_s() const { return now_s_; }
  double busy_s() const { return busy_s_; }
  const std::map<std::string, std::uint64_t>& tokens_of_tenants() const { return tokens_; }
  std::size_t preemptions() const { return preemptions_; }

 private:
  SimulatedJob& job(RequestId id) { return jobs_[static_cast<std::size_t>(id)]; }

  void finish(RequestId id, SimulatedJob::End end) {
    SimulatedJob& j = job(id);
    scheduler_.remove(id);
    std::erase(running_, id);
    j.end = end;
    ++j.ends;
    j.ended_s = now_s_;
  }

  void arrive() {
    for (; next_arrival_ < arrivals_.size(); ++next_arrival_) {
      const std::size_t i = arrivals_[next_arrival_];
      SimulatedJob& j = jobs_[i];
      if (j.arrival_s > now_s_) return;
      Job told;
      told.id = i;
      told.scheduling.tenant = engine_.one_tenant ? "one" : j.tenant;
      told.scheduling.weight = engine_.one_tenant ? 1 : j.weight;
      told.scheduling.priority = j.priority;
      if (j.deadline_s)
        told.scheduling.deadline_ns =
            static_cast<std::uint64_t>((j.arrival_s + *j.deadline_s) * 1e9);
      j.prefill_end = j.prompt;
      const std::size_t before = scheduler_.waiting(j.priority);
      if (!scheduler_.add(std::move(told))) {
        EXPECT_GE(before, engine_.scheduler.queue_max);
        finish(i, SimulatedJob::End::kRefused);
      }
    }
  }

  void leave() {
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      SimulatedJob& j = jobs_[i];
      if (j.leaves_s && j.end == SimulatedJob::End::kNone && j.arrival_s <= now_s_ &&
          j.arrival_s + *j.leaves_s <= now_s_)
        finish(i, SimulatedJob::End::kCancelled);
    }
  }

  void expire() {
    for (const RequestId id : scheduler_.expired(static_cast<std::uint64_t>(now_s_ * 1e9)))
      finish(id, SimulatedJob::End::kExpired);
  }

  std::size_t pages_promised() {
    std::size_t sum = 0;
    for (const RequestId id : running_) sum += job(id).pages();
    return sum;
  }

  void admit() {
    const SchedulerOptions& o = engine_.scheduler;
    const std::size_t aside = engine_.pages * o.guest_slots / (o.slots + o.guest_slots);
    const auto fits = [&](RequestId id, bool beside_own) {
      return pages_promised() + job(id).pages() + (beside_own ? aside : 0) <= engine_.pages;
    };
    while (true) {
      const Scheduler::Action action = scheduler_.next(fits);
      if (action.kind == Scheduler::Action::Kind::kNone) return;
      SimulatedJob& j = job(action.id);
      if (action.kind == Scheduler::Action::Kind::kPreempt) {
        check_preemption(j);
        scheduler_.preempted(action.id);
        std::erase(running_, action.id);
        j.prefill_end = j.prompt + j.answered;
        j.computed = 0;
        ++j.restarts;
        ++preemptions_;
        continue;
      }
      check_admission(action.id);
      scheduler_.admitted(action.id, j.prefill_end);
      if (j.admitted_s < 0) j.admitted_s = now_s_;
      running_.push_back(action.id);
    }
  }

  // Somebody of a higher class must be waiting.
  void check_preemption(const SimulatedJob& j) {
    bool higher = false;
    for (std::size_t c = 0; c < static_cast<std::size_t>(j.priority); ++c)
      higher |= scheduler_.waiting(static_cast<Priority>(c)) > 0;
    EXPECT_TRUE(higher);
  }

  void check_admission(RequestId id) {
    const SchedulerOptions& o = engine_.scheduler;
    const auto own = [&](RequestId r) { return job(r).tenant == job(id).tenant; };
    EXPECT_LT(running_.size(), o.slots + o.guest_slots);
    if (running_.size() >= o.slots && !engine_.one_tenant) {
      EXPECT_TRUE(std::ranges::none_of(running_, own)) << "a guest's place for who has one";
    }
    EXPECT_LE(pages_promised() + job(id).pages(), engine_.pages);
    // Those of its tenant and class that came before it have been admitted.
    for (const SimulatedJob& other : jobs_) {
      const bool waits = other.end == SimulatedJob::End::kNone && other.admitted_s < 0;
      if (&other != &job(id) && waits && other.tenant == job(id).tenant &&
          other.priority == job(id).priority && job(id).admitted_s < 0 && !engine_.one_tenant) {
        EXPECT_GE(other.arrival_s, job(id).arrival_s);
      }
    }
  }

  void step() {
    StepPacer::Load load;
    std::vector<RequestId> prompts;
    for (const RequestId id : running_) {
      if (job(id).computed < job(id).prefill_end) {
        prompts.push_back(id);
      } else {
        ++load.answers;
        load.urgent = std::min(load.urgent, job(id).priority);
      }
    }
    load.answer_tokens = load.answers;
    load.prompts = prompts.size();
    load.alone = running_.size() + scheduler_.waiting() == 1;
    ASSERT_GT(running_.size(), 0u) << "work waits and nothing runs";
    std::size_t prompt_tokens = 0;
    std::vector<std::size_t> left, whole, shares;
    if (!prompts.empty()) {
      prompts = scheduler_.order(prompts);
      for (const RequestId id : prompts) {
        left.push_back(job(id).prefill_end - job(id).computed);
        whole.push_back(job(id).prefill_end);
      }
      shares = share_out(left, whole, pacer_.room(load, engine_.chunk));
      for (std::size_t& n : shares) prompt_tokens += n = std::min(n, engine_.chunk - prompt_tokens);
      ASSERT_GT(prompt_tokens, 0u);
    }
    const double seconds = engine_.fixed_s +
                           engine_.per_answer_s * static_cast<double>(load.answers) +
                           engine_.per_prompt_token_s * static_cast<double>(prompt_tokens);
    now_s_ += seconds;
    busy_s_ += seconds;
    pacer_.observe(load.answers, prompt_tokens, seconds);
    const std::vector<RequestId> before = running_;
    for (const RequestId id : before) {
      if (job(id).computed >= job(id).prefill_end) answer(id, 1);
    }
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      SimulatedJob& j = job(prompts[i]);
      tokens_[j.tenant] += shares[i];
      j.computed += shares[i];
      if (shares[i] > 0 && j.computed == j.prefill_end) answer(prompts[i], 0);
    }
  }

  void answer(RequestId id, std::size_t computed) {
    SimulatedJob& j = job(id);
    if (j.first_token_s < 0) j.first_token_s = now_s_;
    j.token_times.push_back(now_s_);
    j.computed += computed;
    ++j.answered;
    ++tokens_[j.tenant];
    scheduler_.served(id, 1);
    if (j.answered == j.answer) finish(id, SimulatedJob::End::kServed);
  }

  const SimulatedEngine engine_;
  std::vector<SimulatedJob> jobs_;
  Scheduler scheduler_;
  StepPacer pacer_;
  std::vector<std::size_t> arrivals_;
  std::size_t next_arrival_ = 0;
  std::vector<RequestId> running_;
  std::map<std::string, std::uint64_t> tokens_;
  double now_s_ = 0;
  double busy_s_ = 0;
  std::size_t preemptions_ = 0;
};

}  // namespace holdfast::runtime
