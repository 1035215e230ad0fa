// The configuration of a running server: read again on request, refused whole or taken.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/config/settings.h"
#include "holdfast/json/json.h"

namespace holdfast::cli {

// Owner: serve. Everything runs on the loop's thread.
class LiveConfig {
 public:
  struct Hooks {
    std::function<Result<config::Settings>()> load;
    // Whether the server could run with these: whatever can fail must fail here. May prepare what
    // apply() then uses.
    std::function<Status(const config::Settings& next)> check;
    // Puts the settings of class `live` into force.
    std::function<void(const config::Settings& next)> apply;
  };
  LiveConfig(config::Settings started_with, Hooks hooks)
      : started_with_(started_with), settings_(std::move(started_with)), hooks_(std::move(hooks)) {}

  // The settings in force, for those of class `live`. The others are what the server started with.
  const config::Settings& settings() const { return settings_; }

  // {"changed":[{"name","from","to","source","reload"}],"live":[names],"restart":[names]}: `live`
  // took effect now, `restart` waits for the next start, also since an earlier reload. An error
  // leaves everything as it was; it names files without their folders.
  Result<json::Object> reload();
  // {"name","value","source","reload","pending","description"} of every setting. `pending`: the
  // value that a restart would bring, else null.
  json::Array show() const;

 private:
  bool is_live(std::size_t setting) const;

  const config::Settings started_with_;
  config::Settings settings_;
  Hooks hooks_;
};

}  // namespace holdfast::cli
