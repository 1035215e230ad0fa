#include "replica.h"

#include <algorithm>
#include <cmath>

namespace holdfast::planner {
namespace {

// Weight of the newest gap in the pace of admissions: about the last sixteen count.
constexpr double kPaceWeight = 1.0 / 16;
// Share of the memory kept free at admission when sequences may grow into each other: without it a
// sequence that just had to leave would come back at once and leave again.
constexpr std::int64_t kWatermarkPart = 100;

}  // namespace

StepClock::StepClock(const StepCoefficients& step, int tokens_max)
    : context_s_(step.kv_factor * step.kv_per_token.value() / step.bandwidth.value()),
      decode_s_(step.flops_per_token.value() / step.decode_speed.value()),
      prefill_s_(step.flops_per_token.value() / step.prefill_speed.value()),
      square_s_(step.attention_flops / step.prefill_speed.value()),
      overhead_s_(step.overhead.value()),
      row_s_(step.per_row.value()),
      sent_s_(step.per_token_sent.value()),
      form_(step.form) {
  for (int tokens = 0; tokens <= tokens_max; ++tokens) {
    const double touched = 1 - std::pow(1 - step.expert_share, std::pow(tokens, step.expert_rho));
    weights_s_.push_back((step.weights + step.experts * touched) / step.bandwidth / Seconds(1));
  }
}

double StepClock::step_s(std::int64_t context_tokens, int decode_rows, int prompt_rows,
                         int prompt_tokens, double squares) const {
  const int tokens = decode_rows + prompt_tokens;
  const double read = read_s(context_tokens, tokens);
  const double decode = decode_s(decode_rows);
  const double prefill = prefill_s_ * prompt_tokens + square_s_ * squares;
  const double work =
      work_s(read, context_s_ * static_cast<double>(context_tokens), decode, prefill);
  return work + rest_s(decode_rows + prompt_rows, tokens);
}

double StepClock::work_s(double read, double context, double decode, double prefill) const {
  switch (form_) {
    case StepForm::kAllUnderArithmetic:
      return std::max(read, decode + prefill);
    case StepForm::kWeightsUnderArithmetic:
      return std::max(read - context, decode + prefill) + context;
    case StepForm::kReadThenDecode:
      break;
  }
  return std::max(read, prefill) + decode;
}

Replica::Replica(const StepClock& clock, const EngineLimits& limits,
                 std::span<SimulatedRequest> requests)
    : clock_(clock), limits_(limits), requests_(requests) {}

double Replica::expected_wait_s() const {
  const bool free = waiting_count_ == 0 && running() < limits_.batch_max;
  return free ? 0 : (waiting_count_ + 1) * pace_s_;
}

// Tokens that admission sets aside: a cached prefix is stored once, for all.
std::int64_t Replica::needs(const SimulatedRequest& request) const {
  const std::int64_t own = static_cast<std::int64_t>(request.isl) - request.cached;
  return limits_.kv_policy == KvPolicy::kReserve ? own + request.osl : own + request.generated;
}

bool Replica::fits(const SimulatedRequest& request) const {
  return static_cast<std::int64_t>(request.isl) + request.osl <= limits_.kv_tokens_max;
}

void Replica::enqueue(double at_s, std::uint32_t id) {
  if (idle()) now_s_ = std::max(now_s_, at_s);
  waiting_[requests_[id].priority].push_back(id);
  ++waiting_count_;
}

void Replica::advance(double until_s) {
  while (now_s_ < until_s && !idle()) {
    if (waiting_count_ > 0) admit();
    if (!prefill_.empty()) {
      prefill_iteration();
    } else {
      decode_stretch(until_s);
    }
  }
}

void Replica::admit() {
  for (std::deque<std::uint32_t>& queue : waiting_) {
    while (!queue.empty()) {
      if (running() >= limits_.batch_max) return;
      const std::int64_t used =
          limits_.kv_policy == KvPolicy::kReserve
              ? promised_tokens_
              : promised_tokens_ + kv_used() + decoding_ + limits_.kv_tokens_max / kWatermarkPart;
      // The first in line waits for room; nobody overtakes it.
      if (used + needs(requests_[queue.front()]) > limits_.kv_tokens_max && running() > 0) return;
      admit_one(queue);
    }
  }
}

void Replica::admit_one(std::deque<std::uint32_t>& queue) {
  const std::uint32_t id = queue.front();
  queue.pop_front();
  --waiting_count_;
  SimulatedRequest& request = requests_[id];
  promised_tokens_ += needs(request);
  // A sequence that starts again computes what it had generated as part of its prompt.
  request.prefill_target = request.isl + request.generated;
  request.prefill_left = request.prefill_target - request.cached;
  context_tokens_ += request.cached;
  shared_tokens_ += request.cached;
  prefill_.push_back(id);
  if (limits_.kv_policy == KvPolicy::kPreempt) {
    // Entries of completed sequences are dropped before they outnumber the live ones.
    if (admitted_.size() > 4 * static_cast<std::size_t>(limits_.batch_max)) drop_stale();
    admitted_.push_back(id);
  }
  if (others_waited_) pace_s_ += kPaceWeight * (now_s_ - last_admission_s_ - pace_s_);
  last_admission_s_ = now_s_;
  others_waited_ = waiting_count_ > 0;
}

// Up to one chunk of prompt tokens, oldest first; all decoding sequences gain a token beside it.
void Replica::prefill_iteration() {
  if (limits_.kv_policy == KvPolicy::kPreempt) make_room();
  int budget = limits_.chunk_tokens;
  int prompt_rows = 0;
  double squares = 0;
  for (std::uint32_t id : prefill_) {
    if (budget == 0) break;
    SimulatedRequest& request = requests_[id];
    const int tokens = std::min(budget, request.prefill_left);
    const double start = request.prefill_target - request.prefill_left;
    squares += tokens * (2 * start + tokens);
    request.prefill_left -= tokens;
    budget -= tokens;
    ++prompt_rows;
  }
  const int prompt_tokens = limits_.chunk_tokens - budget;
  const double t = clock_.step_s(context_tokens_, decoding_, prompt_rows, prompt_tokens, squares);
  account(t, 1, decoding_ + prompt_tokens);
  if (limits_.kv_policy == KvPolicy::kPreempt) promised_tokens_ -= prompt_tokens;
  collect_finished();
  while (!prefill_.empty() && requests_[prefill_.front()].prefill_left == 0) {
    const std::uint32_t id = prefill_.front();
    prefill_.pop_front();
    end_prefill(id);
  }
}

// The iteration that computes the last prompt token yields a token.
void Replica::end_prefill(std::uint32_t id) {
  SimulatedRequest& request = requests_[id];
  if (request.first_s < 0) request.first_s = now_s_;
  ++request.generated;
  if (request.generated == request.osl) {
    complete(request);
    return;
  }
  request.finish_iteration = iteration_ + request.osl - request.generated;
  finishes_.push_back({request.finish_iteration, id});
  std::push_heap(finishes_.begin(), finishes_.end(), later);
  ++decoding_;
}

// Iterations in which nothing but decoding happens differ only in the context that is read, which
// grows by one token per sequence: their durations form an arithmetic series.
void Replica::decode_stretch(double until_s) {
  if (limits_.kv_policy == KvPolicy::kPreempt) {
    make_room();
    if (decoding_ == 0) return;
  }
  std::int64_t most = finishes_.front().iteration - iteration_;
  if (limits_.kv_policy == KvPolicy::kPreempt) {
    const std::int64_t room = limits_.kv_tokens_max - kv_used() - promised_tokens_;
    most = std::clamp<std::int64_t>(room / decoding_, 1, most);
  }
  const double read = clock_.read_s(context_tokens_, decoding_);
  const double decode = clock_.decode_s(decoding_);
  const double rest = clock_.rest_s(decoding_, decoding_);
  double growth = clock_.context_s() * decoding_;
  const double context = clock_.context_s() * static_cast<double>(context_tokens_);
  const double first = clock_.work_s(read, context, decode, 0) + rest;
  if (clock_.form() == StepForm::kAllUnderArithmetic) {
    if (read < decode) {
      // Until reading takes over, every iteration takes the same time.
      const double flat = growth > 0 ? std::ceil((decode - read) / growth) : 1e18;
      if (flat < static_cast<double>(most)) {
        most = std::max<std::int64_t>(1, static_cast<std::int64_t>(flat));
      }
      growth = 0;
    }
  }
  const std::int64_t steps = stretch_length(first, growth, most, until_s);
  const auto n = static_cast<double>(steps);
  const double t = n * first + growth * n * (n - 1) / 2;
  account(t, steps, steps * decoding_);
  collect_finished();
}

void Replica::account(double seconds, std::int64_t steps, std::int64_t new_tokens) {
  now_s_ += seconds;
  iteration_ += steps;
  context_tokens_ += new_tokens;
  totals_.busy_s += seconds;
  totals_.running_s += seconds * running();
  totals_.iterations += steps;
  totals_.kv_tokens_peak = std::max(totals_.kv_tokens_peak, kv_used());
}

// The fewest iterations after which `until_s` is reached, at most `most`.
std::int64_t Replica::stretch_length(double first_s, double growth_s, std::int64_t most,
                                     double until_s) const {
  const auto n = static_cast<double>(most);
  const double left = until_s - now_s_;
  if (n * first_s + growth_s * n * (n - 1) / 2 <= left) return most;
  const double linear = first_s - growth_s / 2;
  const double root = 2 * left / (linear + std::sqrt(linear * linear + 2 * growth_s * left));
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::ceil(root)), 1, most);
}

