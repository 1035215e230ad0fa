// The text form of stored keys, docs/formats/keys.md.
#include <algorithm>
#include <set>

#include "holdfast/identity/key_store.h"
#include "holdfast/json/json.h"

namespace holdfast::identity {
namespace {

constexpr std::int64_t kVersion = 1;

Error damaged(std::string_view member) {
  return corrupt("the file of API keys is damaged", "member " + std::string(member));
}

Result<std::string> text_of(const json::Object& object, std::string_view name,
                            std::size_t bytes_max) {
  const json::Value* v = object.find(name);
  if (v == nullptr || !v->is_string() || v->as_string().size() > bytes_max) return damaged(name);
  return v->as_string();
}

Result<std::int64_t> number_of(const json::Object& object, std::string_view name, std::int64_t min,
                               std::int64_t max) {
  const json::Value* v = object.find(name);
  if (v == nullptr || !v->is_int() || v->as_int() < min || v->as_int() > max) return damaged(name);
  return v->as_int();
}

Result<std::vector<std::string>> names_of(const json::Object& object, std::string_view name) {
  const json::Value* v = object.find(name);
  if (v == nullptr || !v->is_array() || v->as_array().size() > kModelsPerKeyMax)
    return damaged(name);
  std::vector<std::string> out;
  for (const json::Value& item : v->as_array()) {
    if (!item.is_string() || item.as_string().empty() ||
        item.as_string().size() > kModelNameBytesMax) {
      return damaged(name);
    }
    out.push_back(item.as_string());
  }
  return out;
}

Result<crypto::Sha256Digest> digest_of(const json::Object& object, std::string_view name) {
  HF_TRY_ASSIGN(const std::string hex, text_of(object, name, 64));
  const auto bytes = from_hex(hex);
  crypto::Sha256Digest out;
  if (!bytes.ok() || bytes->size() != out.size()) return damaged(name);
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return out;
}

Status check_members(const json::Object& object) {
  static const std::set<std::string_view> kKnown = {"id",
                                                    "tenant",
                                                    "role",
                                                    "models",
                                                    "label",
                                                    "weight",
                                                    "requests_per_minute",
                                                    "tokens_per_day",
                                                    "created_at",
                                                    "expires_at",
                                                    "revoked_at",
                                                    "verifier"};
  for (const auto& [name, value] : object) {
    if (!kKnown.contains(name))
      return unsupported("the file of API keys has a member of a later version", name);
  }
  return ok_status();
}

Result<KeyRecord> decode_key(const json::Value& value) {
  if (!value.is_object()) return damaged("keys");
  const json::Object& object = value.as_object();
  HF_TRY(check_members(object));
  constexpr std::int64_t kTimeMax = std::int64_t{1} << 40;
  KeyRecord out;
  HF_TRY_ASSIGN(out.id, text_of(object, "id", kKeyIdLength));
  if (!is_key_id(out.id)) return damaged("id");
  HF_TRY_ASSIGN(out.tenant, text_of(object, "tenant", kTenantBytesMax));
  if (!is_tenant_name(out.tenant)) return damaged("tenant");
  HF_TRY_ASSIGN(const std::string role, text_of(object, "role", 32));
  const auto known = parse_role(role);
  if (!known) return damaged("role");
  out.role = *known;
  HF_TRY_ASSIGN(out.models, names_of(object, "models"));
  HF_TRY_ASSIGN(out.label, text_of(object, "label", kLabelBytesMax));
  HF_TRY_ASSIGN(const std::int64_t weight, number_of(object, "weight", 1, kWeightMax));
  out.weight = static_cast<std::uint32_t>(weight);
  HF_TRY_ASSIGN(const std::int64_t requests,
                number_of(object, "requests_per_minute", 0, kRequestsPerMinuteMax));
  out.quotas.requests_per_minute = static_cast<std::uint64_t>(requests);
  HF_TRY_ASSIGN(const std::int64_t tokens,
                number_of(object, "tokens_per_day", 0, kTokensPerDayMax));
  out.quotas.tokens_per_day = static_cast<std::uint64_t>(tokens);
  HF_TRY_ASSIGN(out.created_at, number_of(object, "created_at", 0, kTimeMax));
  HF_TRY_ASSIGN(out.expires_at, number_of(object, "expires_at", 0, kTimeMax));
  HF_TRY_ASSIGN(out.revoked_at, number_of(object, "revoked_at", 0, kTimeMax));
  HF_TRY_ASSIGN(out.verifier, digest_of(object, "verifier"));
  return out;
}

json::Object encode_key(const KeyRecord& key) {
  json::Array models;
  for (const std::string& name : key.models) models.emplace_back(name);
  return {{"id", key.id},
          {"tenant", key.tenant},
          {"role", role_name(key.role)},
          {"models", std::move(models)},
          {"label", key.label},
          {"weight", key.weight},
          {"requests_per_minute", key.quotas.requests_per_minute},
          {"tokens_per_day", key.quotas.tokens_per_day},
          {"created_at", key.created_at},
          {"expires_at", key.expires_at},
          {"revoked_at", key.revoked_at},
          {"verifier", to_hex(key.verifier)}};
}

}  // namespace

std::string_view role_name(Role role) { return role == Role::kAdmin ? "admin" : "inference"; }

std::optional<Role> parse_role(std::string_view name) {
  if (name == "inference") return Role::kInference;
  if (name == "admin") return Role::kAdmin;
  return std::nullopt;
}

bool is_tenant_name(std::string_view name) {
  return !name.empty() && name.size() <= kTenantBytesMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

Result<std::vector<KeyRecord>> decode_keys(std::string_view text) {
  // Every member of every key is a value, and so is every model name.
  constexpr std::size_t kValuesMax = kKeysMax * (16 + kModelsPerKeyMax);
  const auto parsed =
      json::parse(text, {.bytes_max = kKeyFileBytesMax, .depth_max = 5, .values_max = kValuesMax});
  if (!parsed.ok()) return damaged("JSON: " + parsed.error().client_message());
  if (!parsed->is_object()) return damaged("JSON");
  const json::Value* version = parsed->find("version");
  if (version == nullptr || !version->is_int()) return damaged("version");
  if (version->as_int() != kVersion)
    return unsupported("unsupported version of the file of API keys");
  const json::Value* keys = parsed->find("keys");
  const bool good = keys != nullptr && keys->is_array() && keys->as_array().size() <= kKeysMax;
  if (!good) return damaged("keys");
  std::vector<KeyRecord> out;
  std::set<std::string> ids;
  for (const json::Value& item : keys->as_array()) {
    HF_TRY_ASSIGN(KeyRecord key, decode_key(item));
    if (!ids.insert(key.id).second) return damaged("id: twice");
    out.push_back(std::move(key));
  }
  return out;
}

std::string encode_keys(const std::vector<KeyRecord>& keys) {
  // One key a line, so that the file can be read and compared.
  std::string out = "{\"version\":" + std::to_string(kVersion) + ",\"keys\":[";
  for (std::size_t i = 0; i < keys.size(); ++i) {
    out += i == 0 ? "\n" : ",\n";
    out += json::write(encode_key(keys[i]));
  }
  return out + "\n]}\n";
}

}  // namespace holdfast::identity
