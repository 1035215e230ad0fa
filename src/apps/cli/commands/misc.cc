// `holdfast version`, `completion`, `config`.
#include <openssl/crypto.h>
#include <boost/version.hpp>

#include "../command.h"
#include "../engine_config.h"
#include "../output.h"
#include "../tls_files.h"
#include "../version.h"
#include "holdfast/kernels/select.h"
#include "holdfast/platform/cpu.h"

namespace holdfast::cli {

namespace {

json::Object version_json() {
  json::Array isas;
  for (const kernels::KernelTable* t :
       kernels::available_kernels(platform::CpuFeatures::detect())) {
    isas.push_back(std::string(t->isa));
  }
  json::Object out{{"version", kVersion},
                   {"compiler", __VERSION__},
                   {"isa", isas.back()},
                   {"isa_available", isas},
                   {"libraries", json::Object{{"openssl", OpenSSL_version(OPENSSL_VERSION_STRING)},
                                              {"boost", BOOST_LIB_VERSION}}}};
#ifdef HOLDFAST_TEST_HOOKS
  out.set("test_hooks", true);
#endif
  return out;
}

std::vector<std::string> command_names(CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* c : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(c->get_name());
  return names;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& w : words) out += (out.empty() ? "" : " ") + w;
  return out;
}

std::string flags_of(const CLI::App& app) {
  std::string out;
  for (const CLI::Option* o : app.get_options()) {
    if (o->get_group().empty()) continue;
    for (const std::string& name : o->get_lnames()) out += (out.empty() ? "--" : " --") + name;
  }
  return out;
}

// Model names are asked for at the time of completion, so they are always those of now.
constexpr const char* kModelCommands = "run chat show rm cp tokenize bench serve load unload";

std::string bash_completion(CLI::App& root) {
  std::string cases;
  for (CLI::App* c : root.get_subcommands([](const CLI::App*) { return true; })) {
    const std::string nested = joined(command_names(*c));
    cases += "    " + c->get_name() + ") words=\"" + flags_of(*c) +
             (nested.empty() ? "" : " " + nested) + "\" ;;\n";
  }
  return "_holdfast() {\n  local cur=${COMP_WORDS[COMP_CWORD]} words=\"\"\n  if [ \"$COMP_CWORD\" "
         "-eq 1 ]; then words=\"" +
         joined(command_names(root)) + "\"; else case ${COMP_WORDS[1]} in\n" + cases +
         "  esac\n  case \" " + kModelCommands +
         " \" in *\" ${COMP_WORDS[1]} \"*) words=\"$words $(holdfast ls --quiet 2>/dev/null)\" ;; "
         "esac; fi\n  words=\"$words " +
         flags_of(root) +
         "\"\n  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n  case ${COMP_WORDS[1]} in "
         "import|run|eval) "
         "COMPREPLY+=($(compgen -f -- \"$cur\")) ;; esac\n}\ncomplete -o filenames -F _holdfast "
         "holdfast\n";
}

std::string zsh_completion(CLI::App& root) {
  return "#compdef holdfast\nautoload -U +X bashcompinit && bashcompinit\n" + bash_completion(root);
}

std::string fish_completion(CLI::App& root) {
  std::string out = "complete -c holdfast -f\n";
  for (CLI::App* c : root.get_subcommands([](const CLI::App*) { return true; })) {
    out += "complete -c holdfast -n __fish_use_subcommand -a " + c->get_name() + " -d '" +
           c->get_description() + "'\n";
    for (const CLI::Option* o : c->get_options()) {
      for (const std::string& name : o->get_lnames()) {
        out += "complete -c holdfast -n '__fish_seen_subcommand_from " + c->get_name() + "' -l " +
               name + "\n";
      }
    }
  }
  return out + "complete -c holdfast -n '__fish_seen_subcommand_from " + kModelCommands +
         "' -a '(holdfast ls --quiet 2>/dev/null)'\ncomplete -c holdfast -n "
         "'__fish_seen_subcommand_from import run eval' -F\n";
}

Status show_config(Context& context) {
  json::Array document;
  Table table({"SETTING", "VALUE", "SOURCE"});
  const auto settings = config::setting_table();
  for (std::size_t i = 0; i < settings.size(); ++i) {
    const auto s = static_cast<config::Setting>(i);
    table.add({settings[i].name(), context.settings.to_toml(s), context.settings.source(s)});
    document.push_back(json::Object{{"name", settings[i].name()},
                                    {"value", context.settings.to_toml(s)},
                                    {"source", context.settings.source(s)},
                                    {"description", std::string(settings[i].text)}});
  }
  for (const config::UpstreamSettings& upstream : context.settings.upstreams()) {
    for (const auto& [key, value] : upstream.shown()) {
      const std::string name = "upstream." + upstream.name + "." + key;
      table.add({name, value, upstream.source});
      document.push_back(json::Object{{"name", name},
                                      {"value", value},
                                      {"source", upstream.source},
                                      {"description", "See docs/operating/upstreams.md."}});
    }
  }
  print_list(context, table, std::move(document));
  return ok_status();
}

}  // namespace

void add_version(Registrar& r) {
  CLI::App& c = r.add("version", "Show the version, instruction sets and libraries");
  r.bind(c, [](Context& context) -> Status {
    json::Object v = version_json();
    if (context.json()) {
      print_json(std::move(v));
    } else {
      const bool hooks = v.find("test_hooks") != nullptr;
      print("holdfast " + std::string(kVersion) + " (" + v.find("isa")->as_string() +
            (hooks ? ", with test hooks" : "") + ")\n");
    }
    return ok_status();
  });
}

void add_completion(Registrar& r) {
  CLI::App& c = r.add("completion", "Print a completion script for a shell");
  auto shell = std::make_shared<std::string>();
  c.add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  r.bind(c, [shell, root = &r.root()](Context&) -> Status {
    print(*shell == "bash"  ? bash_completion(*root)
          : *shell == "zsh" ? zsh_completion(*root)
                            : fish_completion(*root));
    return ok_status();
  });
}

void add_config(Registrar& r) {
  CLI::App& c = r.add("config", "Show and check the configuration");
  CLI::App* show = c.add_subcommand("show", "Effective settings with the source of each");
  show->fallthrough();
  r.bind(*show, show_config);
  CLI::App* path = c.add_subcommand("path", "The configuration file that is read");
  path->fallthrough();
  r.bind(*path, [](Context& context) -> Status {
    print(context.settings.path() + "\n");
    return ok_status();
  });
  CLI::App* check = c.add_subcommand("check", "Check a configuration file");
  check->fallthrough();
  auto file = std::make_shared<std::string>();
  check->add_option("FILE", *file, "The file; without one the effective configuration is checked");
  r.bind(*check, [file](Context& context) -> Status {
    config::LoadInput input;
    input.environment = context.environment;
    input.config_path = *file;
    HF_TRY_ASSIGN(const config::Settings settings, config::Settings::load(input));
    HF_TRY(check_engine_settings(settings));
    HF_TRY(load_tls(settings));
    print("ok: " + settings.path() + "\n");
    return ok_status();
  });
}

}  // namespace holdfast::cli
