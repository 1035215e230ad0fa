#include "command.h"

namespace holdfast::cli {

CLI::App& Registrar::add(const std::string& name, const std::string& text,
                         const std::vector<std::string>& aliases) {
  CLI::App* command = root_.add_subcommand(name, text);
  for (const std::string& alias : aliases) command->alias(alias);
  command->fallthrough();
  return *command;
}

void Registrar::bind(CLI::App& command, Action action) {
  actions_.emplace_back(&command, std::move(action));
}

void Registrar::setting_flag(CLI::App& command, const std::string& flag, const std::string& setting,
                             const std::string& text, const std::string& prefix) {
  command
      .add_option_function<std::string>(
          flag,
          [this, setting, prefix](const std::string& value) {
            flags_.settings.emplace_back(setting, prefix + value);
          },
          text + " (" + setting + ")")
      ->type_name(prefix.empty() ? "VALUE" : "MODEL");
}

const Action* Registrar::action_of(const CLI::App* command) const {
  for (const auto& [app, action] : actions_) {
    if (app == command) return &action;
  }
  return nullptr;
}

}  // namespace holdfast::cli
