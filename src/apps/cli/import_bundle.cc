// The way in of transport.h.
#include "engine_config.h"
#include "holdfast/bundle/bundle.h"
#include "holdfast/bundle/transport_key.h"
#include "holdfast/crypto/constant_time.h"
#include "holdfast/importer/import_pack.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/platform/socket.h"
#include "keyring.h"
#include "model_facts_text.h"
#include "output.h"
#include "signatures.h"
#include "transport.h"

namespace holdfast::cli {

namespace {

constexpr auto kKeyPatience = std::chrono::seconds(10);

Result<crypto::Secret> passphrase_of(const SecretFlags& flags) {
  OperatorSecrets secrets(flags);
  keyring::SlotPlan one;
  one.factors.push_back({keyring::FactorKind::kPassphrase, {}});
  HF_TRY_ASSIGN(const platform::UniqueFd fd, secrets.ask(one, 0));
  if (!fd.valid()) {
    return invalid_argument("the bundle is sealed, and there is no terminal to type its passphrase")
        .with_hint("give it in a file: --passphrase-file FILE (- is standard input)");
  }
  return read_passphrase(fd.get());
}

// A socket with the pack's content keys, for the child; invalid for a pack that is not sealed.
Result<platform::UniqueFd> source_keys(const bundle::Bundle& bundle, const SecretFlags& flags) {
  if (!bundle.key_cost()) return platform::UniqueFd();
  const vault::PackHeader& header = bundle.header();
  HF_TRY_ASSIGN(const crypto::Secret passphrase, passphrase_of(flags));
  HF_TRY_ASSIGN(const crypto::Secret dek,
                bundle::unwrap_from_transport(passphrase.view(), header, *bundle.key_cost()));
  HF_TRY_ASSIGN(const vault::ContentKeys keys,
                vault::derive_content_keys(dek, *header.seal, header.salt, header.model_id));
  const auto mac = vault::header_mac(vault::encode_header(header), keys.header_key);
  if (!crypto::constant_time_equal(mac, header.mac))
    return corrupt("the bundle's key is not that of its pack");
  HF_TRY_ASSIGN(platform::SocketPair pair, platform::make_socket_pair());
  HF_TRY(vault::send_content_keys(pair.ours.get(), keys, platform::Deadline::after(kKeyPatience)));
  return std::move(pair.theirs);
}

// The other site's history, and the last step of it. Where it has none, it begins here.
registry::Provenance provenance_of(const Context& context, const bundle::Bundle& bundle,
                                   const std::string& path) {
  registry::Provenance p = bundle.record().provenance.value_or(registry::Provenance{});
  if (!p.hops.empty()) p.hops.back().imported = act_now(context);
  if (p.origin.location.empty()) {
    const registry::Provenance here = provenance_of_path(context, path);
    p.origin = {registry::OriginKind::kBundle, here.origin.location, ""};
    p.imported = here.imported;
  }
  return p;
}

}  // namespace

bool looks_like_bundle(const std::string& path) {
  platform::PosixFileSystem files;
  const auto file = files.open_read(path);
  return file.ok() && bundle::looks_like_tar(**file);
}

Result<ImportedBundle> import_bundle(const Context& context, registry::Store& store,
                                     const std::string& path, const std::string& name,
                                     const SecretFlags& secrets) {
  platform::PosixFileSystem files;
  HF_TRY_ASSIGN(const auto file, files.open_read(path));
  HF_TRY_ASSIGN(const bundle::Bundle bundle, bundle::Bundle::open(*file));
  Progress bar(context, "importing " + std::string(platform::base_name(path)));
  // Everything is verified before anything is decrypted or written.
  HF_TRY(bundle.verify([&](std::uint64_t done, std::uint64_t total) {
    bar.update(done, total);
    return ok_status();
  }));
  importer::PackImport job;
  job.publication.name = bundle.record().name;
  if (!name.empty()) {
    HF_TRY_ASSIGN(job.publication.name, registry::parse_model_name(name));
  }
  job.publication.source = bundle.record().source;
  job.publication.variant = bundle.record().variant;
  job.publication.facts = bundle.record().facts;
  job.publication.provenance = provenance_of(context, bundle, path);
  HF_TRY(apply_bundle_signature(context, bundle.header(), bundle.signature(), job.publication));
  HF_TRY_ASSIGN(const std::unique_ptr<custody::Custody> signers, existing_custody(context));
  job.sign = instance_signing(context, signers.get());
  job.file = file.get();
  job.offset = bundle.pack().offset;
  job.length = bundle.pack().size;
  job.digest = bundle.pack().digest;
  HF_TRY_ASSIGN(job.engine_program, engine_program());
  HF_TRY_ASSIGN(const std::unique_ptr<custody::Custody> custody, sealing_custody(context));
  std::optional<HolderPackKeys> keys;
  if (custody != nullptr) job.keys = &keys.emplace(*custody);
  HF_TRY_ASSIGN(job.source_keys, source_keys(bundle, secrets));
  job.on_progress = [&bar](const importer::Progress& p) {
    bar.update(p.done_bytes, p.total_bytes);
  };
  HF_TRY_ASSIGN(importer::PackImportResult result, importer::import_pack(store, std::move(job)));
  bar.finish();
  HF_TRY(sign_if_unsigned(context, store, result.model, signers.get()));
  return ImportedBundle{std::move(result.model), to_hex(bundle.digest()), result.was_there,
                        result.bytes_kept};
}

}  // namespace holdfast::cli