void Replica::collect_finished() {
  while (!finishes_.empty() && finishes_.front().iteration <= iteration_) {
    const Finish finish = finishes_.front();
    std::pop_heap(finishes_.begin(), finishes_.end(), later);
    finishes_.pop_back();
    SimulatedRequest& request = requests_[finish.id];
    if (request.finish_iteration != finish.iteration) continue;
    --decoding_;
    request.generated = request.osl;
    complete(request);
  }
  // A stale entry in front would cut stretches short.
  while (!finishes_.empty() &&
         requests_[finishes_.front().id].finish_iteration != finishes_.front().iteration) {
    std::pop_heap(finishes_.begin(), finishes_.end(), later);
    finishes_.pop_back();
  }
}

void Replica::complete(SimulatedRequest& request) {
  request.finish_s = now_s_;
  request.finish_iteration = -1;
  // The last token is never read again, so it is not in the context.
  context_tokens_ -= static_cast<std::int64_t>(request.isl) + request.osl - 1;
  shared_tokens_ -= request.cached;
  if (limits_.kv_policy == KvPolicy::kReserve) promised_tokens_ -= needs(request);
  totals_.output_tokens += request.osl;
}

// Before an iteration: while the tokens it adds do not fit, the newest decoding sequence leaves.
void Replica::make_room() {
  while (decoding_ + static_cast<int>(prefill_.size()) > 1 &&
         kv_used() + promised_tokens_ + decoding_ > limits_.kv_tokens_max) {
    drop_stale();
    const auto newest = std::find_if(admitted_.rbegin(), admitted_.rend(), [&](std::uint32_t id) {
      return requests_[id].finish_iteration >= 0;
    });
    if (newest == admitted_.rend()) return;
    const std::uint32_t id = *newest;
    admitted_.erase(std::next(newest).base());
    preempt(id);
  }
}

