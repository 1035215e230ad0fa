#include "holdfast/config/settings.h"

#include <unistd.h>

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "holdfast/base/units.h"
#include "toml_text.h"
#include "upstream_table.h"

namespace holdfast::config {

namespace {

using Kind = SettingKind;

constexpr SettingInfo kTable[] = {
#define HF_SETTING(kind, section, key, default_text, range, reload, text) \
  {SettingKind::k##kind, #section, #key, default_text, range, #reload, text},
#include "holdfast/config/settings.def"
#undef HF_SETTING
};

// A settings file is a few kilobytes; more is a mistake.
constexpr std::uintmax_t kFileBytesMax = 1u << 20;
constexpr std::size_t kConfDirFilesMax = 256;

std::string allowed_text(const SettingInfo& info) {
  if (info.kind == Kind::kChoice) {
    std::string out = "one of";
    std::istringstream words{std::string(info.range)};
    for (std::string w; words >> w;) out += " " + w;
    return out;
  }
  if (info.kind == Kind::kFlag) return "true or false";
  return info.range.empty() ? "" : "allowed: " + std::string(info.range);
}

// A choice like draft:NAME stands for any name that is not empty.
bool matches_choice(std::string_view choice, std::string_view text) {
  constexpr std::string_view kPlaceholder = ":NAME";
  if (!choice.ends_with(kPlaceholder)) return choice == text;
  choice.remove_suffix(kPlaceholder.size() - 1);
  return text.starts_with(choice) && text.size() > choice.size();
}

bool is_choice(const SettingInfo& info, std::string_view text) {
  std::string_view rest = info.range;
  while (true) {
    const std::size_t space = rest.find(' ');
    if (matches_choice(rest.substr(0, space), text)) return true;
    if (space == std::string_view::npos) return false;
    rest.remove_prefix(space + 1);
  }
}

Result<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size())
    return invalid_argument("not an integer");
  return v;
}

template <typename T, typename Parse>
Status check_range(const SettingInfo& info, T value, Parse parse) {
  const std::size_t dots = info.range.find("..");
  if (dots == std::string_view::npos) return ok_status();
  HF_TRY_ASSIGN(const T low, parse(info.range.substr(0, dots)));
  HF_TRY_ASSIGN(const T high, parse(info.range.substr(dots + 2)));
  if (value < low || value > high) return invalid_argument("out of range");
  return ok_status();
}

List split_list(std::string_view text) {
  List out;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    std::string_view item = text.substr(0, comma);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
    if (!item.empty()) out.emplace_back(item);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return out;
}

Result<Map> split_map(std::string_view text) {
  Map out;
  for (const std::string& item : split_list(text)) {
    const std::size_t equals = item.find('=');
    // A table as the settings file writes it would become a name that nothing ever has.
    if (equals == std::string::npos || equals == 0 || item.find_first_of("{}\" ") < equals)
      return invalid_argument("not NAME=VALUE,...");
    out[item.substr(0, equals)] = item.substr(equals + 1);
  }
  return out;
}

}  // namespace

std::span<const SettingInfo> setting_table() { return kTable; }

Environment process_environment() {
  Environment out;
  for (char** p = environ; p != nullptr && *p != nullptr; ++p) {
    const std::string_view line(*p);
    const std::size_t equals = line.find('=');
    if (equals != std::string_view::npos)
      out.emplace(line.substr(0, equals), line.substr(equals + 1));
  }
  return out;
}

std::string_view lookup(const Environment& environment, std::string_view name) {
  const auto it = environment.find(name);
  return it == environment.end() ? std::string_view() : std::string_view(it->second);
}

// Merges one source after the other into a Settings. Lives only while loading.
class Loader {
 public:
  Loader() {
    settings_.entries_.resize(std::size(kTable));
    for (std::size_t i = 0; i < std::size(kTable); ++i) {
      const Status s = set_text(i, kTable[i].default_text, "default");
      HF_CHECK(s.ok());
    }
  }

  Status read(const LoadInput& input) {
    HF_TRY(read_files(input));
    for (std::size_t i = 0; i < std::size(kTable); ++i) HF_TRY(read_variable(input.environment, i));
    const std::string_view forced = lookup(input.environment, "HOLDFAST_FORCE_ISA");
    if (!forced.empty()) {
      HF_TRY(set_text(static_cast<std::size_t>(Setting::engine_force_isa), forced,
                      "environment HOLDFAST_FORCE_ISA"));
    }
    for (const auto& [name, text] : input.flags) {
      HF_TRY_ASSIGN(const std::size_t i, find(name));
      HF_TRY(set_text(i, text, "flag --" + name));
    }
    return ok_status();
  }

  Settings take() { return std::move(settings_); }

