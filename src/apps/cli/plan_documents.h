// What a plan is made of, read from files: documents in TOML or JSON, tables of hardware, prices
// and traces, and the user's own files in DATA_DIR/planner.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "context.h"
#include "holdfast/base/result.h"
#include "holdfast/json/json.h"
#include "holdfast/planner/problem.h"
#include "plan_calibration.h"

namespace holdfast::cli {

// Paths of the documents; empty: not given, "-": standard input (one of them at most).
struct PlanFlags {
  std::string workload;
  std::string models;
  std::string constraints;
  std::string prices;
  std::string hardware;
  std::string trace;
  std::string calibration;
  std::optional<std::uint64_t> seed;
  std::string date;  // YYYY-MM-DD; empty: today, UTC
  bool any_document() const {
    return !workload.empty() || !models.empty() || !constraints.empty() || !trace.empty();
  }
};

struct PlanSources {
  planner::ProblemInputs inputs;
  std::map<std::string, std::string> file_of_table;  // where each top-level table is from
  std::vector<std::string>
      user_files;  // of DATA_DIR/planner, that were read: "hardware.csv (devices: 1)"
};

// Tables of a document: JSON (by its extension or its first character) or TOML. kInvalidArgument
// names the file and the line.
Result<json::Value> parse_document(std::string_view text, const std::string& name);

// Merges all documents; the first table that two of them give is kInvalidArgument that names both.
// Adds the user's files: rows and prices of flags come before theirs. Models with `file`, and names
// that only the store knows, become exact sizes. kNotFound, kIo for files.
Result<PlanSources> read_plan_sources(const Context& context, const PlanFlags& flags);

// Replaces `file` of models by what their headers say, and adds the sizes of models that the store
// alone knows. Errors name models[i].file or models[i].name.
Status expand_plan_models(const Context& context, PlanSources& sources);

// The same from one object of a request (docs/reference/http.md, POST /holdfast/v1/plan): sections,
// and "prices", "hardware_csv", "trace_csv", "date". No files of the requester's choosing are read:
// kInvalidArgument for models[].file.
Result<PlanSources> plan_sources_of_request(const Context& context, json::Value body);

// parse_problem(), with the file of the table as a hint.
Result<planner::Problem> problem_of(const PlanSources& sources);

// The user's own devices, prices, models and calibrations. A file that is not there adds nothing.
Status add_user_files(const Context& context, PlanSources& sources);

// Exact sizes of models of the store, by name, for calibrations that measured them. `context` must
// outlive it.
ShapeOf shapes_of_store(const Context& context);
// At most `bytes_max` of a file, or of standard input for "-".
Result<std::string> read_text(const std::string& path, std::uint64_t bytes_max);
// Whole or not at all. kIo, kDenied name the path.
Status write_text(const std::string& path, std::string_view text);

}  // namespace holdfast::cli
