#include "upstream_table.h"

#include <algorithm>
#include <functional>
#include <string_view>

#include "holdfast/base/units.h"
#include "toml_text.h"

namespace holdfast::config {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kNameBytesMax = 64;
constexpr std::size_t kModelsMax = 256;
constexpr std::size_t kListItemsMax = 256;
constexpr std::size_t kTextBytesMax = 4096;
constexpr milliseconds kTimeoutMax = std::chrono::hours(24);
constexpr std::int64_t kConcurrencyMax = 4096;
constexpr std::int64_t kContextMax = std::int64_t{1} << 32;
constexpr const char* kNative = "native";

struct Key {
  const char* name;
  const char* allowed;
  std::function<bool(const toml::node&, UpstreamSettings&)> read;
};

bool plain(std::string_view text) {
  return text.size() <= kTextBytesMax && std::all_of(text.begin(), text.end(), [](char c) {
           return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
         });
}

auto text_of(std::string UpstreamSettings::*field) {
  return [field](const toml::node& node, UpstreamSettings& u) {
    if (!node.is_string() || !plain(**node.as_string())) return false;
    u.*field = **node.as_string();
    return true;
  };
}

auto duration_of(milliseconds UpstreamSettings::*field) {
  return [field](const toml::node& node, UpstreamSettings& u) {
    if (!node.is_string()) return false;
    const auto value = parse_duration(**node.as_string());
    if (!value.ok() || *value < milliseconds(1) || *value > kTimeoutMax) return false;
    u.*field = *value;
    return true;
  };
}

template <typename T>
auto number_of(T UpstreamSettings::*field, std::int64_t low, std::int64_t high) {
  return [=](const toml::node& node, UpstreamSettings& u) {
    if (!node.is_integer()) return false;
    const std::int64_t value = **node.as_integer();
    if (value < low || value > high) return false;
    u.*field = static_cast<T>(value);
    return true;
  };
}

auto list_of(std::vector<std::string> UpstreamSettings::*field) {
  return [field](const toml::node& node, UpstreamSettings& u) {
    if (!node.is_array() || node.as_array()->size() > kListItemsMax) return false;
    for (const toml::node& item : *node.as_array()) {
      if (!item.is_string() || !plain(**item.as_string())) return false;
      (u.*field).push_back(**item.as_string());
    }
    return true;
  };
}

bool read_kind(const toml::node& node, UpstreamSettings& u) {
  if (!node.is_string()) return false;
  const std::string& kind = **node.as_string();
  u.kind = kind == "process" ? UpstreamKind::kProcess : UpstreamKind::kOpenAi;
  return kind == "process" || kind == "openai";
}

bool read_credential(const toml::node& node, UpstreamSettings& u) {
  return text_of(&UpstreamSettings::credential)(node, u) &&
         (u.credential.empty() || u.credential.starts_with("file:/") ||
          (u.credential.starts_with(kKeyringPrefix) &&
           is_credential_name(std::string_view(u.credential).substr(kKeyringPrefix.size()))));
}

bool read_models(const toml::node& node, UpstreamSettings& u) {
  if (!node.is_table() || node.as_table()->empty() || node.as_table()->size() > kModelsMax)
    return false;
  for (const auto& [theirs, ours] : *node.as_table()) {
    if (!ours.is_string() || ours.as_string()->get().empty() || !plain(theirs.str()) ||
        !plain(**ours.as_string()))
      return false;
    u.models[std::string(theirs.str())] = **ours.as_string();
  }
  return true;
}

bool read_size(const toml::node& node, UpstreamSettings& u) {
  if (!node.is_string() && !node.is_integer()) return false;
  const auto value =
      parse_size_bytes(node.is_string() ? **node.as_string() : std::to_string(**node.as_integer()));
  if (!value.ok()) return false;
  u.address_space_max = *value;
  return true;
}

const std::vector<Key>& keys() {
  using U = UpstreamSettings;
  static const std::vector<Key> kKeys = {
      {"kind", "openai or process", read_kind},
      {"url", "text", text_of(&U::url)},
      {"credential", "\"file:/PATH\" or \"keyring:NAME\"", read_credential},
      {"ca", "a file", text_of(&U::ca)},
      {"models", "{\"theirs\" = \"ours\"}, 1 to 256", read_models},
      {"concurrency", "1..4096", number_of(&U::concurrency, 1, kConcurrencyMax)},
      {"context_length", "0..4294967296", number_of(&U::context_length, 0, kContextMax)},
      {"connect_timeout", "1ms..24h", duration_of(&U::connect_timeout)},
      {"first_token_timeout", "1ms..24h", duration_of(&U::first_token_timeout)},
      {"idle_timeout", "1ms..24h", duration_of(&U::idle_timeout)},
      {"timeout", "1ms..24h", duration_of(&U::timeout)},
      {"command", "a list of text", list_of(&U::command)},
      {"model_file", "a file", text_of(&U::model_file)},
      {"health", "a path", text_of(&U::health)},
      {"start_timeout", "1ms..24h", duration_of(&U::start_timeout)},
      {"read", "a list of paths", list_of(&U::read)},
      {"write", "a list of paths", list_of(&U::write)},
      {"address_space_max", "a size", read_size},
  };
  return kKeys;
}

Error unknown_key(const std::string& where, const std::string& name, std::string_view key) {
  std::size_t distance = 4;
  std::string nearest;
  for (const Key& known : keys()) {
    const std::size_t d = edit_distance(known.name, key, 3);
    if (d < distance) {
      distance = d;
      nearest = known.name;
    }
  }
  Error e = invalid_argument(where + ": unknown setting 'upstream." + name + "." +
                             std::string(key) + "'");
  if (nearest.empty()) return e;
  return std::move(e).with_hint("did you mean '" + nearest + "'?");
}

bool contains(const std::vector<std::string>& command, std::string_view part) {
  return std::any_of(command.begin(), command.end(),
                     [&](const std::string& word) { return word.find(part) != std::string::npos; });
}

// What the kind needs and what it has no use for.
std::string complaint(const UpstreamSettings& u, const toml::table& table) {
  if (!table.contains("kind")) return "needs kind";
  if (u.models.empty()) return "needs models";
  if (u.kind == UpstreamKind::kOpenAi) {
    if (u.url.empty()) return "needs url";
    for (const char* key : {"command", "model_file", "health", "start_timeout", "read", "write",
                            "address_space_max"}) {
      if (table.contains(key)) return std::string("of kind openai has no ") + key;
    }
    return "";
  }
  for (const char* key : {"url", "ca", "credential"}) {
    if (table.contains(key)) return std::string("of kind process has no ") + key;
  }
  if (u.command.empty() || !u.command.front().starts_with("/"))
    return "needs a command that begins with the absolute path of a program";
  if (!contains(u.command, "{port}")) return "needs {port} in its command";
  if (contains(u.command, "{model}") && u.model_file.empty())
    return "needs model_file, as its command names {model}";
  if (!u.health.starts_with("/")) return "needs a health path that begins with /";
  return "";
}

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && name != kNative &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
         });
}

