// Load for `plan pilot`: requests of a trace or of a generator, sent to a live server at their
// times, and what its users would have seen.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/http/client.h"

namespace holdfast::cli {

inline constexpr std::size_t kPilotRequestsMax = 20'000;
inline constexpr std::size_t kPilotWorkersMax = 128;
inline constexpr double kPilotRateMax = 100;  // requests/s
inline constexpr double kPilotMinutesMax = 60;

struct PilotRequest {
  double at_s = 0;
  std::uint32_t prompt_tokens = 1;
  std::uint32_t answer_tokens = 1;
};

struct PilotShape {
  double rate_rps = 0;   // of generated requests
  double seconds = 120;  // requests after that are left out
  double isl = 512;      // mean lengths of generated requests
  double osl = 128;
  std::uint32_t context = 4096;  // prompt and answer are cut to fit
  std::uint64_t seed = 1;
};

// "synthetic:poisson", "synthetic:burst" (gaps as in published code completion) or
// "synthetic:diurnal" (a day in the time that there is); anything else is the text of a trace.
// kInvalidArgument for a rate or a trace without requests in that time, kExhausted for too many.
Result<std::vector<PilotRequest>> pilot_requests(const std::string& kind,
                                                 std::string_view trace_csv,
                                                 const PilotShape& shape);

// What one request saw.
struct PilotSeen {
  bool ok = false;
  std::string error;
  double late_s = 0;  // behind its time when it was sent
  double ttft_s = 0;
  double tpot_s = 0;   // 0: fewer than two tokens
  double begin_s = 0;  // since the start of the load
  double end_s = 0;
  std::uint32_t prompt_tokens = 0;  // as the server counted
  std::uint32_t answer_tokens = 0;
};

struct PilotTarget {
  http::Endpoint endpoint;
  std::string key;  // empty: none
  std::string model;
  const std::atomic<bool>* stop = nullptr;
};

// A text of about so many tokens, other than that of any other `number`.
std::string filler_prompt(std::uint32_t tokens, std::uint64_t number);

// Sends each request at its time, at most `workers` at once; a request whose time came while all
// were busy is late. In the order of the requests. `on_progress` is told how many are done, from
// any thread. kExhausted where threads are not to be had, kCancelled after `stop`.
Result<std::vector<PilotSeen>> run_pilot(const PilotTarget& target,
                                         const std::vector<PilotRequest>& requests,
                                         std::size_t workers,
                                         const std::function<void(std::size_t)>& on_progress);

struct PilotSummary {
  std::size_t requests = 0;
  std::size_t failed = 0;
  double ttft_p50_ms = 0;
  double ttft_p99_ms = 0;
  double tpot_p50_ms = 0;
  double tpot_p99_ms = 0;
  double output_tps = 0;  // over the time from the first request to the last answer
  double running = 0;     // requests at the same time, on average
  double late_p99_s = 0;
};
PilotSummary summarize_pilot(const std::vector<PilotSeen>& seen);

}  // namespace holdfast::cli
