#include "model_bom.h"

#include "keyring.h"
#include "model_facts_text.h"
#include "output.h"
#include "version.h"

namespace holdfast::cli {

Result<bundle::BomModel> bom_model(const registry::ModelRecord& record,
                                   const vault::PackReader& pack) {
  bundle::BomModel model{record, seal_text(pack.header()), signature_text(record), {}};
  if (auto metadata = pack.read_object(vault::ObjectKind::kMetadata); metadata.ok()) {
    HF_TRY_ASSIGN(model.metadata, json::parse(as_string_view(*metadata)));
  }
  return model;
}

Result<bundle::BomModel> bom_model(const Context& context, const registry::Store& store,
                                   const registry::ModelRecord& record) {
  HF_TRY_ASSIGN(const auto file, store.open_pack(record));
  const auto pack = open_reader(context, *file);
  if (pack.ok()) return bom_model(record, *pack);
  if (pack.error().code() != ErrorCode::kUnavailable) return pack.error();
  HF_TRY_ASSIGN(const vault::PackHeader header, vault::read_pack_header(*file));
  return bundle::BomModel{record, seal_text(header), signature_text(record), {}};
}

json::Object bom_of(const Context& context, std::span<const bundle::BomModel> models) {
  return bundle::model_bom(models, rfc3339(act_now(context).at_unix), kVersion);
}

}  // namespace holdfast::cli
