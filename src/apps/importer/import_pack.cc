#include "holdfast/importer/import_pack.h"

#include "child_run.h"
#include "holdfast/platform/clock.h"
#include "holdfast/vault/pack_format.h"
#include "reseal_protocol.h"
#include "seal_variant.h"

namespace holdfast::importer {
namespace {

constexpr auto kWaitPoll = std::chrono::milliseconds(100);

Result<std::unique_ptr<registry::Staging>> stage_or_wait(registry::Store& store,
                                                         const PackImport& import) {
  while (true) {
    auto staging = import.keys != nullptr ? store.stage_resumable(import.digest, import.length)
                                          : store.stage(import.publication.source, import.length);
    if (staging.ok() || staging.error().code() != ErrorCode::kUnavailable) return staging;
    if (import.cancel != nullptr && *import.cancel) return cancelled("the import was cancelled");
    if (import.on_progress) import.on_progress({"waiting", 0, 0});
    platform::pause_for(kWaitPoll);
  }
}

Result<ResealResult> seal_in_child(const PackImport& import, const platform::OpenFile& out) {
  ResealRequest request;
  request.source_sealed = import.source_keys.valid();
  request.range = {import.offset, import.length};
  PackKeys::NewKey key;
  if (import.keys != nullptr) {
    HF_TRY_ASSIGN(key, import.keys->new_key(vault::pack_model_id(import.publication.source)));
    request.created = now_unix_seconds();
    request.work = import.digest;
  }
  ChildRun run;
  run.program = import.engine_program;
  run.mode = "reseal";
  run.inputs = {import.file->fd()};
  run.output = out.fd();
  run.key = key.message.get();
  run.source_keys = import.source_keys.get();
  run.request_json = encode_reseal_request(request);
  run.name = "import";
  run.cancel = import.cancel;
  if (import.on_progress) {
    run.on_progress = [&](std::uint64_t done, std::uint64_t total) {
      import.on_progress({"sealing", done, total});
    };
  }
  HF_TRY_ASSIGN(const std::string text, run_child(run));
  HF_TRY_ASSIGN(const ResealResult result, decode_reseal_result(text));
  if (import.keys != nullptr) HF_TRY(fill_first_slot(out, key.slot));
  return result;
}

}  // namespace

Result<PackImportResult> import_pack(registry::Store& store, PackImport import) {
  registry::Publication& p = import.publication;
  p.variant = sealed_variant(p.variant, import.keys != nullptr);
  HF_TRY_ASSIGN(auto staging, stage_or_wait(store, import));
  HF_TRY_ASSIGN(const auto known, store.find_source(p.source, p.variant));
  if (known) {
    HF_TRY_ASSIGN(registry::ModelRecord record, store.add_name(*known, p.name));
    return PackImportResult{std::move(record), true, 0};
  }
  auto sealed = seal_in_child(import, staging->file());
  if (!sealed.ok()) {
    // Another try with the same bytes would end the same way.
    if (sealed.error().code() == ErrorCode::kCorrupt) staging->give_up();
    return std::move(sealed).error();
  }
  const ResealResult& result = *sealed;
  if (import.sign && !p.others.contains("signature")) {
    HF_TRY_ASSIGN(json::Object signature, import.sign(result.pack));
    p.others.set("signature", std::move(signature));
  }
  HF_TRY_ASSIGN(registry::ModelRecord record, store.publish(std::move(staging), std::move(p)));
  if (record.pack != result.pack) return internal_error("the pack is not the one announced");
  return PackImportResult{std::move(record), false, result.bytes_kept};
}

}  // namespace holdfast::importer
