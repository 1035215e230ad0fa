// Model signatures as the settings want them: at import, in the store, and before each load.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "context.h"
#include "holdfast/custody/custody.h"
#include "holdfast/importer/importer.h"
#include "holdfast/registry/store.h"
#include "holdfast/signing/trust.h"
#include "holdfast/vault/pack_format.h"

namespace holdfast::cli {

// policy.trust_keys and policy.revoked, read from their files. kInvalidArgument names the file.
Result<signing::Trust> configured_trust(const config::Settings& settings);
// A PEM file of at most 64 KiB.
Result<std::string> read_pem_file(const std::string& path);

// A signature found beside a model: FILE.sig, or model.sig in its folder. `root`: what it is about.
struct FoundBundle {
  std::string path;
  std::string root;
  std::string text;
  signing::Bundle bundle;
};
// nullopt where there is none. Errors of decoding name the file.
Result<std::optional<FoundBundle>> find_bundle(const std::string& model_path);
// The signature in that file, about `root`. kNotFound.
Result<FoundBundle> read_bundle(const std::string& path, const std::string& root);

// What an import does with the signature of its source under policy.signatures: fills `options`
// where a trusted publisher signed, or refuses with kCorrupt and the reason. `replaces_template`:
// the pack will not have the publisher's template.
Status apply_source_signature(const Context& context, const std::string& path,
                              bool replaces_template, importer::ImportOptions& options);
// The same for a bundle of another site: fills `publication`.
Status apply_bundle_signature(const Context& context, const vault::PackHeader& header,
                              ByteView signature, registry::Publication& publication);
// A publisher's signature that came with a pack of that header.
Result<signing::Verified> verify_bundle_signature(const signing::Trust& trust,
                                                  const vault::PackHeader& header,
                                                  const signing::Bundle& bundle);
// What was imported before there was a keyring: signs each of these models, and says how many.
Status sign_models_of_before(const Context& context, custody::Custody& custody);
// Signs new packs with this instance's own key before they are published, where policy and keyring
// want that; else empty. `custody` (nullptr: there is no keyring) outlives it.
importer::SignPack instance_signing(const Context& context, custody::Custody* custody);
// Signs a model of the store that nobody has signed, as instance_signing would have.
Status sign_if_unsigned(const Context& context, registry::Store& store,
                        registry::ModelRecord& model, custody::Custody* custody);

// A statement about a pack, signed by `signer` with an optional chain: the manifest's `signature`.
Result<json::Object> pack_signature(const crypto::Sha256Digest& pack, signing::Signer& signer,
                                    std::span<const Bytes> certificates, bool instance);
// By the key that the key holder has for models that arrive unsigned. `custody` outlives it.
class InstanceSigner final : public signing::Signer {
 public:
  explicit InstanceSigner(custody::Custody& custody) : custody_(custody) {}
  Result<signing::PublicKey> public_key() override;
  Result<Bytes> sign(ByteView message) override { return custody_.sign_import(message); }

 private:
  custody::Custody& custody_;
};

struct SignatureState {
  enum class Kind : std::uint8_t { kNone, kInstance, kPublisher } kind = Kind::kNone;
  signing::Verified signer;
};
// Verifies the model's stored signature against the pack's header. kCorrupt with the reason where
// it has one that does not hold. `custody` may be nullptr: then nothing is this instance's.
Result<SignatureState> verify_stored(signing::Trust trust, const registry::ModelRecord& model,
                                     const vault::PackHeader& header, custody::Custody* custody);
// Whether the model may be loaded: policy.signatures, policy.version_floor. kCorrupt with the
// reason; `warn` is told of what the policy lets pass all the same.
Status check_signature(const config::Settings& settings, const registry::ModelRecord& model,
                       const vault::PackHeader& header, custody::Custody* custody,
                       const std::function<void(const std::string&)>& warn);
// For commands: opens what is needed itself.
Status check_signature(const Context& context, const registry::Store& store,
                       const registry::ModelRecord& model);

}  // namespace holdfast::cli
