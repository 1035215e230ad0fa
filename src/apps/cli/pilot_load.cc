#include "pilot_load.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <optional>
#include <thread>
#include <utility>

#include "holdfast/http/sse.h"
#include "holdfast/json/json.h"
#include "holdfast/planner/arrivals.h"
#include "holdfast/planner/problem.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/thread.h"

namespace holdfast::cli {

namespace {

constexpr std::string_view kSynthetic = "synthetic:";
constexpr double kPauseMax = 0.05;  // seconds until `stop` is looked at
// The code trace of the specification, section 10.
constexpr planner::Burstiness kBursts{174, 13, 72, 164};
constexpr std::array<std::string_view, 32> kWords{
    "time",    "year",    "people",   "way",    "day",    "man",    "thing",   "woman",
    "life",    "child",   "world",    "school", "state",  "family", "student", "group",
    "country", "problem", "hand",     "part",   "place",  "case",   "week",    "company",
    "system",  "program", "question", "work",   "number", "night",  "point",   "home"};

std::uint32_t whole(double tokens, std::uint32_t most) {
  return static_cast<std::uint32_t>(std::clamp(std::round(tokens), 1.0, std::max(1.0, most * 1.0)));
}

PilotRequest request_of(double at_s, double isl, double osl, std::uint32_t context) {
  PilotRequest r;
  r.at_s = at_s;
  r.answer_tokens = whole(osl, context / 2);
  r.prompt_tokens = whole(isl, context - r.answer_tokens - std::min(16u, context / 8));
  return r;
}

Result<std::vector<PilotRequest>> generated(std::string_view kind, const PilotShape& shape) {
  planner::Arrivals arrivals;
  arrivals.rate = planner::PerSecond(shape.rate_rps);
  if (kind == "burst") {
    arrivals.shape = kBursts;
  } else if (kind != "poisson" && kind != "diurnal") {
    return invalid_argument("there is no load synthetic:" + std::string(kind.substr(0, 40)))
        .with_hint("synthetic:poisson, synthetic:burst or synthetic:diurnal");
  }
  if (!(shape.rate_rps > 0 && shape.rate_rps <= kPilotRateMax))
    return invalid_argument("--rate: must be above 0 and at most 100 requests a second");
  HF_TRY(planner::check_arrivals(arrivals));
  planner::ArrivalTimes times(arrivals, shape.seed);
  planner::Random random(shape.seed + 1);
  const planner::LengthSampler isl({.mean = shape.isl, .cv = 1});
  const planner::LengthSampler osl({.mean = shape.osl, .cv = 1});
  std::vector<PilotRequest> out;
  for (double at = times.next_s(); at < shape.seconds; at = times.next_s()) {
    // A day in that time: twice the rate at noon, none at midnight, by leaving requests out.
    const double keep = kind == "diurnal" ? std::sin(M_PI * at / shape.seconds) : 1;
    const PilotRequest r =
        request_of(at, isl(random.uniform()), osl(random.uniform()), shape.context);
    if (random.uniform() > keep) continue;
    out.push_back(r);
    if (out.size() > kPilotRequestsMax) break;
  }
  return out;
}

json::Object body_of(const std::string& model, const PilotRequest& r, std::uint64_t number) {
  return {{"model", model},
          {"prompt", filler_prompt(r.prompt_tokens, number)},
          {"max_tokens", r.answer_tokens},
          {"temperature", 0},
          {"ignore_eos", true},
          {"stream", true},
          {"stream_options", json::Object{{"include_usage", true}}}};
}

double now_s() { return static_cast<double>(platform::system_clock().monotonic_ns()) * 1e-9; }

std::uint32_t count_of(const json::Value& usage, const char* key) {
  const json::Value* v = usage.find(key);
  return v != nullptr && v->is_int() && v->as_int() > 0 && v->as_int() < (std::int64_t{1} << 31)
             ? static_cast<std::uint32_t>(v->as_int())
             : 0;
}

// Reads the events of one answer.
class AnswerClock {
 public:
  void event(std::string_view data) {
    if (data == "[DONE]") return;
    const auto parsed = json::parse(data);
    if (!parsed.ok()) return;
    if (const json::Value* error = parsed->find("error"); error != nullptr)
      error_ = json::write(*error).substr(0, 300);
    if (const json::Value* usage = parsed->find("usage"); usage != nullptr && usage->is_object()) {
      prompt_ = count_of(*usage, "prompt_tokens");
      answer_ = count_of(*usage, "completion_tokens");
    }
    const json::Value* choices = parsed->find("choices");
    if (choices == nullptr || !choices->is_array() || choices->as_array().empty()) return;
    last_ = now_s();
    if (first_ == 0) first_ = last_;
  }

  void fill(double begin, PilotSeen& seen) const {
    seen.prompt_tokens = prompt_;
    seen.answer_tokens = answer_;
    seen.error = error_;
    seen.ok = error_.empty() && first_ > 0 && answer_ > 0;
    if (!seen.ok && seen.error.empty()) seen.error = "no answer";
    seen.ttft_s = std::max(0.0, first_ - begin);
    if (answer_ > 1) seen.tpot_s = (last_ - first_) / (answer_ - 1);
  }

