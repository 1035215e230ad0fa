// The bill of materials of models in the store (trust/bundle/bom.h).
#pragma once

#include <span>

#include "context.h"
#include "holdfast/bundle/bom.h"
#include "holdfast/registry/store.h"
#include "holdfast/vault/pack_reader.h"

namespace holdfast::cli {

Result<bundle::BomModel> bom_model(const registry::ModelRecord& record,
                                   const vault::PackReader& pack);
// The same of a model whose pack may not be readable now (a sealed keyring): then without what only
// the pack says.
Result<bundle::BomModel> bom_model(const Context& context, const registry::Store& store,
                                   const registry::ModelRecord& record);
json::Object bom_of(const Context& context, std::span<const bundle::BomModel> models);

}  // namespace holdfast::cli
