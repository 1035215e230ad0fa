// The way out of transport.h.
#include <algorithm>

#include "holdfast/bundle/bom.h"
#include "holdfast/bundle/bundle.h"
#include "holdfast/bundle/transport_key.h"
#include "holdfast/keyholder/link.h"
#include "holdfast/platform/atomic_file.h"
#include "keyring.h"
#include "local_model.h"
#include "model_bom.h"
#include "model_facts_text.h"
#include "output.h"
#include "transport.h"

namespace holdfast::cli {

namespace {

constexpr unsigned kFileMode = 0600;
constexpr auto kKeyPatience = std::chrono::seconds(10);
constexpr std::size_t kPassphraseBytesMax = 1024;

// Seals the pack's key under the passphrase; slots of this instance stay at home.
Status add_transport_key(const Context& context, OperatorSecrets& secrets,
                         const ApproverFlags& approvers, bundle::BundleInput& input) {
  HF_TRY_ASSIGN(const std::unique_ptr<custody::Custody> custody, open_custody(context));
  HF_TRY(approve(*custody, approvers));
  HF_TRY_ASSIGN(const crypto::Secret dek, custody->reveal_pack_dek(input.header));
  HF_TRY_ASSIGN(const platform::UniqueFd fd, secrets.new_passphrase(0));
  HF_TRY_ASSIGN(const crypto::Secret passphrase, read_passphrase(fd.get()));
  crypto::Argon2Cost cost = custody->options().cost;
  input.header.slots = {};
  HF_TRY_ASSIGN(input.header.slots[0],
                bundle::wrap_for_transport(passphrase.view(), input.header, cost, dek));
  input.key_cost = cost;
  return ok_status();
}

// One way more in the model's history; of a history that is too long the middle goes.
void add_hop(const Context& context, registry::ModelRecord& record) {
  registry::Provenance p = record.provenance.value_or(registry::Provenance{});
  if (p.hops.size() >= registry::kHopsMax) p.hops.erase(p.hops.begin() + 1);
  p.hops.push_back({act_now(context), std::nullopt});
  record.provenance = std::move(p);
}

Status fill_documents(const Context& context, const vault::PackReader& pack,
                      bundle::BundleInput& input) {
  if (auto signature = pack.read_object(vault::ObjectKind::kOmsBundle); signature.ok())
    input.signature = *std::move(signature);
  add_hop(context, input.record);
  HF_TRY_ASSIGN(const bundle::BomModel model, bom_model(input.record, pack));
  input.bom = bom_of(context, {&model, 1});
  return ok_status();
}

}  // namespace

Result<crypto::Secret> read_passphrase(int fd) {
  HF_TRY_ASSIGN(
      const crypto::Secret text,
      keyholder::read_secret(fd, kPassphraseBytesMax, platform::Deadline::after(kKeyPatience)));
  const std::string_view view = as_string_view(text.view());
  const std::size_t end = std::min(view.find_first_of("\r\n"), view.size());
  if (end == 0) return invalid_argument("the passphrase is empty");
  return crypto::Secret::copy_of(text.view().first(end));
}

Result<Exported> export_bundle(const Context& context, const ExportFlags& flags) {
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  bundle::BundleInput input;
  HF_TRY_ASSIGN(input.record, store->resolve(flags.model));
  static platform::PosixFileSystem files;
  HF_TRY_ASSIGN(platform::AtomicFile out,
                platform::AtomicFile::create(files, flags.output,
                                             platform::AtomicFile::Existing::kRefuse, kFileMode));
  HF_TRY_ASSIGN(const auto file, store->open_pack(input.record));
  HF_TRY_ASSIGN(const vault::PackReader pack, open_reader(context, *file));
  // A damaged model is found here and not at the other site.
  HF_TRY(pack.verify_all());
  input.pack = file.get();
  input.header = pack.header();
  OperatorSecrets secrets(flags.secrets);
  if (pack.sealed()) HF_TRY(add_transport_key(context, secrets, flags.approvers, input));
  HF_TRY(fill_documents(context, pack, input));
  Progress bar(context, "exporting " + input.record.name.shown());
  HF_TRY_ASSIGN(const crypto::Sha256Digest digest,
                bundle::write_bundle(input, out.file(), [&](std::uint64_t done, std::uint64_t all) {
                  bar.update(done, all);
                  return ok_status();
                }));
  bar.finish();
  const std::uint64_t bytes = out.file().size();
  HF_TRY(out.commit());
  return Exported{input.record, to_hex(digest), bytes, pack.sealed()};
}

}  // namespace holdfast::cli