 private:
  double first_ = 0;
  double last_ = 0;
  std::uint32_t prompt_ = 0;
  std::uint32_t answer_ = 0;
  std::string error_;
};

PilotSeen ask(http::Client& client, const PilotTarget& target, const PilotRequest& r,
              std::uint64_t number) {
  http::ClientRequest request;
  request.method = "POST";
  request.path = "/v1/completions";
  request.headers.add("Content-Type", "application/json");
  if (!target.key.empty()) request.headers.add("Authorization", "Bearer " + target.key);
  request.body = json::write(body_of(target.model, r, number));
  AnswerClock clock;
  http::SseReader reader([&](std::string_view, std::string_view data) { clock.event(data); });
  PilotSeen seen;
  const double begin = now_s();
  const auto response =
      client.request(request, [&](const http::ClientResponse& head, std::string_view bytes) {
        if (head.status == 200) reader.feed(bytes);
        return true;
      });
  clock.fill(begin, seen);
  if (!response.ok()) {
    seen.ok = false;
    seen.error = response.error().client_message();
  } else if (response->status != 200) {
    seen.ok = false;
    seen.error = "status " + std::to_string(response->status);
  }
  return seen;
}

// Workers that take the next request each.
class Load {
 public:
  Load(const PilotTarget& target, const std::vector<PilotRequest>& requests,
       const std::function<void(std::size_t)>& on_progress)
      : target_(target), requests_(requests), on_progress_(on_progress), seen_(requests.size()) {}

  void work() {
    http::ClientOptions options;
    options.stop = target_.stop;
    http::Client client(target_.endpoint, options);
    for (std::size_t i = next_++; i < requests_.size() && !stopped(); i = next_++) {
      const double due = begin_ + requests_[i].at_s;
      while (!stopped()) {
        const double left = due - now_s();
        if (left <= 0) break;
        platform::pause_for(
            std::chrono::nanoseconds(static_cast<std::int64_t>(std::min(left, kPauseMax) * 1e9)));
      }
      const double sent = now_s();
      seen_[i] = ask(client, target_, requests_[i], i);
      seen_[i].late_s = std::max(0.0, sent - due);
      seen_[i].begin_s = sent - begin_;
      seen_[i].end_s = now_s() - begin_;
      on_progress_(++done_);
    }
  }
  bool stopped() const { return target_.stop != nullptr && *target_.stop; }
  std::vector<PilotSeen> take() { return std::move(seen_); }

 private:
  const PilotTarget& target_;
  const std::vector<PilotRequest>& requests_;
  const std::function<void(std::size_t)>& on_progress_;
  const double begin_ = now_s();
  std::vector<PilotSeen> seen_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<std::size_t> done_ = 0;
};

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double rank = std::ceil(share * static_cast<double>(values.size()));
  return values[static_cast<std::size_t>(std::max(1.0, rank)) - 1];
}

}  // namespace

Result<std::vector<PilotRequest>> pilot_requests(const std::string& kind,
                                                 std::string_view trace_csv,
                                                 const PilotShape& shape) {
  std::vector<PilotRequest> out;
  if (std::string_view(kind).starts_with(kSynthetic)) {
    HF_TRY_ASSIGN(out, generated(std::string_view(kind).substr(kSynthetic.size()), shape));
  } else {
    HF_TRY_ASSIGN(const auto rows, planner::parse_trace(trace_csv, kind));
    for (const planner::TraceRow& row : rows) {
      if (row.at_s >= shape.seconds || out.size() > kPilotRequestsMax) break;
      out.push_back(request_of(row.at_s, row.isl, row.osl, shape.context));
    }
  }
  if (out.empty()) return invalid_argument(kind + ": there is no request in that time");
  if (out.size() > kPilotRequestsMax) {
    return exhausted(kind + ": more than " + std::to_string(kPilotRequestsMax) + " requests")
        .with_hint("replay less of it with --minutes");
  }
  return out;
}

std::string filler_prompt(std::uint32_t tokens, std::uint64_t number) {
  planner::Random random(number * 0x9e3779b97f4a7c15ULL + 7);
  std::string out;
  for (std::uint32_t i = 0; i < tokens; ++i) {
    if (i > 0) out += ' ';
    out += kWords[random.next() % kWords.size()];
  }
  return out;
}

Result<std::vector<PilotSeen>> run_pilot(const PilotTarget& target,
                                         const std::vector<PilotRequest>& requests,
                                         std::size_t workers,
                                         const std::function<void(std::size_t)>& on_progress) {
  Load load(target, requests, on_progress);
  std::vector<std::thread> threads;
  std::optional<Error> refused;
  for (std::size_t i = 0; i < std::min({workers, requests.size(), kPilotWorkersMax}); ++i) {
    auto started = platform::start_thread("hf-pilot", [&load] { load.work(); });
    if (!started.ok()) {
      refused = started.error();
      break;
    }
    threads.push_back(std::move(*started));
  }
  for (std::thread& t : threads) t.join();
  if (threads.empty() && refused) return *refused;
  if (load.stopped()) return cancelled("the pilot was stopped");
  return load.take();
}

PilotSummary summarize_pilot(const std::vector<PilotSeen>& seen) {
  PilotSummary out;
  out.requests = seen.size();
  std::vector<double> ttft;
  std::vector<double> tpot;
  std::vector<double> late;
  double tokens = 0;
  double busy = 0;
  double end = 0;
  for (const PilotSeen& s : seen) {
    late.push_back(s.late_s);
    if (!s.ok) {
      ++out.failed;
      continue;
    }
    ttft.push_back(s.ttft_s * 1e3);
    if (s.tpot_s > 0) tpot.push_back(s.tpot_s * 1e3);
    tokens += s.answer_tokens;
    busy += s.end_s - s.begin_s;
    end = std::max(end, s.end_s);
  }
  out.ttft_p50_ms = percentile(ttft, 0.5);
  out.ttft_p99_ms = percentile(ttft, 0.99);
  out.tpot_p50_ms = percentile(tpot, 0.5);
  out.tpot_p99_ms = percentile(tpot, 0.99);
  out.late_p99_s = percentile(late, 0.99);
  if (end > 0) {
    out.output_tps = tokens / end;
    out.running = busy / end;
  }
  return out;
}

}  // namespace holdfast::cli
