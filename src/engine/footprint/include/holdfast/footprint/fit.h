// Which context and how many pages of keys and values fit under a limit: the decision that an
// engine takes when it loads a model, and the planner before there is one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <variant>

#include "holdfast/base/result.h"
#include "holdfast/footprint/plan.h"

namespace holdfast::footprint {

// A context below this helps nobody: then the model is refused instead of being cut down.
inline constexpr std::uint32_t kContextWorthHaving = 512;
// KV memory where nothing is said: so many contexts, but at most one part in so many of the memory.
inline constexpr std::uint32_t kContextsPlanned = 9;
inline constexpr std::uint64_t kKvShare = 3;
// Bounds the page tables of a hostile or mistaken configuration: 2^22 pages are 134 M tokens.
inline constexpr std::uint64_t kPagesMax = std::uint64_t{1} << 22;

struct FitRequest {
  std::uint64_t weights_bytes = 0;  // with all else that is there whatever the context
  std::uint64_t page_bytes = 0;     // > 0; kv_page_bytes(), a draft model's added
  std::uint32_t context = 0;       // tokens of a sequence; 0: context_max, or the largest that fits
  std::uint32_t context_max = 0;   // the model's own; > 0 where `context` is 0
  std::uint64_t kv_tokens = 0;     // capacity of one tenant's sequences together; 0: planned
  std::uint32_t sequences = 1;     // of one tenant, >= 1
  std::uint32_t places = 1;        // sequences of all: those and guests; >= `sequences`
  std::uint64_t limit_bytes = 0;   // 0: none
  std::uint64_t kv_bytes_max = 0;  // 0: what the limit leaves
};

// Work space of a model loaded for so many tokens a sequence; grows with them. An error of it is a
// context that the model cannot have.
using ScratchBytes = std::function<Result<std::uint64_t>(std::uint32_t context)>;

struct Fit {
  std::uint32_t context = 0;
  std::size_t pages = 0;
  MemoryPlan plan;       // process_bytes is the caller's
  bool reduced = false;  // the model's own context did not fit
};

struct NoFit {
  Error error;                     // kExhausted, with all numbers and the largest context that fits
  std::uint64_t limit_bytes = 0;   // with kExhausted: what may be used
  std::uint64_t needed_bytes = 0;  // and what is needed for one sequence of the context
};

// The context: what was asked for, or nothing; where nothing was asked for, context_max or the
// largest multiple of a page that fits, if it is worth having. The pages: one context's at least;
// then what kv_tokens asks for, or planned: a context for each place, up to kContextsPlanned, and
// up to a third of the limit; never more than limit, kv_bytes_max and kPagesMax allow. NoFit with
// the error of `scratch` where that refuses the wanted context.
std::variant<Fit, NoFit> fit(const FitRequest& request, const ScratchBytes& scratch);

}  // namespace holdfast::footprint