void Replica::preempt(std::uint32_t id) {
  SimulatedRequest& request = requests_[id];
  request.generated = request.osl - static_cast<int>(request.finish_iteration - iteration_);
  request.finish_iteration = -1;
  context_tokens_ -= static_cast<std::int64_t>(request.isl) + request.generated - 1;
  shared_tokens_ -= request.cached;
  --decoding_;
  waiting_[request.priority].push_front(id);
  ++waiting_count_;
  ++totals_.preempted;
  collect_finished();
}

// Forgets admissions that are over.
void Replica::drop_stale() {
  std::erase_if(admitted_, [&](std::uint32_t id) {
    return requests_[id].finish_iteration < 0 && requests_[id].prefill_left == 0;
  });
}

std::vector<std::uint32_t> Replica::fail(double up_again_s) {
  std::vector<std::uint32_t> lost;
  for (const Finish& finish : finishes_) {
    SimulatedRequest& request = requests_[finish.id];
    if (request.finish_iteration == finish.iteration) lost.push_back(finish.id);
  }
  lost.insert(lost.end(), prefill_.begin(), prefill_.end());
  std::sort(lost.begin(), lost.end());
  for (std::deque<std::uint32_t>& queue : waiting_) {
    lost.insert(lost.end(), queue.begin(), queue.end());
    queue.clear();
  }
  for (std::uint32_t id : lost) {
    requests_[id].finish_iteration = -1;
    requests_[id].generated = 0;
    requests_[id].prefill_left = 0;
  }
  waiting_count_ = 0;
  prefill_.clear();
  finishes_.clear();
  admitted_.clear();
  decoding_ = 0;
  context_tokens_ = 0;
  shared_tokens_ = 0;
  promised_tokens_ = 0;
  others_waited_ = false;
  now_s_ = std::max(now_s_, up_again_s);
  return lost;
}

}  // namespace holdfast::planner
