// The bill of materials of models: CycloneDX 1.6, as JSON.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "holdfast/json/json.h"
#include "holdfast/registry/store.h"

namespace holdfast::bundle {

struct BomModel {
  registry::ModelRecord record;
  std::string seal;       // "AES-256-GCM", "no"
  std::string signature;  // "publisher: none"
  json::Value metadata;   // of the pack (docs/formats/pack.md); null where it could not be read
};

// `timestamp` in RFC 3339; `version` is that of the program. The same arguments give the same
// document. Thread-safe.
json::Object model_bom(std::span<const BomModel> models, std::string_view timestamp,
                       std::string_view version);

}  // namespace holdfast::bundle
