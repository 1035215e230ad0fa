#include "holdfast/importer/reseal.h"

#include "holdfast/vault/pack_reader.h"
#include "seal_run.h"
#include "seal_variant.h"

namespace holdfast::importer {
namespace {

Result<crypto::Sha256Digest> reseal_in_child(const platform::OpenFile& pack,
                                             const platform::OpenFile& out,
                                             const ResealOptions& options,
                                             const vault::ModelId& model_id) {
  ChildRun run;
  run.program = options.engine_program;
  run.inputs = {pack.fd()};
  run.source_keys = options.source_keys.get();
  run.name = "sealing";
  run.cancel = options.cancel;
  run.on_progress = options.on_progress;
  HF_TRY_ASSIGN(const ResealResult result,
                run_seal_child(std::move(run), {}, options.keys, model_id, out));
  return result.pack;
}

}  // namespace

Result<registry::ModelRecord> reseal_model(registry::Store& store,
                                           const registry::ModelRecord& model,
                                           ResealOptions options) {
  HF_TRY_ASSIGN(const auto pack, store.open_pack(model));
  HF_TRY_ASSIGN(const vault::PackHeader header, vault::read_pack_header(*pack));
  HF_TRY_ASSIGN(const auto aliases, store.aliases_of(model));
  HF_TRY_ASSIGN(auto staging, store.stage(model.source, pack->size()));
  HF_TRY_ASSIGN(const crypto::Sha256Digest digest,
                reseal_in_child(*pack, staging->file(), options, header.model_id));
  json::Object others = model.others;
  if (options.sign) {
    HF_TRY_ASSIGN(json::Object signature, options.sign(digest));
    others.set("signature", std::move(signature));
  }
  HF_TRY_ASSIGN(registry::ModelRecord record,
                store.publish(std::move(staging),
                              {model.name, model.source,
                               sealed_variant(model.variant, options.keys != nullptr), model.facts,
                               model.stage, model.provenance, std::move(others)}));
  if (record.pack != digest) return internal_error("the pack is not the one announced");
  for (const registry::ModelName& name : aliases) {
    const auto renamed = store.add_name(record, name);
    if (!renamed.ok()) return renamed.error();
  }
  return record;
}

}  // namespace holdfast::importer
