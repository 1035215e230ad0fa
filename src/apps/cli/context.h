// Context: what every command gets - settings, global flags and where its output goes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/config/settings.h"
#include "holdfast/json/json.h"

namespace holdfast::cli {

enum class Format : std::uint8_t { kTable, kWide, kJson, kYaml };

// Flags that every command takes.
struct GlobalFlags {
  std::string host;
  std::string config_path;
  std::string data_dir;
  std::string format = "table";
  std::string color = "auto";
  std::string timeout;
  bool json = false;
  bool no_trunc = false;
  bool quiet = false;
  bool verbose = false;
  bool yes = false;
  bool no_progress = false;
  std::vector<std::pair<std::string, std::string>> settings;  // --section.key VALUE
};

// Owner: run(), for the life of one command. Thread-compatible.
struct Context {
  config::Environment environment;
  GlobalFlags flags;
  config::Settings settings = config::Settings::defaults();
  std::string data_dir;
  // Set by a command that was ended by a signal but did nothing wrong: 130 or 143.
  std::optional<int> exit_status;

  Format format() const;
  bool json() const { return format() == Format::kJson; }
  // Progress is shown: standard error is wanted for it.
  bool progress() const { return !flags.quiet && !flags.no_progress; }
  // Escape codes may be written to that descriptor.
  bool color(int fd) const;
};

// The settings as files, environment and flags give them now.
Result<config::Settings> read_settings(const Context& context);

}  // namespace holdfast::cli
