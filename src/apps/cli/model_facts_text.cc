#include "model_facts_text.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <system_error>

#include "holdfast/platform/clock.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/platform/user.h"
#include "output.h"

namespace holdfast::cli {

namespace {

json::Object act_json(const registry::Act& act) {
  return {{"user", act.user}, {"uid", act.uid}, {"at", rfc3339(act.at_unix)}};
}

std::string cut(std::string text, std::size_t bytes_max) {
  // Names of files may hold anything but "/" and zero.
  std::replace_if(
      text.begin(), text.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  text.resize(std::min(text.size(), bytes_max));
  return text;
}

}  // namespace

std::string seal_text(const vault::PackHeader& header) {
  return header.seal ? std::string(crypto::aead_algorithm_name(*header.seal)) : "no";
}

std::string signature_text(const registry::ModelRecord& model) {
  const json::Value* signature = model.others.find("signature");
  if (signature == nullptr || !signature->is_object()) return "none";
  const json::Value* publisher = signature->find("publisher");
  const bool named = publisher != nullptr && publisher->is_string();
  return "publisher: " + (named ? publisher->as_string() : std::string("none"));
}

std::string origin_text(const registry::ModelRecord& model) {
  if (!model.provenance) return "";
  const registry::Origin& origin = model.provenance->origin;
  std::string text = std::string(registry::origin_kind_name(origin.kind)) + " " + origin.location;
  if (!origin.revision.empty()) text += " @" + origin.revision;
  return text;
}

std::string importer_text(const registry::ModelRecord& model) {
  if (!model.provenance) return "";
  const registry::Act& act = model.provenance->imported;
  return act.user.empty() ? "uid " + std::to_string(act.uid) : act.user;
}

void add_provenance(json::Object& out, const registry::ModelRecord& model) {
  out.set("stage", registry::stage_name(model.stage));
  out.set("signature", signature_text(model));
  if (!model.provenance) return;
  const registry::Provenance& p = *model.provenance;
  out.set("origin", json::Object{{"kind", registry::origin_kind_name(p.origin.kind)},
                                 {"location", p.origin.location},
                                 {"revision", p.origin.revision}});
  out.set("imported", act_json(p.imported));
  json::Array hops;
  for (const registry::Hop& hop : p.hops) {
    json::Object h{{"exported", act_json(hop.exported)}};
    if (hop.imported) h.set("imported", act_json(*hop.imported));
    hops.emplace_back(std::move(h));
  }
  out.set("hops", std::move(hops));
}

registry::Act act_now(const Context& context) {
  const platform::User user = platform::current_user();
  registry::Act act{cut(user.name, registry::kUserBytesMax), user.uid,
                    platform::unix_seconds(platform::system_clock().wall_time())};
  const std::string_view epoch = config::lookup(context.environment, "SOURCE_DATE_EPOCH");
  std::int64_t given = 0;
  const auto parsed = std::from_chars(epoch.data(), epoch.data() + epoch.size(), given);
  if (!epoch.empty() && parsed.ec == std::errc() && parsed.ptr == epoch.data() + epoch.size())
    act.at_unix = given;
  return act;
}

registry::Provenance provenance_of_path(const Context& context, const std::string& path) {
  registry::Provenance p;
  std::error_code ec;
  p.origin.kind = std::filesystem::is_directory(path, ec) ? registry::OriginKind::kFolder
                                                          : registry::OriginKind::kFile;
  const std::filesystem::path whole = std::filesystem::absolute(path, ec).lexically_normal();
  p.origin.location =
      cut(std::string(platform::base_name(whole.string())), registry::kOriginBytesMax);
  p.imported = act_now(context);
  return p;
}

}  // namespace holdfast::cli
