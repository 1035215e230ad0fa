#include "holdfast/cli/cli.h"

#include <algorithm>
#include <functional>

#include "command.h"
#include "engine_config.h"
#include "holdfast/base/units.h"
#include "output.h"

namespace holdfast::cli {

namespace {

constexpr const char* kAbout = "Holdfast runs open-weight language models on hardware you own.";

// Types of options as "0..2 (default 0.7)", where the library would print "FLOAT:FLOAT in [0 -
// 2]=0.7".
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0) return "";
    std::string type = option->get_type_name();
    const std::size_t range = type.find(" in [");
    if (range != std::string::npos) {
      type = type.substr(range + 5, type.size() - range - 6);
      if (const std::size_t dash = type.find(" - "); dash != std::string::npos)
        type.replace(dash, 3, "..");
    }
    if (const std::size_t words = type.find(":{"); words != std::string::npos) {
      type = type.substr(words + 2, type.size() - words - 3);
      std::replace(type.begin(), type.end(), ',', '|');
    }
    std::string out = " " + type;
    if (option->get_expected_max() > 1) out += "...";
    if (!option->get_default_str().empty()) out += " (default " + option->get_default_str() + ")";
    return out;
  }
};

// "holdfast eval tokens".
std::string path_of(const CLI::App* app) {
  const CLI::App* parent = app->get_parent();
  return (parent == nullptr ? "" : path_of(parent) + " ") + app->get_name();
}

std::string help_of(const CLI::App* app) {
  return app->help(app->get_parent() == nullptr ? "" : path_of(app->get_parent()));
}

// The parser's tree with everything that it fills in.
struct Tree {
  CLI::App root{kAbout, "holdfast"};
  GlobalFlags flags;
  Registrar registrar{root, flags};
  bool version = false;

  Tree() {
    root.formatter(std::make_shared<HelpFormatter>());
    add_global_flags();
    add_setting_flags();
    add_run(registrar);
    add_serve(registrar);
    add_import(registrar);
    add_export(registrar);
    add_sign(registrar);
    add_pull(registrar);
    add_quantize(registrar);
    add_store(registrar);
    add_server(registrar);
    add_key(registrar);
    add_seal(registrar);
    add_policy(registrar);
    add_backup(registrar);
    add_tokenize(registrar);
    add_route(registrar);
    add_eval(registrar);
    add_bench(registrar);
    add_plan(registrar);
    add_doctor(registrar);
    add_config(registrar);
    add_completion(registrar);
    add_version(registrar);
  }

  void add_global_flags() {
    root.fallthrough();
    root.set_help_flag("-h,--help", "Show this help and exit");
    root.set_help_all_flag("--help-all", "Show the help of all commands and exit");
    root.add_flag("--version", version, "Show the version and exit");
    root.add_option("--host", flags.host, "Server to talk to")->type_name("URL|unix:PATH");
    root.add_option("--config", flags.config_path, "Configuration file")->type_name("FILE");
    root.add_option("--data-dir", flags.data_dir, "Folder of models and state")->type_name("DIR");
    root.add_option("--format", flags.format, "Output format: table, wide, json or yaml")
        ->check(CLI::IsMember({"table", "wide", "json", "yaml"}))
        ->type_name("FORMAT");
    root.add_flag("--json", flags.json, "Same as --format json");
    root.add_flag("--no-trunc", flags.no_trunc, "Print ids in full");
    root.add_flag("-q,--quiet", flags.quiet, "Print ids only; no progress");
    root.add_flag("-v,--verbose", flags.verbose, "Print more");
    root.add_option("--color", flags.color, "Escape codes: auto, always or never")
        ->check(CLI::IsMember({"auto", "always", "never"}))
        ->type_name("WHEN");
    root.add_flag("-y,--yes", flags.yes, "Answer yes to every question");
    root.add_option("--timeout", flags.timeout, "Give up after this time, such as 30s")
        ->type_name("DURATION");
    root.add_flag("--no-progress", flags.no_progress, "Show no progress");
  }

  void add_setting_flags() {
    for (const config::SettingInfo& info : config::setting_table()) {
      const std::string name = info.name();
      root.add_option_function<std::string>(
              "--" + name,
              [this, name](const std::string& value) { flags.settings.emplace_back(name, value); },
              std::string(info.text))
          ->type_name("VALUE")
          ->group("");  // listed by `config show` and the reference, not by every --help
    }
  }
};

// The command that was chosen, as deep as the arguments went.
CLI::App* chosen(CLI::App* app) {
  const auto deeper = app->get_subcommands();
  return deeper.empty() ? app : chosen(deeper.front());
}

void collect_names(const CLI::App& app, std::vector<std::string>& flags) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
}

std::string nearest(const std::string& word, const std::vector<std::string>& names) {
  std::string best;
  std::size_t distance = 3;
  for (const std::string& name : names) {
    const std::size_t d = edit_distance(word, name, 2);
    if (d < distance) {
      distance = d;
      best = name;
    }
  }
  return best;
}

