// Where files of each kind belong, by the XDG base directory rules, given the environment.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "holdfast/base/result.h"

namespace holdfast::platform {

// The environment is read once, by core/config, and passed on.
using EnvironmentMap = std::map<std::string, std::string, std::less<>>;

struct UserDirectories {
  std::string config;   // $XDG_CONFIG_HOME or ~/.config
  std::string data;     // $XDG_DATA_HOME or ~/.local/share
  std::string state;    // $XDG_STATE_HOME or ~/.local/state
  std::string cache;    // $XDG_CACHE_HOME or ~/.cache
  std::string runtime;  // $XDG_RUNTIME_DIR; empty where unset
};

// Relative values of XDG variables are ignored, as the rules demand. kNotFound where neither HOME
// nor the password database gives a home directory.
Result<UserDirectories> user_directories(const EnvironmentMap& environment);

// `holdfast` below each of them is the caller's business. "~" and "~/x" become the home directory;
// other text is returned as it is.
std::string expand_home(const std::string& path, const EnvironmentMap& environment);

// A snapshot of this process's environment; only core/config and composition roots call it.
EnvironmentMap read_environment();

}  // namespace holdfast::platform
