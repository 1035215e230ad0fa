// Typed settings: defaults, files, environment and flags, merged in that order. The table is
// settings.def.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/config/upstream.h"

namespace holdfast::config {

enum class Setting : std::uint8_t {
#define HF_SETTING(kind, section, key, default_text, range, reload, text) section##_##key,
#include "holdfast/config/settings.def"
#undef HF_SETTING
};

enum class SettingKind : std::uint8_t {
  kText,
  kFlag,
  kInteger,
  kSize,
  kDuration,
  kChoice,
  kList,
  kMap
};

struct SettingInfo {
  SettingKind kind;
  std::string_view section;
  std::string_view key;
  std::string_view default_text;
  std::string_view range;  // "1..32" of numbers, words of a choice separated by spaces
  std::string_view reload;
  std::string_view text;
  std::string name() const { return std::string(section) + "." + std::string(key); }
};

// All settings in the order of the table.
std::span<const SettingInfo> setting_table();

// Variables of the process, copied once at start. Tests give their own.
using Environment = std::map<std::string, std::string, std::less<>>;
Environment process_environment();
// The value, or empty.
std::string_view lookup(const Environment& environment, std::string_view name);

using List = std::vector<std::string>;
using Map = std::map<std::string, std::string, std::less<>>;

struct LoadInput {
  Environment environment;
  std::string config_path;  // of --config or HOLDFAST_CONFIG; empty:
                            // $XDG_CONFIG_HOME/holdfast/holdfast.toml
  std::vector<std::pair<std::string, std::string>> flags;  // name "section.key" and text
};

// The effective settings. Immutable after loading; thread-safe.
class Settings {
 public:
  // kInvalidArgument names file, line, value and the allowed range, or the nearest setting of an
  // unknown name.
  static Result<Settings> load(const LoadInput& input);
  static Settings defaults();

  // Precondition: the setting has that kind (HF_CHECK). kChoice is text.
  const std::string& text(Setting s) const;
  bool flag(Setting s) const;
  std::int64_t integer(Setting s) const;
  std::uint64_t size_bytes(Setting s) const;
  std::chrono::milliseconds duration(Setting s) const;
  const List& list(Setting s) const;
  const Map& map(Setting s) const;

  // Where the value comes from: "default", a file with line, "environment NAME" or "flag --NAME".
  const std::string& source(Setting s) const;
  // As it would be written in TOML.
  std::string to_toml(Setting s) const;
  // In the order of the files, each name once.
  const std::vector<UpstreamSettings>& upstreams() const { return upstreams_; }
  // The file that was read, or would be.
  const std::string& path() const { return path_; }

 private:
  using Value = std::variant<std::string, bool, std::int64_t, std::uint64_t,
                             std::chrono::milliseconds, List, Map>;
  struct Entry {
    Value value;
    std::string source;
  };
  friend class Loader;
  Settings() = default;
  const Entry& entry(Setting s) const;
  std::vector<Entry> entries_;
  std::vector<UpstreamSettings> upstreams_;
  std::string path_;
};

}  // namespace holdfast::config
