// `holdfast plan interview`: a plan for those who have no files yet.
#include "../plan_interview.h"

#include <unistd.h>

#include <algorithm>

#include "../local_model.h"
#include "../output.h"
#include "../plan_documents.h"
#include "holdfast/planner/report.h"
#include "holdfast/planner/shipped.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/platform/terminal.h"
#include "plan.h"

namespace holdfast::cli {

namespace {

Result<InterviewFacts> facts_of(const Context& context, bool portuguese) {
  InterviewFacts facts;
  facts.portuguese = portuguese;
  for (const planner::ModelShape& m : planner::shipped_models()) facts.models.push_back(m.id);
  PlanSources user;
  HF_TRY(add_user_files(context, user));
  for (const planner::ModelShape& m : user.inputs.extra_models) facts.models.push_back(m.id);
  planner::DeviceTable devices = planner::shipped_devices();
  devices.merge(std::move(user.inputs.extra_devices));
  for (const planner::Device& d : devices.all()) facts.devices.push_back(d.id);
  if (!platform::PosixFileSystem().exists(context.data_dir)) return facts;
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  HF_TRY_ASSIGN(const registry::Listing listing, store->list());
  for (const registry::ModelRecord& m : listing.models)
    if (!m.facts.vocab_only) facts.models.push_back(m.name.shown());
  return facts;
}

// A file name, or empty for none.
Result<std::string> ask_file(const Conversation& talk, const std::string& prompt) {
  HF_TRY_ASSIGN(const std::optional<std::string> line, talk.ask(prompt));
  return line.value_or("");
}

// The answers as a plan reads them, from a file in memory.
Result<PlanSources> sources_of(const Context& context, const PlanFlags& flags,
                               json::Object document) {
  HF_TRY_ASSIGN(PlanSources sources, read_plan_sources(context, flags));
  sources.inputs.document = std::move(document);
  HF_TRY(expand_plan_models(context, sources));
  return sources;
}

Status offer_files(const Conversation& talk, const PlanCommand& command, bool terminal,
                   const std::string& toml, const planner::Plan& plan) {
  const bool portuguese = command.language.starts_with("pt");
  std::string save = command.save;
  if (save.empty() && terminal) {
    HF_TRY_ASSIGN(save, ask_file(talk, portuguese ? "Guardar as respostas em que arquivo? [nenhum] "
                                                  : "Keep the answers in which file? [none] "));
  }
  if (!save.empty()) {
    HF_TRY(write_text(save, toml));
    talk.say((portuguese ? "Para planejar de novo: " : "To plan again: ") +
             std::string("holdfast plan --workload ") + save);
  }
  if (!command.html.empty() || !terminal) return ok_status();
  HF_TRY_ASSIGN(const std::string html,
                ask_file(talk, portuguese ? "Guardar o plano como página em? [nenhum] "
                                          : "Keep the plan as a page in? [none] "));
  if (html.empty()) return ok_status();
  HF_TRY_ASSIGN(const planner::Language language, planner::parse_language(command.language));
  return write_text(html, planner::report_html(plan, language));
}

}  // namespace

Status run_interview(Context& context, const PlanCommand& command) {
  HF_TRY_ASSIGN(const planner::Language language, planner::parse_language(command.language));
  HF_TRY_ASSIGN(const InterviewFacts facts,
                facts_of(context, language == planner::Language::kPortuguese));
  const bool terminal = platform::is_terminal(STDIN_FILENO);
  // Questions are no data: they go to standard error.
  platform::LineEditor editor(STDIN_FILENO, STDERR_FILENO);
  Conversation talk;
  talk.ask = [&](const std::string& prompt) {
    if (!terminal) notice(context, prompt);
    return editor.read_line(prompt);
  };
  talk.say = [&](const std::string& text) { notice(context, text); };
  HF_TRY_ASSIGN(json::Object document, interview(facts, talk));
  const std::string toml = interview_toml(document);
  HF_TRY_ASSIGN(const PlanSources sources,
                sources_of(context, command.inputs, std::move(document)));
  HF_TRY_ASSIGN(const planner::Plan made, plan_of(sources));
  HF_TRY(show_plan(context, command, sources, made));
  return offer_files(talk, command, terminal, toml, made);
}

void add_plan_interview(Registrar& r, CLI::App& plan, const PlanCommandPtr& command) {
  CLI::App& c = add_plan_leaf(plan, "interview",
                              "Ten questions, each with a default, and the plan: what `plan` does "
                              "on a terminal without files");
  c.add_option("--save", command->save, "Write the answers there, as TOML for --workload")
      ->type_name("FILE");
  r.bind(c, [command](Context& context) -> Status {
    if (command->inputs.any_document())
      return invalid_argument("an interview takes no --workload, --models or --constraints")
          .with_hint("leave out `interview` to plan from files");
    return run_interview(context, *command);
  });
}

}  // namespace holdfast::cli
