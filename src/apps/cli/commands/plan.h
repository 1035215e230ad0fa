// The parts of `holdfast plan`, each in a file of its own.
#pragma once

#include <memory>
#include <string>

#include "../command.h"
#include "../plan_documents.h"
#include "holdfast/planner/plan.h"

namespace holdfast::cli {

// Flags of `plan` that its commands share: the inputs, and what is written.
struct PlanCommand {
  PlanFlags inputs;
  std::string out;
  std::string html;
  std::string save;  // of the interview
  std::string language = "en";
  bool explain = false;
};
using PlanCommandPtr = std::shared_ptr<PlanCommand>;

// A leaf of `plan` that takes its flags too.
CLI::App& add_plan_leaf(CLI::App& plan, const char* name, const char* text);

// A plan of these inputs. kInvalidArgument as parse_problem().
Result<planner::Plan> plan_of(const PlanSources& sources, bool sensitivity = true);
// Prints it, or writes it where the flags say.
Status show_plan(const Context& context, const PlanCommand& command, const PlanSources& sources,
                 const planner::Plan& plan);
// Canonical JSON, one line.
std::string plan_json_text(const planner::Plan& plan);
// Inputs of a command that needs some. kInvalidArgument where none are given.
Result<PlanSources> needed_sources(const Context& context, const PlanCommand& command);

void add_plan_fit(Registrar& r, CLI::App& plan);
void add_plan_interview(Registrar& r, CLI::App& plan, const PlanCommandPtr& command);
void add_plan_pilot(Registrar& r, CLI::App& plan, const PlanCommandPtr& command);
void add_plan_prices(Registrar& r, CLI::App& plan, const PlanCommandPtr& command);
void add_plan_probe(Registrar& r, CLI::App& plan);
void add_plan_validate(Registrar& r, CLI::App& plan, const PlanCommandPtr& command);
void add_plan_what_if(Registrar& r, CLI::App& plan, const PlanCommandPtr& command);

// The interview on a terminal, then the plan: `plan` without inputs.
Status run_interview(Context& context, const PlanCommand& command);

}  // namespace holdfast::cli
