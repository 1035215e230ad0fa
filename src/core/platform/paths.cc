#include "holdfast/platform/paths.h"

#include <pwd.h>
#include <unistd.h>

#include <string_view>
#include <vector>

namespace holdfast::platform {
namespace {

std::string home_directory(const EnvironmentMap& environment) {
  const auto home = environment.find("HOME");
  if (home != environment.end() && home->second.starts_with('/')) return home->second;
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16 * 1024);
  if (::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found) != 0 ||
      found == nullptr) {
    return {};
  }
  const std::string_view directory = found->pw_dir;
  return directory.starts_with('/') ? std::string(directory) : std::string();
}

}  // namespace

Result<UserDirectories> user_directories(const EnvironmentMap& environment) {
  const std::string home = home_directory(environment);
  const auto pick = [&](std::string_view variable, std::string_view below_home) -> std::string {
    const auto it = environment.find(variable);
    if (it != environment.end() && it->second.starts_with('/')) return it->second;
    return home.empty() ? std::string() : home + "/" + std::string(below_home);
  };
  UserDirectories d;
  d.config = pick("XDG_CONFIG_HOME", ".config");
  d.data = pick("XDG_DATA_HOME", ".local/share");
  d.state = pick("XDG_STATE_HOME", ".local/state");
  d.cache = pick("XDG_CACHE_HOME", ".cache");
  const auto runtime = environment.find("XDG_RUNTIME_DIR");
  if (runtime != environment.end() && runtime->second.starts_with('/')) d.runtime = runtime->second;
  if (d.config.empty() || d.data.empty() || d.state.empty() || d.cache.empty()) {
    return not_found("no home directory", "neither HOME nor the password database names one")
        .with_hint("set HOME, or give the data directory explicitly");
  }
  return d;
}

std::string expand_home(const std::string& path, const EnvironmentMap& environment) {
  if (path != "~" && !path.starts_with("~/")) return path;
  const std::string home = home_directory(environment);
  return home.empty() ? path : home + path.substr(1);
}

EnvironmentMap read_environment() {
  EnvironmentMap out;
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

}  // namespace holdfast::platform
