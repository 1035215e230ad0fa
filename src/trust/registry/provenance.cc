#include "holdfast/registry/provenance.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace holdfast::registry {
namespace {

constexpr std::array<std::pair<OriginKind, std::string_view>, 4> kKinds{
    {{OriginKind::kFile, "file"},
     {OriginKind::kFolder, "folder"},
     {OriginKind::kUrl, "url"},
     {OriginKind::kBundle, "bundle"}}};
constexpr std::array<std::pair<Stage, std::string_view>, 3> kStages{
    {{Stage::kCandidate, "candidate"},
     {Stage::kProduction, "production"},
     {Stage::kRetired, "retired"}}};

Error damaged(std::string_view member) {
  return corrupt("the provenance of the model is damaged", "member " + std::string(member));
}

// An absent text is an empty one.
Result<std::string> text_of(const json::Value& value, std::string_view member, std::size_t max) {
  const json::Value* v = value.find(member);
  if (v == nullptr) return std::string();
  if (!v->is_string() || v->as_string().size() > max) return damaged(member);
  // Shown on terminals.
  for (const char c : v->as_string()) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return damaged(member);
  }
  return v->as_string();
}

json::Object act_json(const Act& act) {
  return {{"user", act.user}, {"uid", act.uid}, {"at", act.at_unix}};
}

Result<Act> decode_act(const json::Value* value, std::string_view member) {
  if (value == nullptr || !value->is_object()) return damaged(member);
  Act act;
  HF_TRY_ASSIGN(act.user, text_of(*value, "user", kUserBytesMax));
  const json::Value* uid = value->find("uid");
  const json::Value* at = value->find("at");
  if (uid == nullptr || !uid->is_int() || uid->as_int() < 0 ||
      uid->as_int() > std::numeric_limits<std::uint32_t>::max()) {
    return damaged("uid");
  }
  if (at == nullptr || !at->is_int()) return damaged("at");
  act.uid = static_cast<std::uint32_t>(uid->as_int());
  act.at_unix = at->as_int();
  return act;
}

Result<Origin> decode_origin(const json::Value* value) {
  if (value == nullptr || !value->is_object()) return damaged("origin");
  Origin origin;
  HF_TRY_ASSIGN(const std::string kind, text_of(*value, "kind", kUserBytesMax));
  const auto known =
      std::find_if(kKinds.begin(), kKinds.end(), [&](const auto& k) { return k.second == kind; });
  if (known == kKinds.end()) return damaged("kind");
  origin.kind = known->first;
  HF_TRY_ASSIGN(origin.location, text_of(*value, "location", kOriginBytesMax));
  HF_TRY_ASSIGN(origin.revision, text_of(*value, "revision", kOriginBytesMax));
  return origin;
}

}  // namespace

std::string_view origin_kind_name(OriginKind kind) {
  return std::find_if(kKinds.begin(), kKinds.end(), [&](const auto& k) { return k.first == kind; })
      ->second;
}

std::string_view stage_name(Stage stage) {
  return std::find_if(kStages.begin(), kStages.end(),
                      [&](const auto& s) { return s.first == stage; })
      ->second;
}

Result<Stage> parse_stage(std::string_view name) {
  for (const auto& [stage, known] : kStages) {
    if (known == name) return stage;
  }
  return invalid_argument("unknown stage \"" + std::string(name) + "\"")
      .with_hint("candidate, production or retired");
}

std::string url_to_record(std::string_view url) {
  std::string out(url.substr(0, url.find_first_of("?#")));
  const std::size_t scheme = out.find("://");
  if (scheme != std::string::npos) {
    const std::size_t authority = scheme + 3;
    const std::size_t end = out.find('/', authority);
    const std::size_t at = out.rfind('@', end);
    // An "@" behind the authority is a revision, not a user.
    if (at != std::string::npos && at >= authority) out.erase(authority, at + 1 - authority);
  }
  out.resize(std::min(out.size(), kOriginBytesMax));
  return out;
}

json::Object provenance_json(const Provenance& p) {
  json::Array hops;
  for (const Hop& hop : p.hops) {
    json::Object h{{"exported", act_json(hop.exported)}};
    if (hop.imported) h.set("imported", act_json(*hop.imported));
    hops.emplace_back(std::move(h));
  }
  return {{"origin", json::Object{{"kind", origin_kind_name(p.origin.kind)},
                                  {"location", p.origin.location},
                                  {"revision", p.origin.revision}}},
          {"imported", act_json(p.imported)},
          {"hops", std::move(hops)}};
}

Result<Provenance> decode_provenance(const json::Value& value) {
  if (!value.is_object()) return damaged("provenance");
  Provenance out;
  HF_TRY_ASSIGN(out.origin, decode_origin(value.find("origin")));
  HF_TRY_ASSIGN(out.imported, decode_act(value.find("imported"), "imported"));
  const json::Value* hops = value.find("hops");
  if (hops == nullptr) return out;
  if (!hops->is_array() || hops->as_array().size() > kHopsMax) return damaged("hops");
  for (const json::Value& h : hops->as_array()) {
    Hop hop;
    HF_TRY_ASSIGN(hop.exported, decode_act(h.find("exported"), "exported"));
    if (h.find("imported") != nullptr) {
      HF_TRY_ASSIGN(hop.imported, decode_act(h.find("imported"), "imported"));
    }
    out.hops.push_back(std::move(hop));
  }
  return out;
}

}  // namespace holdfast::registry
