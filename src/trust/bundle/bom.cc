#include "holdfast/bundle/bom.h"

#include <array>
#include <utility>

#include "holdfast/base/bytes.h"
#include "holdfast/crypto/sha256.h"

namespace holdfast::bundle {
namespace {

using registry::ModelRecord;

// Licences of models as their files spell them, and as SPDX does. Whatever is not here is given by
// its name, which CycloneDX takes for every licence.
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kSpdx{
    {{"apache-2.0", "Apache-2.0"},
     {"mit", "MIT"},
     {"bsd-3-clause", "BSD-3-Clause"},
     {"cc-by-4.0", "CC-BY-4.0"},
     {"cc-by-sa-4.0", "CC-BY-SA-4.0"},
     {"cc-by-nc-4.0", "CC-BY-NC-4.0"},
     {"gpl-3.0", "GPL-3.0-only"},
     {"cc0-1.0", "CC0-1.0"}}};

json::Array licences_of(const std::string& licence) {
  if (licence.empty()) return {};
  for (const auto& [own, spdx] : kSpdx) {
    if (licence == own) return {json::Object{{"license", json::Object{{"id", std::string(spdx)}}}}};
  }
  return {json::Object{{"license", json::Object{{"name", licence}}}}};
}

json::Array sha256_hash(std::string hex) {
  return {json::Object{{"alg", "SHA-256"}, {"content", std::move(hex)}}};
}

void add_property(json::Array& out, std::string_view name, std::string value) {
  if (value.empty()) return;
  out.emplace_back(
      json::Object{{"name", "holdfast:" + std::string(name)}, {"value", std::move(value)}});
}

json::Array properties_of(const BomModel& model) {
  const ModelRecord& r = model.record;
  json::Array out;
  add_property(out, "content-address", to_hex(r.pack));
  add_property(out, "source-digest", to_hex(r.source));
  add_property(out, "size-bytes", std::to_string(r.size_bytes));
  add_property(out, "quantization", r.facts.quantization);
  add_property(out, "parameters", std::to_string(r.facts.parameters));
  add_property(out, "context-length", std::to_string(r.facts.context_length));
  add_property(out, "sealed", model.seal);
  add_property(out, "signature", model.signature);
  add_property(out, "stage", std::string(registry::stage_name(r.stage)));
  if (!r.provenance) return out;
  add_property(out, "origin-kind",
               std::string(registry::origin_kind_name(r.provenance->origin.kind)));
  add_property(out, "origin", r.provenance->origin.location);
  add_property(out, "origin-revision", r.provenance->origin.revision);
  add_property(out, "imported-by", r.provenance->imported.user);
  return out;
}

// Text of an object's member; empty where there is none.
std::string text_of(const json::Value& value, std::string_view member) {
  const json::Value* v = value.find(member);
  return v != nullptr && v->is_string() ? v->as_string() : std::string();
}

// The files that were imported, and the models that they were made of.
json::Array ancestors_of(const json::Value& metadata) {
  json::Array out;
  if (const json::Value* files = metadata.find("files"); files != nullptr && files->is_array()) {
    for (const json::Value& file : files->as_array()) {
      out.emplace_back(json::Object{{"type", "file"},
                                    {"name", "imported file " + std::to_string(out.size() + 1)},
                                    {"hashes", sha256_hash(text_of(file, "sha256"))}});
    }
  }
  const json::Value* bases = metadata.find("base_models");
  if (bases == nullptr || !bases->is_array()) return out;
  for (const json::Value& base : bases->as_array()) {
    const std::string name = text_of(base, "name");
    if (name.empty()) continue;
    json::Object component{{"type", "machine-learning-model"}, {"name", name}};
    if (const std::string group = text_of(base, "organization"); !group.empty())
      component.set("group", group);
    out.emplace_back(std::move(component));
  }
  return out;
}

json::Array references_of(const ModelRecord& r) {
  if (!r.provenance || r.provenance->origin.kind != registry::OriginKind::kUrl) return {};
  const registry::Origin& origin = r.provenance->origin;
  json::Object reference{{"type", "distribution"}, {"url", origin.location}};
  if (!origin.revision.empty()) reference.set("comment", "revision " + origin.revision);
  return {std::move(reference)};
}

json::Object component_of(const BomModel& model) {
  const ModelRecord& r = model.record;
  const std::string pack = to_hex(r.pack);
  json::Object out{{"type", "machine-learning-model"},
                   {"bom-ref", "model:" + r.name.full()},
                   {"name", r.name.name},
                   {"version", r.name.tag},
                   {"hashes", sha256_hash(pack)}};
  if (auto licences = licences_of(r.facts.license); !licences.empty())
    out.set("licenses", std::move(licences));
  if (auto ancestors = ancestors_of(model.metadata); !ancestors.empty())
    out.set("pedigree", json::Object{{"ancestors", std::move(ancestors)}});
  if (auto references = references_of(r); !references.empty())
    out.set("externalReferences", std::move(references));
  const json::Array text{json::Object{{"format", "text"}}};
  out.set("modelCard",
          json::Object{{"modelParameters", json::Object{{"task", "text-generation"},
                                                        {"architectureFamily", "transformer"},
                                                        {"modelArchitecture", r.facts.architecture},
                                                        {"inputs", text},
                                                        {"outputs", text}}}});
  out.set("properties", properties_of(model));
  return out;
}

// A serial number of the content, so that equal documents have equal numbers.
std::string serial_of(const json::Array& components) {
  const std::string text = json::write(json::Value(components));
  const std::string hex = to_hex(crypto::sha256(as_bytes_view(text)));
  return "urn:uuid:" + hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-8" + hex.substr(13, 3) + "-8" +
         hex.substr(17, 3) + "-" + hex.substr(20, 12);
}

}  // namespace

json::Object model_bom(std::span<const BomModel> models, std::string_view timestamp,
                       std::string_view version) {
  json::Array components;
  for (const BomModel& model : models) components.emplace_back(component_of(model));
  json::Object tool{
      {"type", "application"}, {"name", "holdfast"}, {"version", std::string(version)}};
  json::Object metadata{{"timestamp", std::string(timestamp)},
                        {"tools", json::Object{{"components", json::Array{std::move(tool)}}}}};
  const std::string serial = serial_of(components);
  return {{"$schema", "http://cyclonedx.org/schema/bom-1.6.schema.json"},
          {"bomFormat", "CycloneDX"},
          {"specVersion", "1.6"},
          {"serialNumber", serial},
          {"version", 1},
          {"metadata", std::move(metadata)},
          {"components", std::move(components)}};
}

}  // namespace holdfast::bundle