Result<UpstreamSettings> read_one(const std::string& name, const toml::node& node,
                                  const std::string& path) {
  const std::string where = path + ":" + std::to_string(node.source().begin.line);
  if (!node.is_table()) return invalid_argument(where + ": upstream." + name + " is not a table");
  if (!is_name(name)) {
    return invalid_argument(where + ": '" + name +
                            "' cannot name an upstream (1 to 64 of a-z 0-9 _ -, not 'native')");
  }
  UpstreamSettings out;
  out.name = name;
  out.source = where;
  for (const auto& [key, value] : *node.as_table()) {
    const std::string at = path + ":" + std::to_string(value.source().begin.line);
    const auto known = std::find_if(keys().begin(), keys().end(),
                                    [&](const Key& k) { return key.str() == k.name; });
    if (known == keys().end()) return unknown_key(at, name, key.str());
    if (!known->read(value, out)) {
      return invalid_argument(at + ": not a valid value of upstream." + name + "." + known->name +
                              " (allowed: " + known->allowed + ")");
    }
  }
  if (const std::string text = complaint(out, *node.as_table()); !text.empty())
    return invalid_argument(where + ": upstream." + name + " " + text);
  return out;
}

std::string quoted(std::string_view text) { return toml_quoted(text); }

std::string quoted(const std::vector<std::string>& items) {
  std::string out = "[";
  for (const std::string& item : items) out += (out.size() > 1 ? ", " : "") + quoted(item);
  return out + "]";
}

std::string quoted(milliseconds value) { return quoted(std::to_string(value.count()) + "ms"); }

}  // namespace

const char* upstream_kind_name(UpstreamKind kind) {
  return kind == UpstreamKind::kProcess ? "process" : "openai";
}

std::vector<std::pair<std::string, std::string>> UpstreamSettings::shown() const {
  std::string map = "{";
  for (const auto& [theirs, ours] : models)
    map += (map.size() > 1 ? ", " : "") + quoted(theirs) + " = " + quoted(ours);
  std::vector<std::pair<std::string, std::string>> out = {
      {"kind", quoted(upstream_kind_name(kind))},
      {"models", map + "}"},
      {"concurrency", std::to_string(concurrency)},
      {"context_length", std::to_string(context_length)},
      {"connect_timeout", quoted(connect_timeout)},
      {"first_token_timeout", quoted(first_token_timeout)},
      {"idle_timeout", quoted(idle_timeout)},
      {"timeout", quoted(timeout)}};
  if (kind == UpstreamKind::kOpenAi) {
    out.insert(out.end(), {{"url", quoted(url)},
                           {"credential", quoted(credential.empty() ? "" : "***")},
                           {"ca", quoted(ca)}});
  } else {
    out.insert(out.end(), {{"command", quoted(command)},
                           {"model_file", quoted(model_file)},
                           {"health", quoted(health)},
                           {"start_timeout", quoted(start_timeout)},
                           {"read", quoted(read)},
                           {"write", quoted(write)},
                           {"address_space_max", std::to_string(address_space_max)}});
  }
  return out;
}

Status read_upstreams(const toml::node& node, const std::string& path,
                      std::vector<UpstreamSettings>& into) {
  if (!node.is_table()) return invalid_argument(path + ": 'upstream' is not a table of tables");
  for (const auto& [name, value] : *node.as_table()) {
    HF_TRY_ASSIGN(UpstreamSettings one, read_one(std::string(name.str()), value, path));
    const auto known =
        std::find_if(into.begin(), into.end(), [&](const auto& u) { return u.name == one.name; });
    if (known != into.end()) {
      *known = std::move(one);
    } else if (into.size() < kUpstreamsMax) {
      into.push_back(std::move(one));
    } else {
      return invalid_argument(path + ": more than " + std::to_string(kUpstreamsMax) + " upstreams");
    }
  }
  return ok_status();
}

bool is_credential_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

}  // namespace holdfast::config
