#include "holdfast/registry/manifest.h"

#include <algorithm>
#include <array>

#include "paths.h"

namespace holdfast::registry {
namespace {

constexpr std::int64_t kVersion = 1;

Error damaged(std::string_view member) {
  return corrupt("the manifest of the model is damaged", "member " + std::string(member));
}

Result<std::string> text_of(const json::Value& value, std::string_view member) {
  const json::Value* v = value.find(member);
  if (v == nullptr || !v->is_string()) return damaged(member);
  return v->as_string();
}

Result<std::int64_t> number_of(const json::Value& value, std::string_view member) {
  const json::Value* v = value.find(member);
  if (v == nullptr || !v->is_int()) return damaged(member);
  return v->as_int();
}

Result<std::uint64_t> count_of(const json::Value& value, std::string_view member) {
  HF_TRY_ASSIGN(const std::int64_t v, number_of(value, member));
  if (v < 0) return damaged(member);
  return static_cast<std::uint64_t>(v);
}

Result<bool> bool_of(const json::Value& value, std::string_view member) {
  const json::Value* v = value.find(member);
  if (v == nullptr || !v->is_bool()) return damaged(member);
  return v->as_bool();
}

Result<crypto::Sha256Digest> digest_of(const json::Value& value, std::string_view member) {
  HF_TRY_ASSIGN(const std::string hex, text_of(value, member));
  return digest_from_hex(hex).context(member);
}

Result<ModelFacts> decode_facts(const json::Value& value) {
  ModelFacts facts;
  HF_TRY_ASSIGN(facts.architecture, text_of(value, "architecture"));
  HF_TRY_ASSIGN(facts.context_length, count_of(value, "context_length"));
  HF_TRY_ASSIGN(facts.quantization, text_of(value, "quantization"));
  HF_TRY_ASSIGN(facts.parameters, count_of(value, "parameters"));
  HF_TRY_ASSIGN(facts.license, text_of(value, "license"));
  HF_TRY_ASSIGN(facts.has_template, bool_of(value, "has_template"));
  HF_TRY_ASSIGN(facts.vocab_only, bool_of(value, "vocab_only"));
  return facts;
}

// Members of version 1 from the beginning, and those that came later.
constexpr std::array<std::string_view, 8> kFirstMembers{
    "version", "name", "pack", "source", "variant", "size_bytes", "created", "facts"};

bool is_first_member(std::string_view key) {
  return std::find(kFirstMembers.begin(), kFirstMembers.end(), key) != kFirstMembers.end();
}

// Absent in manifests of before: then the model is in production, and nobody knows where it is
// from.
Status decode_later_members(const json::Value& manifest, ModelRecord& record) {
  if (manifest.find("stage") != nullptr) {
    HF_TRY_ASSIGN(const std::string name, text_of(manifest, "stage"));
    const auto stage = parse_stage(name);
    if (!stage.ok()) return damaged("stage");
    record.stage = *stage;
  }
  if (const json::Value* value = manifest.find("provenance"); value != nullptr) {
    HF_TRY_ASSIGN(record.provenance, decode_provenance(*value));
  }
  for (const json::Member& m : manifest.as_object()) {
    if (is_first_member(m.key) || m.key == "stage" || m.key == "provenance") continue;
    record.others.set(m.key, m.value);
  }
  return ok_status();
}

}  // namespace

std::string manifest_place(const ModelName& name) {
  return std::string(kModelsDir) + "/" + encode_name(name.name) + "/" + name.tag +
         std::string(kManifestSuffix);
}

Result<crypto::Sha256Digest> digest_from_hex(std::string_view hex) {
  crypto::Sha256Digest digest;
  const bool lower =
      std::none_of(hex.begin(), hex.end(), [](char c) { return c >= 'A' && c <= 'F'; });
  const auto bytes = from_hex(hex);
  if (!lower || !bytes.ok() || bytes->size() != digest.size()) return corrupt("not a digest");
  std::copy(bytes->begin(), bytes->end(), digest.begin());
  return digest;
}

std::string encode_manifest(const ModelRecord& record) {
  const ModelFacts& f = record.facts;
  json::Object facts{{"architecture", f.architecture}, {"context_length", f.context_length},
                     {"quantization", f.quantization}, {"parameters", f.parameters},
                     {"license", f.license},           {"has_template", f.has_template},
                     {"vocab_only", f.vocab_only}};
  json::Object manifest{{"version", kVersion},
                        {"name", record.name.full()},
                        {"pack", to_hex(record.pack)},
                        {"source", to_hex(record.source)},
                        {"variant", record.variant},
                        {"size_bytes", record.size_bytes},
                        {"created", record.created_unix},
                        {"facts", std::move(facts)}};
  manifest.set("stage", stage_name(record.stage));
  if (record.provenance) manifest.set("provenance", provenance_json(*record.provenance));
  for (const json::Member& m : record.others) manifest.set(m.key, m.value);
  return json::write(json::Value(std::move(manifest)), {.indent = 2}) + "\n";
}

Result<ModelRecord> decode_manifest(std::string_view text, const ModelName& name) {
  const auto parsed = json::parse(text, {.bytes_max = kManifestBytesMax, .depth_max = 8});
  if (!parsed.ok()) return damaged("JSON: " + parsed.error().client_message());
  HF_TRY_ASSIGN(const std::int64_t version, number_of(*parsed, "version"));
  if (version != kVersion) {
    return unsupported("unsupported manifest version " + std::to_string(version));
  }
  ModelRecord record;
  record.name = name;
  HF_TRY_ASSIGN(record.pack, digest_of(*parsed, "pack"));
  HF_TRY_ASSIGN(record.source, digest_of(*parsed, "source"));
  HF_TRY_ASSIGN(record.variant, text_of(*parsed, "variant"));
  HF_TRY_ASSIGN(record.size_bytes, count_of(*parsed, "size_bytes"));
  HF_TRY_ASSIGN(record.created_unix, number_of(*parsed, "created"));
  const json::Value* facts = parsed->find("facts");
  if (facts == nullptr) return damaged("facts");
  HF_TRY_ASSIGN(record.facts, decode_facts(*facts));
  HF_TRY(decode_later_members(*parsed, record));
  return record;
}

}  // namespace holdfast::registry
