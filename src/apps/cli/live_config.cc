#include "live_config.h"

#include "holdfast/platform/filesystem.h"

namespace holdfast::cli {
namespace {

using config::Setting;

// A client learns which file and line, not where the server keeps it.
Error without_folder(const Error& error, const std::string& file) {
  const std::string folder = platform::parent_path(file) + "/";
  std::string text = error.client_message();
  for (std::size_t at = 0; (at = text.find(folder, at)) != std::string::npos;)
    text.erase(at, folder.size());
  return Error(error.code(), std::move(text)).with_hint(error.hint());
}

}  // namespace

bool LiveConfig::is_live(std::size_t setting) const {
  return config::setting_table()[setting].reload == "live";
}

Result<json::Object> LiveConfig::reload() {
  auto next = hooks_.load();
  if (!next.ok()) return without_folder(next.error(), settings_.path());
  if (const Status checked = hooks_.check(*next); !checked.ok())
    return without_folder(checked.error(), settings_.path());
  json::Array changed, live, restart;
  const auto table = config::setting_table();
  for (std::size_t i = 0; i < table.size(); ++i) {
    const auto s = static_cast<Setting>(i);
    const std::string value = next->to_toml(s);
    if (!is_live(i) && value != started_with_.to_toml(s)) restart.emplace_back(table[i].name());
    if (value == settings_.to_toml(s)) continue;
    if (is_live(i)) live.emplace_back(table[i].name());
    changed.emplace_back(json::Object{{"name", table[i].name()},
                                      {"from", settings_.to_toml(s)},
                                      {"to", value},
                                      {"source", next->source(s)},
                                      {"reload", std::string(table[i].reload)}});
  }
  settings_ = std::move(*next);
  hooks_.apply(settings_);
  return json::Object{
      {"changed", std::move(changed)}, {"live", std::move(live)}, {"restart", std::move(restart)}};
}

json::Array LiveConfig::show() const {
  json::Array out;
  const auto table = config::setting_table();
  for (std::size_t i = 0; i < table.size(); ++i) {
    const auto s = static_cast<Setting>(i);
    const config::Settings& now = is_live(i) ? settings_ : started_with_;
    json::Object item{{"name", table[i].name()}, {"value", now.to_toml(s)},
                      {"source", now.source(s)}, {"reload", std::string(table[i].reload)},
                      {"pending", nullptr},      {"description", std::string(table[i].text)}};
    if (settings_.to_toml(s) != now.to_toml(s)) item.set("pending", settings_.to_toml(s));
    out.emplace_back(std::move(item));
  }
  return out;
}

}  // namespace holdfast::cli
