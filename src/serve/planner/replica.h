// One engine of the simulation: its queue, its batch and its clock.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "holdfast/planner/simulate.h"

namespace holdfast::planner {

// A request and where it stands.
struct SimulatedRequest {
  double arrival_s = 0;
  double first_s = -1;  // of the first token
  double finish_s = -1;
  std::int64_t finish_iteration = -1;  // of its replica; -1 unless decoding
  int isl = 1;
  int osl = 1;
  int cached = 0;  // prompt tokens found in cache
  int generated = 0;
  int prefill_target = 0;  // tokens to be in context when the prefill ends
  int prefill_left = 0;
  std::uint8_t retries = 0;
  std::uint8_t cls = 0;
  std::uint8_t priority = 0;
};

// StepCoefficients with every quotient taken once.
class StepClock {
 public:
  StepClock(const StepCoefficients& step, int tokens_max);

  // Of an iteration in which `rows` sequences gain a token and nothing is prefilled: the parts that
  // context does not change.
  double read_s(std::int64_t context_tokens, int tokens) const {
    return weights_s_[static_cast<std::size_t>(tokens)] +
           context_s_ * static_cast<double>(context_tokens);
  }
  double decode_s(int rows) const { return decode_s_ * rows; }
  double rest_s(int rows, int tokens) const {
    return overhead_s_ + row_s_ * rows + sent_s_ * tokens;
  }
  double context_s() const { return context_s_; }
  StepForm form() const { return form_; }
  // What the form makes of the parts; `context` is the part of `read` that keys and values take.
  double work_s(double read, double context, double decode, double prefill) const;
  double step_s(std::int64_t context_tokens, int decode_rows, int prompt_rows, int prompt_tokens,
                double squares) const;

 private:
  std::vector<double> weights_s_;  // [tokens_max + 1]
  double context_s_;
  double decode_s_;
  double prefill_s_;
  double square_s_;
  double overhead_s_;
  double row_s_;
  double sent_s_;
  StepForm form_;
};

struct ReplicaTotals {
  double busy_s = 0;
  double running_s = 0;  // integral of the sequences in the batch
  std::int64_t iterations = 0;
  std::int64_t preempted = 0;
  std::int64_t kv_tokens_peak = 0;
  std::int64_t output_tokens = 0;
};

// Owned by one replication; the requests outlive it.
class Replica {
 public:
  Replica(const StepClock& clock, const EngineLimits& limits, std::span<SimulatedRequest> requests);

  // Sequences waiting and running.
  int load() const { return waiting_count_ + running(); }
  int waiting() const { return waiting_count_; }
  bool idle() const { return load() == 0; }
  double now_s() const { return now_s_; }
  // What a newcomer would wait: places ahead of it times the recent pace of admissions.
  double expected_wait_s() const;
  // Whether the request could ever be admitted.
  bool fits(const SimulatedRequest& request) const;

  void enqueue(double at_s, std::uint32_t id);
  // Runs every iteration that starts before `until_s`.
  void advance(double until_s);
  // Takes out everything, waiting or running, in order of admission and then of waiting; an
  // iteration under way counts as completed. Nothing starts before `up_again_s`.
  std::vector<std::uint32_t> fail(double up_again_s);

  const ReplicaTotals& totals() const { return totals_; }

 private:
  struct Finish {
    std::int64_t iteration;
    std::uint32_t id;
  };
  static bool later(const Finish& a, const Finish& b) {
    return a.iteration != b.iteration ? a.iteration > b.iteration : a.id > b.id;
  }

  int running() const { return decoding_ + static_cast<int>(prefill_.size()); }
  std::int64_t kv_used() const { return context_tokens_ - shared_tokens_; }
  void account(double seconds, std::int64_t steps, std::int64_t new_tokens);
  std::int64_t needs(const SimulatedRequest& request) const;
  void admit();
  void admit_one(std::deque<std::uint32_t>& queue);
  void prefill_iteration();
  void decode_stretch(double until_s);
  std::int64_t stretch_length(double first_s, double growth_s, std::int64_t most,
                              double until_s) const;
  void end_prefill(std::uint32_t id);
  void collect_finished();
  void complete(SimulatedRequest& request);
  void make_room();
  void preempt(std::uint32_t id);
  void drop_stale();

  const StepClock& clock_;
  const EngineLimits& limits_;
  std::span<SimulatedRequest> requests_;
  std::array<std::deque<std::uint32_t>, kPriorities> waiting_;
  int waiting_count_ = 0;
  std::deque<std::uint32_t> prefill_;    // oldest first
  std::vector<Finish> finishes_;         // heap, next first; entries of preempted ones are stale
  std::vector<std::uint32_t> admitted_;  // newest last; only with KvPolicy::kPreempt
  int decoding_ = 0;
  std::int64_t context_tokens_ = 0;   // of all running sequences
  std::int64_t shared_tokens_ = 0;    // of these, found in cache
  std::int64_t promised_tokens_ = 0;  // reserved, or still to be prefilled
  std::int64_t iteration_ = 0;
  double now_s_ = 0;
  double last_admission_s_ = 0;
  double pace_s_ = 0;  // between admissions while others waited
  bool others_waited_ = false;
  ReplicaTotals totals_;
};

}  // namespace holdfast::planner