 private:
  static Result<std::size_t> find(std::string_view name) {
    std::size_t nearest = 0;
    std::size_t distance = 4;
    for (std::size_t i = 0; i < std::size(kTable); ++i) {
      const std::size_t d = edit_distance(kTable[i].name(), name, 3);
      if (d == 0) return i;
      if (d < distance) {
        distance = d;
        nearest = i;
      }
    }
    Error e = invalid_argument("unknown setting '" + std::string(name) + "'");
    if (distance < 4)
      return std::move(e).with_hint("did you mean '" + kTable[nearest].name() + "'?");
    return std::move(e).with_hint("`holdfast config show` lists all settings");
  }

  Error refuse(std::size_t i, std::string_view text, std::string_view source) const {
    const std::string allowed = allowed_text(kTable[i]);
    return invalid_argument(std::string(source) + ": '" + std::string(text) +
                            "' is not a valid value of " + kTable[i].name() +
                            (allowed.empty() ? "" : " (" + allowed + ")"));
  }

  Result<Settings::Value> convert(const SettingInfo& info, std::string_view text) const {
    switch (info.kind) {
      case Kind::kText:
        return Settings::Value(std::string(text));
      case Kind::kChoice:
        if (!is_choice(info, text)) return invalid_argument("not a choice");
        return Settings::Value(std::string(text));
      case Kind::kFlag:
        if (text != "true" && text != "false") return invalid_argument("not a flag");
        return Settings::Value(text == "true");
      case Kind::kInteger: {
        HF_TRY_ASSIGN(const std::int64_t v, parse_integer(text));
        HF_TRY(check_range(info, v, parse_integer));
        return Settings::Value(v);
      }
      case Kind::kSize: {
        HF_TRY_ASSIGN(const std::uint64_t v, parse_size_bytes(text));
        HF_TRY(check_range(info, v, parse_size_bytes));
        return Settings::Value(v);
      }
      case Kind::kDuration: {
        HF_TRY_ASSIGN(const std::chrono::milliseconds v, parse_duration(text));
        return Settings::Value(v);
      }
      case Kind::kList:
        return Settings::Value(split_list(text));
      case Kind::kMap: {
        HF_TRY_ASSIGN(Map v, split_map(text));
        return Settings::Value(std::move(v));
      }
    }
    return internal_error("unknown kind of setting");
  }

  Status set_text(std::size_t i, std::string_view text, std::string source) {
    auto value = convert(kTable[i], text);
    if (!value.ok()) return refuse(i, text, source);
    settings_.entries_[i] = {std::move(value).value(), std::move(source)};
    return ok_status();
  }