// CLI11's message says what; this adds what to do next.
Error explain(const CLI::ParseError& error, CLI::App& root) {
  const std::string where = path_of(chosen(&root));
  std::string message = error.what();
  std::replace(message.begin(), message.end(), '\n', ' ');
  return invalid_argument(message).with_hint("see `" + where + " --help`");
}

// Words that name no command, and flags that do not exist, before anything else is looked at.
Status check_words(const std::vector<std::string>& extras, CLI::App& root) {
  if (extras.empty()) return ok_status();
  CLI::App* command = chosen(&root);
  const std::string& word = extras.front();
  std::vector<std::string> names;
  if (word.starts_with("-")) {
    collect_names(root, names);
    if (command != &root) collect_names(*command, names);
    const std::string best = nearest(word.substr(0, word.find('=')), names);
    Error e = invalid_argument("unknown flag " + word);
    return std::move(e).with_hint(best.empty() ? "see `holdfast --help`"
                                               : "did you mean " + best + "?");
  }
  const auto commands = command->get_subcommands([](const CLI::App*) { return true; });
  if (commands.empty()) {
    return invalid_argument("unexpected argument '" + word + "'")
        .with_hint("see `" + path_of(command) + " --help`");
  }
  for (const CLI::App* c : commands) {
    names.push_back(c->get_name());
    for (const std::string& alias : c->get_aliases()) names.push_back(alias);
  }
  const std::string best = nearest(word, names);
  const std::string prefix = command == &root ? "" : command->get_name() + " ";
  return invalid_argument("unknown command '" + prefix + word + "'")
      .with_hint(best.empty() ? "`holdfast --help` lists all commands"
                              : "did you mean '" + prefix + best + "'?");
}

Status load_settings(Context& context) {
  HF_TRY_ASSIGN(context.settings, read_settings(context));
  HF_TRY(check_engine_settings(context.settings));
  const auto variable = [&](const char* name) {
    return std::string(config::lookup(context.environment, name));
  };
  context.data_dir = context.flags.data_dir;
  if (context.data_dir.empty()) context.data_dir = variable("HOLDFAST_DATA_DIR");
  if (context.data_dir.empty()) {
    std::string base = variable("XDG_DATA_HOME");
    if (base.empty() && !variable("HOME").empty()) base = variable("HOME") + "/.local/share";
    if (base.empty()) {
      return invalid_argument("there is no home directory to keep models in")
          .with_hint("give one with --data-dir DIR");
    }
    context.data_dir = base + "/holdfast";
  }
  return ok_status();
}

int fail(const Context& context, const Error& error) {
  print_error(context, error);
  return error_code_exit_status(error.code());
}

int dispatch(Tree& tree, Context& context) {
  CLI::App* command = chosen(&tree.root);
  const Action* action = tree.registrar.action_of(command);
  if (tree.version && command == &tree.root) {
    for (CLI::App* c : tree.root.get_subcommands([](const CLI::App*) { return true; })) {
      if (c->get_name() == "version") action = tree.registrar.action_of(c);
    }
  }
  if (action == nullptr) {
    print(help_of(command));
    return command == &tree.root ? 0 : 2;
  }
  const Status status = (*action)(context);
  if (!status.ok()) return fail(context, status.error());
  return context.exit_status.value_or(0);
}

}  // namespace

Result<config::Settings> read_settings(const Context& context) {
  config::LoadInput input;
  input.environment = context.environment;
  input.config_path = context.flags.config_path.empty()
                          ? std::string(config::lookup(context.environment, "HOLDFAST_CONFIG"))
                          : context.flags.config_path;
  input.flags = context.flags.settings;
  return config::Settings::load(input);
}

int run(std::span<const std::string> arguments, const config::Environment& environment) {
  Tree tree;
  Context context;
  context.environment = environment;
  tree.root.allow_extras();
  for (CLI::App* c : tree.root.get_subcommands([](const CLI::App*) { return true; }))
    c->allow_extras();
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    tree.root.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    print(help_of(chosen(&tree.root)));
    return 0;
  } catch (const CLI::CallForAllHelp&) {
    print(tree.root.help("", CLI::AppFormatMode::All));
    return 0;
  } catch (const CLI::ParseError& error) {
    context.flags = tree.flags;
    return fail(context, explain(error, tree.root));
  }
  context.flags = tree.flags;
  if (const Status s = check_words(tree.root.remaining(true), tree.root); !s.ok())
    return fail(context, s.error());
  if (const Status s = load_settings(context); !s.ok()) return fail(context, s.error());
  return dispatch(tree, context);
}

std::string reference_markdown() {
  Tree tree;
  std::string out =
      "# Commands\n\nGenerated from the declarations in the code; `holdfast COMMAND --help` prints "
      "the same.\n";
  const std::function<void(CLI::App&)> describe = [&](CLI::App& app) {
    out += "\n## " + path_of(&app) + "\n\n```\n" + help_of(&app) + "```\n";
    for (CLI::App* c : app.get_subcommands([](const CLI::App*) { return true; })) describe(*c);
  };
  describe(tree.root);
  return out;
}

}  // namespace holdfast::cli
