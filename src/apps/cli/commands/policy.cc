// `holdfast policy`: what models may be used for.
#include "../command.h"
#include "../local_model.h"
#include "../output.h"

namespace holdfast::cli {

namespace {

Status set_stage(Context& context, const std::string& name, const std::string& stage_text) {
  HF_TRY_ASSIGN(const registry::Stage stage, registry::parse_stage(stage_text));
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  HF_TRY_ASSIGN(const registry::ModelRecord model, store->set_stage(name, stage));
  if (context.json()) {
    print_json_line(json::Object{{"model", model.name.full()}, {"stage", stage_text}});
  } else {
    print(model.name.shown() + (context.flags.quiet ? "" : " is " + stage_text) + "\n");
  }
  return ok_status();
}

}  // namespace

void add_policy(Registrar& r) {
  CLI::App& c = r.add("policy", "What models may be used for: stage");
  CLI::App& stage = *c.add_subcommand(
      "stage", "Set the stage of a model: candidate, production, or retired (not served)");
  stage.fallthrough();
  auto name = std::make_shared<std::string>();
  auto text = std::make_shared<std::string>();
  stage.add_option("MODEL", *name, "Name of the model")->required();
  stage.add_option("STAGE", *text, "candidate, production or retired")->required();
  r.bind(stage, [name, text](Context& context) { return set_stage(context, *name, *text); });
}

}  // namespace holdfast::cli