  Status read_variable(const Environment& environment, std::size_t i) {
    std::string name =
        "HOLDFAST_" + std::string(kTable[i].section) + "_" + std::string(kTable[i].key);
    std::transform(name.begin(), name.end(), name.begin(), [](char c) {
      return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    const auto it = environment.find(name);
    return it == environment.end() ? ok_status() : set_text(i, it->second, "environment " + name);
  }

  Status read_files(const LoadInput& input) {
    const bool explicit_path = !input.config_path.empty();
    std::string path = input.config_path;
    if (!explicit_path) {
      std::string base(lookup(input.environment, "XDG_CONFIG_HOME"));
      if (base.empty()) base = std::string(lookup(input.environment, "HOME")) + "/.config";
      path = base + "/holdfast/holdfast.toml";
    }
    settings_.path_ = path;
    std::error_code ec;
    const bool there = std::filesystem::exists(path, ec);
    if (explicit_path && !there) return not_found("the configuration file does not exist", path);
    if (there) HF_TRY(read_file(path));
    std::vector<std::string> more;
    const auto folder = std::filesystem::path(path).parent_path() / "conf.d";
    for (const auto& item : std::filesystem::directory_iterator(folder, ec)) {
      if (item.path().extension() == ".toml") more.push_back(item.path().string());
      if (more.size() > kConfDirFilesMax)
        return exhausted("too many files in conf.d", folder.string());
    }
    std::sort(more.begin(), more.end());
    for (const std::string& file : more) HF_TRY(read_file(file));
    return ok_status();
  }

  Status read_file(const std::string& path) {
    std::error_code ec;
    if (std::filesystem::file_size(path, ec) > kFileBytesMax || ec) {
      return invalid_argument("the configuration file cannot be read or is larger than 1 MiB",
                              path);
    }
    std::ifstream in(path, std::ios::binary);
    if (!in) return invalid_argument("the configuration file cannot be read", path);
    try {
      return apply(toml::parse(in, path), path);
    } catch (const toml::parse_error& e) {
      return invalid_argument(path + ":" + std::to_string(e.source().begin.line) + ": " +
                              std::string(e.description()));
    }
  }

  Status apply(const toml::table& file, const std::string& path) {
    for (const auto& [section, node] : file) {
      if (section.str() == "upstream") {
        HF_TRY(read_upstreams(node, path, settings_.upstreams_));
        continue;
      }
      const toml::table* table = node.as_table();
      const std::string where = path + ":" + std::to_string(node.source().begin.line);
      if (table == nullptr) {
        return invalid_argument(where + ": '" + std::string(section.str()) +
                                "' stands outside of a [section]");
      }
      for (const auto& [key, value] : *table) {
        HF_TRY(apply_one(std::string(section.str()) + "." + std::string(key.str()), value, path));
      }
    }
    return ok_status();
  }

  Status apply_one(const std::string& name, const toml::node& node, const std::string& path) {
    const std::string source = path + ":" + std::to_string(node.source().begin.line);
    auto found = find(name);
    if (!found.ok()) {
      return Error(ErrorCode::kInvalidArgument, source + ": " + found.error().client_message())
          .with_hint(found.error().hint());
    }
    const std::size_t i = *found;
    std::ostringstream printed;
    node.visit([&printed](const auto& v) { printed << v; });
    Settings::Value value;
    if (kTable[i].kind == Kind::kList) {
      List list;
      if (!node.is_array()) return refuse(i, printed.str(), source);
      for (const auto& item : *node.as_array()) {
        if (!item.is_string()) return refuse(i, printed.str(), source);
        list.push_back(**item.as_string());
      }
      value = std::move(list);
    } else if (kTable[i].kind == Kind::kMap) {
      Map map;
      if (!node.is_table()) return refuse(i, printed.str(), source);
      for (const auto& [key, item] : *node.as_table()) {
        if (!item.is_string()) return refuse(i, printed.str(), source);
        map[std::string(key.str())] = **item.as_string();
      }
      value = std::move(map);
    } else {
      return set_scalar(i, node, printed.str(), source);
    }
    settings_.entries_[i] = {std::move(value), source};
    return ok_status();
  }

  Status set_scalar(std::size_t i, const toml::node& node, const std::string& printed,
                    const std::string& source) {
    const Kind kind = kTable[i].kind;
    const bool wants_number = kind == Kind::kInteger;
    const bool fits = (wants_number && node.is_integer()) ||
                      (kind == Kind::kFlag && node.is_boolean()) ||
                      (kind == Kind::kSize && (node.is_integer() || node.is_string())) ||
                      (!wants_number && kind != Kind::kFlag && node.is_string());
    if (!fits) return refuse(i, printed, source);
    return set_text(i, node.is_string() ? **node.as_string() : printed, source);
  }

  Settings settings_;
};

Result<Settings> Settings::load(const LoadInput& input) {
  Loader loader;
  HF_TRY(loader.read(input));
  return loader.take();
}

Settings Settings::defaults() { return Loader().take(); }

const Settings::Entry& Settings::entry(Setting s) const {
  return entries_[static_cast<std::size_t>(s)];
}

namespace {
template <typename T, typename V>
const T& typed(const V& value) {
  const T* p = std::get_if<T>(&value);
  HF_CHECK(p != nullptr);
  return *p;
}
}  // namespace

const std::string& Settings::text(Setting s) const { return typed<std::string>(entry(s).value); }
bool Settings::flag(Setting s) const { return typed<bool>(entry(s).value); }
std::int64_t Settings::integer(Setting s) const { return typed<std::int64_t>(entry(s).value); }
std::uint64_t Settings::size_bytes(Setting s) const { return typed<std::uint64_t>(entry(s).value); }
std::chrono::milliseconds Settings::duration(Setting s) const {
  return typed<std::chrono::milliseconds>(entry(s).value);
}
const List& Settings::list(Setting s) const { return typed<List>(entry(s).value); }
const Map& Settings::map(Setting s) const { return typed<Map>(entry(s).value); }
const std::string& Settings::source(Setting s) const { return entry(s).source; }

std::string Settings::to_toml(Setting s) const {
  const Value& value = entry(s).value;
  switch (kTable[static_cast<std::size_t>(s)].kind) {
    case Kind::kText:
    case Kind::kChoice:
      return toml_quoted(text(s));
    case Kind::kFlag:
      return flag(s) ? "true" : "false";
    case Kind::kInteger:
      return std::to_string(integer(s));
    case Kind::kSize:
      return std::to_string(size_bytes(s));
    case Kind::kDuration:
      return toml_quoted(std::to_string(duration(s).count()) + "ms");
    case Kind::kList: {
      std::string out = "[";
      for (const std::string& item : typed<List>(value))
        out += (out.size() > 1 ? ", " : "") + toml_quoted(item);
      return out + "]";
    }
    case Kind::kMap: {
      std::string out = "{";
      for (const auto& [k, v] : typed<Map>(value)) {
        out += (out.size() > 1 ? ", " : "") + toml_quoted(k) + " = " + toml_quoted(v);
      }
      return out + "}";
    }
  }
  return {};
}

}  // namespace holdfast::config
