// `holdfast plan`: which way to run a model, and what it takes and costs.
#include "plan.h"

#include <unistd.h>

#include <utility>

#include "../output.h"
#include "../plan_text.h"
#include "../version.h"
#include "holdfast/json/json.h"
#include "holdfast/planner/explain.h"
#include "holdfast/planner/report.h"
#include "holdfast/platform/terminal.h"

namespace holdfast::cli {

namespace {

void tell_user_files(const Context& context, const PlanSources& sources) {
  if (sources.user_files.empty()) return;
  std::string text = "using " + context.data_dir + "/planner:";
  for (const std::string& f : sources.user_files) text += " " + f;
  notice(context, text);
}

Status plan(Context& context, const PlanCommand& command) {
  HF_TRY(planner::parse_language(command.language));
  const bool asked = !command.inputs.any_document();
  if (asked && platform::is_terminal(STDIN_FILENO) && !context.json())
    return run_interview(context, command);
  HF_TRY_ASSIGN(const PlanSources sources, needed_sources(context, command));
  HF_TRY_ASSIGN(const planner::Plan made, plan_of(sources));
  return show_plan(context, command, sources, made);
}

// Without a quantity: those that the recommended option has.
Status list_quantities(Context& context, const planner::Plan& made) {
  json::Array list;
  std::string text;
  for (const planner::PlanOption& o : made.options) {
    if (o.status != planner::OptionStatus::kRecommended) continue;
    for (const std::string& name : planner::quantities(o)) {
      list.emplace_back(name);
      text += name + "\n";
    }
    break;
  }
  if (context.json()) {
    print_json(list);
  } else {
    print(text.empty() ? "nothing is recommended, so there is nothing to explain\n" : text);
  }
  return ok_status();
}

Status explain(Context& context, const PlanCommand& command, const std::string& quantity) {
  HF_TRY_ASSIGN(const planner::Language language, planner::parse_language(command.language));
  HF_TRY_ASSIGN(const PlanSources sources, needed_sources(context, command));
  HF_TRY_ASSIGN(const planner::Problem problem, problem_of(sources));
  HF_TRY_ASSIGN(const planner::Plan made, plan_of(sources, false));
  if (quantity.empty()) return list_quantities(context, made);
  HF_TRY_ASSIGN(const std::string text,
                planner::explain_quantity(made, problem, quantity, language));
  if (context.json()) {
    print_json(json::Object{
        {"quantity", quantity}, {"recommended", made.recommended.value_or("")}, {"text", text}});
  } else {
    print(text);
  }
  return ok_status();
}

void add_explain(Registrar& r, CLI::App& plan_app, const PlanCommandPtr& command) {
  CLI::App& c = add_plan_leaf(plan_app, "explain",
                              "Where a figure of the recommended option comes from; files are "
                              "given as for `plan`");
  auto quantity = std::make_shared<std::string>();
  c.add_option("QUANTITY", *quantity,
               "A quantity of the recommended option, or QUANTITY@OPTION of another; without it "
               "their names are listed");
  r.bind(c,
         [command, quantity](Context& context) { return explain(context, *command, *quantity); });
}

void add_flags(CLI::App& c, const PlanCommandPtr& command) {
  PlanCommand& f = *command;
  const auto file = [&c](const char* flag, std::string& into, const char* text) {
    c.add_option(flag, into, text)->type_name("FILE");
  };
  file("--workload", f.inputs.workload, "Requests, lengths, limits: TOML or JSON; - is stdin");
  file("--models", f.inputs.models, "Models: [[models]] with name, or file = \"x.gguf\"");
  file("--constraints", f.inputs.constraints, "Privacy, budget, hardware at hand, team, sites");
  file("--prices", f.inputs.prices, "Price book, which goes before the prices built in");
  file("--hardware", f.inputs.hardware, "More devices: CSV with the columns of hardware.csv");
  file("--trace", f.inputs.trace, "Requests: CSV TIMESTAMP,ContextTokens,GeneratedTokens");
  file("--calibration", f.inputs.calibration, "Measurements, as `bench --calibrate` writes them");
  c.add_option("--seed", f.inputs.seed, "Seed of the simulation (default 1)");
  c.add_option("--date", f.inputs.date, "Day for which prices must be fresh; without it today")
      ->type_name("YYYY-MM-DD");
  file("-o,--out,--output", f.out, "Write plan.json there");
  c.add_flag("--explain", f.explain, "Print every rule, threshold and default");
  file("--html", f.html, "Write the plan there as a page for screen and paper");
  c.add_option("--language", f.language, "Language of questions and report: en or pt")
      ->capture_default_str();
}

}  // namespace

CLI::App& add_plan_leaf(CLI::App& plan, const char* name, const char* text) {
  CLI::App* leaf = plan.add_subcommand(name, text);
  leaf->fallthrough();
  return *leaf;
}

Result<PlanSources> needed_sources(const Context& context, const PlanCommand& command) {
  if (!command.inputs.any_document()) {
    return invalid_argument("there is nothing to plan: no workload and no models")
        .with_hint("give --workload FILE and --models FILE, or run `holdfast plan` on a terminal");
  }
  HF_TRY_ASSIGN(PlanSources sources, read_plan_sources(context, command.inputs));
  tell_user_files(context, sources);
  return sources;
}

Result<planner::Plan> plan_of(const PlanSources& sources, bool sensitivity) {
  HF_TRY_ASSIGN(const planner::Problem problem, problem_of(sources));
  planner::PlanOptions options;
  options.version = kVersion;
  options.sensitivity = sensitivity;
  return planner::make_plan(problem, planner::Efficiencies::shipped(), options);
}

std::string plan_json_text(const planner::Plan& plan) {
  return json::write(planner::plan_json(plan)) + "\n";
}

Status show_plan(const Context& context, const PlanCommand& command, const PlanSources& /*sources*/,
                 const planner::Plan& plan) {
  HF_TRY_ASSIGN(const planner::Language language, planner::parse_language(command.language));
  if (!command.out.empty()) HF_TRY(write_text(command.out, plan_json_text(plan)));
  if (!command.html.empty()) HF_TRY(write_text(command.html, planner::report_html(plan, language)));
  if (context.flags.quiet) {
    print(plan.recommended.value_or("none") + "\n");
  } else if (context.format() == Format::kYaml) {
    print(to_yaml(planner::plan_json(plan)));
  } else if (context.json()) {
    print(plan_json_text(plan));
  } else {
    print(planner::report_text(plan, language, terminal_width()));
    if (command.explain) print(explanation_text(plan, language == planner::Language::kPortuguese));
  }
  return ok_status();
}

void add_plan(Registrar& r) {
  CLI::App& c = r.add("plan",
                      "Plan what a model takes: which machine or service, how fast, what it costs. "
                      "Without files, on a terminal, it asks");
  auto command = std::make_shared<PlanCommand>();
  add_flags(c, command);
  c.footer(
      "Examples:\n"
      "  holdfast plan                                       ask, then plan\n"
      "  holdfast plan --workload w.toml --html plan.html    plan from files\n"
      "  holdfast plan what-if workload.users=500 --workload w.toml\n"
      "  holdfast plan fit llama-3.1-8b --context 8192 --parallel 4\n\n"
      "w.toml: [workload] users = 120, isl = 1500, osl = 350; [[models]] name = "
      "\"llama-3.1-8b\"");
  r.bind(c, [command](Context& context) { return plan(context, *command); });
  add_plan_interview(r, c, command);
  add_plan_what_if(r, c, command);
  add_explain(r, c, command);
  add_plan_fit(r, c);
  add_plan_probe(r, c);
  add_plan_pilot(r, c, command);
  add_plan_prices(r, c, command);
  add_plan_validate(r, c, command);
}

}  // namespace holdfast::cli
