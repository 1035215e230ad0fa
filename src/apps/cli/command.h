// Declares the commands. Each file commands/*.cc declares its own and binds what it does.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "context.h"
#include "holdfast/base/result.h"

namespace holdfast::cli {

// What a command does after all arguments are parsed and the settings are loaded. A failure is
// printed by run().
using Action = std::function<Status(Context&)>;

// Where command files register: the parser's tree, and one action per leaf.
class Registrar {
 public:
  Registrar(CLI::App& root, GlobalFlags& flags) : root_(root), flags_(flags) {}

  // A command of the top level, with its aliases ("ls" also answers to "list").
  CLI::App& add(const std::string& name, const std::string& text,
                const std::vector<std::string>& aliases = {});
  void bind(CLI::App& command, Action action);
  // A flag that is a short form of a setting: `--threads 4` is `--engine.threads 4`. With a prefix,
  // `--draft small` is `--engine.speculation draft:small`.
  void setting_flag(CLI::App& command, const std::string& flag, const std::string& setting,
                    const std::string& text, const std::string& prefix = "");

  CLI::App& root() { return root_; }
  const Action* action_of(const CLI::App* command) const;

 private:
  CLI::App& root_;
  GlobalFlags& flags_;
  std::vector<std::pair<const CLI::App*, Action>> actions_;
};

void add_version(Registrar& r);
void add_completion(Registrar& r);
void add_config(Registrar& r);
void add_doctor(Registrar& r);
void add_import(Registrar& r);
void add_export(Registrar& r);
void add_sign(Registrar& r);    // sign, verify
void add_backup(Registrar& r);  // backup, restore
void add_plan(Registrar& r);
void add_policy(Registrar& r);
void add_pull(Registrar& r);
void add_quantize(Registrar& r);
void add_store(Registrar& r);  // ls, show, rm, cp
void add_tokenize(Registrar& r);
void add_route(Registrar& r);  // route ls
void add_run(Registrar& r);    // run, chat
void add_serve(Registrar& r);
void add_seal(Registrar& r);
void add_server(Registrar& r);  // ps, load, unload
void add_key(Registrar& r);
void add_eval(Registrar& r);
void add_bench(Registrar& r);

}  // namespace holdfast::cli
