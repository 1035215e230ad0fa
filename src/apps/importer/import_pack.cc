#include "holdfast/importer/import_pack.h"

#include "holdfast/platform/clock.h"
#include "holdfast/vault/pack_format.h"
#include "seal_run.h"
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
  request.range = {import.offset, import.length};
  if (import.keys != nullptr) request.work = import.digest;
  ChildRun run;
  run.program = import.engine_program;
  run.inputs = {import.file->fd()};
  run.source_keys = import.source_keys.get();
  run.name = "import";
  run.cancel = import.cancel;
  if (import.on_progress) {
    run.on_progress = [&](std::uint64_t done, std::uint64_t total) {
      import.on_progress({"sealing", done, total});
    };
  }
  return run_seal_child(std::move(run), std::move(request), import.keys,
                        vault::pack_model_id(import.publication.source), out);
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
