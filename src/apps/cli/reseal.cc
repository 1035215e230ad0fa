#include "reseal.h"

#include "engine_config.h"
#include "holdfast/importer/reseal.h"
#include "keyring.h"
#include "local_model.h"
#include "output.h"
#include "signatures.h"

namespace holdfast::cli {

namespace {

// Whether the new pack gets this instance's signature: the old one had it, or had none while
// policy.signatures wants one. A publisher's over the files stays as it is. kCorrupt for one that
// does not hold: it is not made good by writing the pack anew.
Result<bool> is_signed_here(const Context& context, const registry::ModelRecord& model,
                            const vault::PackHeader& header, custody::Custody& custody) {
  const std::string& policy = context.settings.text(config::Setting::policy_signatures);
  if (policy == "off" || policy == "warn") return false;
  HF_TRY_ASSIGN(signing::Trust trust, configured_trust(context.settings));
  HF_TRY_ASSIGN(const SignatureState state,
                verify_stored(std::move(trust), model, header, &custody));
  if (state.kind == SignatureState::Kind::kPublisher) {
    if (!all_zero(header.oms_root)) return false;
    return unsupported("the model's signature is about this very pack, which would be another")
        .with_hint("import the model again with the publisher's model.sig");
  }
  return state.kind == SignatureState::Kind::kInstance || policy == "require";
}

// Writes one pack under a key of `keys`, and gives all its names to the new one.
Status replace_pack(const Context& context, custody::Custody& custody, registry::Store& store,
                    const registry::ModelRecord& model, importer::PackKeys& keys) {
  importer::ResealOptions options;
  HF_TRY_ASSIGN(const auto source, store.open_pack(model));
  HF_TRY_ASSIGN(options.source_keys, pack_keys(custody, *source));
  options.keys = &keys;
  HF_TRY_ASSIGN(options.engine_program, engine_program());
  Progress bar(context, "sealing " + model.name.shown());
  options.on_progress = [&bar](std::uint64_t done, std::uint64_t total) {
    bar.update(done, total);
  };
  HF_TRY_ASSIGN(const vault::PackHeader header, header_of(store, model));
  HF_TRY_ASSIGN(const bool ours, is_signed_here(context, model, header, custody));
  InstanceSigner signer(custody);
  // The old signature was about the old pack.
  if (ours) {
    options.sign = [&signer](const crypto::Sha256Digest& pack) {
      return pack_signature(pack, signer, {}, true);
    };
  }
  const auto fresh = importer::reseal_model(store, model, std::move(options));
  return fresh.ok() ? ok_status() : Status(fresh.error());
}

void say_sealed(const Context& context, const registry::ModelRecord& model) {
  if (context.json()) {
    print_json_line(json::Object{{"model", model.name.full()}, {"sealed", true}});
  } else {
    notice(context, "sealed " + model.name.shown());
  }
}

}  // namespace

Status reseal(const Context& context, const std::vector<std::string>& models) {
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  HF_TRY_ASSIGN(const std::unique_ptr<custody::Custody> custody, open_custody(context));
  HF_TRY(custody->ensure_open());
  std::vector<registry::ModelRecord> wanted;
  for (const std::string& name : models) {
    HF_TRY_ASSIGN(registry::ModelRecord record, store->resolve(name));
    wanted.push_back(std::move(record));
  }
  if (models.empty()) {
    HF_TRY_ASSIGN(registry::Listing listing, store->list());
    wanted = std::move(listing.models);
  }
  HolderPackKeys keys(*custody);
  for (const registry::ModelRecord& model : one_per_pack(wanted)) {
    HF_TRY_ASSIGN(const vault::PackHeader header, header_of(*store, model));
    if (header.seal) continue;
    HF_TRY(replace_pack(context, *custody, *store, model, keys));
    say_sealed(context, model);
  }
  return ok_status();
}

// The next key is stored beside the model's own until every pack has it: whichever of them a crash
// leaves a pack with opens it, and the command that is repeated goes on with the same key.
Status rotate_dek(const Context& context, const std::string& name) {
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  HF_TRY_ASSIGN(const std::unique_ptr<custody::Custody> custody, open_custody(context));
  HF_TRY_ASSIGN(const registry::ModelRecord model, store->resolve(name));
  HF_TRY_ASSIGN(const vault::PackHeader header, header_of(*store, model));
  if (!header.seal) {
    return invalid_argument(model.name.shown() + " is not sealed")
        .with_hint("holdfast seal reseal " + model.name.shown());
  }
  HF_TRY_ASSIGN(const registry::Listing listing, store->list());
  HolderPackKeys keys(*custody, custody::DekChoice::kNext);
  for (const registry::ModelRecord& other : one_per_pack(listing.models)) {
    HF_TRY_ASSIGN(const vault::PackHeader other_header, header_of(*store, other));
    if (!other_header.seal || other_header.model_id != header.model_id) continue;
    HF_TRY(replace_pack(context, *custody, *store, other, keys));
  }
  HF_TRY(custody->adopt_dek(header.model_id));
  say_sealed(context, model);
  return ok_status();
}

Result<std::size_t> rotate_kek(const Context& context, custody::Custody& custody) {
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  HF_TRY_ASSIGN(const registry::Listing listing, store->list());
  std::vector<custody::PackToRenew> packs;
  for (const registry::ModelRecord& model : one_per_pack(listing.models)) {
    const auto header = header_of(*store, model);
    if (!header.ok() || !header->seal) continue;
    packs.push_back({model.name.shown(), *header, [&store, model](const vault::WrapSlots& slots) {
                       return store->rewrite_slots(model, slots);
                     }});
  }
  HF_TRY_ASSIGN(const custody::RenewedKeys renewed, custody.rotate_kek(packs));
  for (const std::string& name : renewed.not_renewed)
    notice(context, "note: the pack of " + name + " keeps its old wrap slot: state.db has its key");
  return renewed.data_keys;
}

}  // namespace holdfast::cli
