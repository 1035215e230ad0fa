// Whether a model fits on a machine, what would fit, and how fast it would be: `plan fit` and
// POST /holdfast/v1/fit.
#pragma once

#include <cstdint>
#include <string>

#include "context.h"
#include "holdfast/base/result.h"
#include "holdfast/json/json.h"
#include "holdfast/planner/device.h"

namespace holdfast::cli {

struct FitQuestion {
  std::string model;           // a path, a name of the store, or one that the planner knows
  std::string device;          // id; empty: this machine
  std::uint32_t context = 0;   // tokens of a sequence; 0: the model's own, or what fits
  std::uint32_t parallel = 1;  // sequences at the same time
  bool files = true;           // whether `model` may be a path
};

// {model, quant, device, context, parallel, fits, reason, memory{...}, largest{context, parallel},
// quants[], speed{...}}: docs/reference/http.md. On this machine memory is decided as an engine
// does when it loads the model; elsewhere, and for models that our engine does not run, by the
// planner's formulas. kNotFound for a model or device that nobody knows, kInvalidArgument.
Result<json::Object> answer_fit(const Context& context, const FitQuestion& question);

// This machine as a device: of the user's hardware.csv, of the calibration, or measured now, which
// takes a second.
Result<planner::Device> this_machine(const Context& context);

}  // namespace holdfast::cli
