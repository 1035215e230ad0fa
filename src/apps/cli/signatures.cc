#include "signatures.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "holdfast/platform/clock.h"
#include "holdfast/platform/file.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/registry/manifest.h"
#include "holdfast/signing/bundle.h"
#include "holdfast/signing/tree.h"
#include "keyring.h"
#include "local_model.h"
#include "output.h"

namespace holdfast::cli {

namespace {

using config::Setting;

// In the manifest, and in the message to the importing child.
constexpr std::size_t kStoredBundleBytesMax = 2u << 20;

platform::FileSystem& real_files() {
  static platform::PosixFileSystem files;
  return files;
}

std::int64_t now_unix() { return platform::unix_seconds(platform::system_clock().wall_time()); }

std::string pack_resource(const crypto::Sha256Digest& pack) { return to_hex(pack) + ".hfc"; }

// A statement about a pack, not about the files that it was made from.
bool is_about_pack(const signing::Statement& statement) {
  return statement.resources.size() == 1 && statement.resources.front().name.ends_with(".hfc");
}

json::Object stored_signature(const std::string& bundle, const signing::Statement& statement,
                              const signing::Verified& by, bool instance) {
  return {{"publisher", instance ? json::Value() : json::Value(by.name)},
          {"key", to_hex(by.key_id)},
          {"root", to_hex(statement.root)},
          {"first_use", rfc3339(now_unix())},
          {"bundle", bundle}};
}

Result<std::optional<std::string>> read_if_there(const std::string& path) {
  if (!real_files().exists(path)) return std::optional<std::string>();
  HF_TRY_ASSIGN(const Bytes text,
                platform::read_file(real_files(), path, signing::kBundleBytesMax));
  return std::optional<std::string>(std::string(as_string_view(text)));
}

Error unsigned_model(const std::string& policy) {
  return corrupt("the model has no signature, and policy.signatures is \"" + policy + "\"")
      .with_hint("holdfast sign MODEL signs it in the name of this instance; or import it again");
}

Result<std::uint64_t> version_floor(const config::Settings& settings,
                                    const registry::ModelName& name) {
  const config::Map& floors = settings.map(Setting::policy_version_floor);
  auto it = floors.find(name.full());
  if (it == floors.end()) it = floors.find(name.name);
  if (it == floors.end()) return 0;
  std::uint64_t floor = 0;
  const char* end = it->second.data() + it->second.size();
  if (std::from_chars(it->second.data(), end, floor).ptr != end || it->second.empty())
    return invalid_argument("policy.version_floor of " + it->first + " is no number");
  return floor;
}

Status check_floor(const config::Settings& settings, const registry::ModelName& name,
                   std::uint64_t version) {
  HF_TRY_ASSIGN(const std::uint64_t floor, version_floor(settings, name));
  if (version >= floor) return ok_status();
  return corrupt("version " + std::to_string(version) + " of " + name.shown() +
                 " is older than policy.version_floor allows (" + std::to_string(floor) + ")")
      .with_hint("import a newer version");
}

}  // namespace

Result<std::string> read_pem_file(const std::string& path) {
  auto text = platform::read_file(real_files(), path, signing::kPemBytesMax);
  if (!text.ok()) return Error(text.error()).add_context(path);
  return std::string(as_string_view(*text));
}

Result<signing::Trust> configured_trust(const config::Settings& settings) {
  signing::Trust trust;
  for (const std::string& path : settings.list(Setting::policy_trust_keys)) {
    HF_TRY_ASSIGN(const std::string pem, read_pem_file(path));
    HF_TRY(signing::add_trusted(trust, pem).context("policy.trust_keys: " + path));
  }
  for (const std::string& hex : settings.list(Setting::policy_revoked)) {
    const auto id = registry::digest_from_hex(hex);
    if (!id.ok()) {
      return invalid_argument("policy.revoked: '" + hex + "' is no SHA-256 in hexadecimal")
          .with_hint("openssl ec -pubin -in KEY.pem -outform DER | sha256sum");
    }
    trust.revoked.push_back(*id);
  }
  return trust;
}

Result<std::optional<FoundBundle>> find_bundle(const std::string& model_path) {
  std::string path = model_path;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  std::error_code ec;
  const bool folder = std::filesystem::is_directory(path, ec);
  const std::string directory = folder ? path : platform::parent_path(path);
  FoundBundle found;
  found.path = folder ? "" : path + ".sig";
  found.root = path;
  std::optional<std::string> text;
  if (!folder) {
    HF_TRY_ASSIGN(text, read_if_there(found.path));
  }
  if (!text) {
    found.path = platform::join_path(directory, std::string(signing::kBundleFileName));
    HF_TRY_ASSIGN(text, read_if_there(found.path));
  }
  if (!text) return std::optional<FoundBundle>();
  HF_TRY_ASSIGN(found, read_bundle(found.path, path));
  // One file, or everything in its folder.
  const auto& resources = found.bundle.statement.resources;
  const bool one_file = resources.size() == 1 &&
                        (resources.front().name == "." || resources.front().name.starts_with(".:"));
  if (!folder && !one_file) found.root = directory;
  return std::optional<FoundBundle>(std::move(found));
}

Result<FoundBundle> read_bundle(const std::string& path, const std::string& root) {
  HF_TRY_ASSIGN(std::optional<std::string> text, read_if_there(path));
  if (!text) return not_found("there is no signature " + path);
  auto bundle = signing::decode_bundle(*text);
  if (!bundle.ok()) return std::move(bundle).error().add_context(path);
  return FoundBundle{path, root, std::move(*text), std::move(*bundle)};
}

Result<signing::Verified> verify_bundle_signature(const signing::Trust& trust,
                                                  const vault::PackHeader& header,
                                                  const signing::Bundle& bundle) {
  HF_TRY_ASSIGN(const signing::Verified by, signing::verify_signature(bundle, trust, now_unix()));
  if (bundle.statement.root != header.oms_root)
    return corrupt("the signature is that of another model");
  return by;
}

Status apply_bundle_signature(const Context& context, const vault::PackHeader& header,
                              ByteView signature, registry::Publication& publication) {
  const std::string& policy = context.settings.text(Setting::policy_signatures);
  if (policy == "off") return ok_status();
  HF_TRY(check_floor(context.settings, publication.name, header.model_version));
  if (signature.empty() && all_zero(header.oms_root)) {
    if (policy != "publisher") return ok_status();
    return corrupt("no publisher signed the model, and policy.signatures is \"publisher\"");
  }
  HF_TRY_ASSIGN(const signing::Trust trust, configured_trust(context.settings));
  const std::string text(as_string_view(signature));
  const auto bundle = signing::decode_bundle(text);
  const auto by = bundle.ok() ? verify_bundle_signature(trust, header, *bundle)
                              : Result<signing::Verified>(bundle.error());
  if (!by.ok()) {
    if (policy != "warn") return by.error();
    notice(context, "warning: " + by.error().client_message());
    return ok_status();
  }
  publication.others.set("signature", stored_signature(text, bundle->statement, *by, false));
  return ok_status();
}

Status apply_source_signature(const Context& context, const std::string& path,
                              bool replaces_template, importer::ImportOptions& options) {
  const std::string& policy = context.settings.text(Setting::policy_signatures);
  if (policy == "off") return ok_status();
  const auto refuse = [&](Error error) -> Status {
    if (policy != "warn") return error;
    notice(context, "warning: " + error.client_message() + " (policy.signatures = \"warn\")");
    return ok_status();
  };
  auto found = find_bundle(path);
  if (!found.ok()) return refuse(std::move(found).error());
  if (!*found) {
    if (policy != "publisher") return ok_status();
    return corrupt("no signature lies beside the model, and policy.signatures is \"publisher\"")
        .with_hint("the publisher's model.sig belongs into the model's folder");
  }
  FoundBundle& bundle = **found;
  HF_TRY_ASSIGN(const signing::Trust trust, configured_trust(context.settings));
  const auto verified = signing::verify_signature(bundle.bundle, trust, now_unix());
  if (!verified.ok()) return refuse(verified.error());
  if (bundle.text.size() > kStoredBundleBytesMax)
    return exhausted("the model's signature is longer than 2 MiB: it has too many files");
  options.check_files = [files = &real_files(), bundle](const auto& digests) {
    signing::TreeOptions tree;
    tree.bundle = bundle.path;
    tree.known = digests;
    return signing::check_files(*files, bundle.root, bundle.bundle.statement, std::move(tree));
  };
  if (replaces_template) {
    if (policy == "publisher")
      return corrupt("another chat template is not what the publisher signed");
    notice(context, "note: with another template the model is not the publisher's any more");
    return ok_status();
  }
  const signing::Statement& statement = bundle.bundle.statement;
  options.model_version = std::max(options.model_version, statement.model_version);
  options.signature = importer::SourceSignature{statement.root, bundle.text};
  options.others.set("signature", stored_signature(bundle.text, statement, *verified, false));
  return ok_status();
}

Result<signing::PublicKey> InstanceSigner::public_key() {
  HF_TRY_ASSIGN(const Bytes spki, custody_.import_public_key());
  return signing::PublicKey::from_spki(spki);
}

Result<json::Object> pack_signature(const crypto::Sha256Digest& pack, signing::Signer& signer,
                                    std::span<const Bytes> certificates, bool instance) {
  signing::Statement statement;
  statement.model = to_hex(pack);
  statement.resources = {{pack_resource(pack), pack}};
  statement.root = signing::root_digest(statement.resources);
  HF_TRY_ASSIGN(const std::string bundle, signing::sign_statement(statement, signer, certificates));
  HF_TRY_ASSIGN(const signing::PublicKey key, signer.public_key());
  const signing::Verified by{signing::key_name(key.id()), key.id()};
  return stored_signature(bundle, statement, by, instance);
}

importer::SignPack instance_signing(const Context& context, custody::Custody* custody) {
  if (custody == nullptr || context.settings.text(Setting::policy_signatures) != "require")
    return {};
  return [custody](const crypto::Sha256Digest& pack) -> Result<json::Object> {
    InstanceSigner signer(*custody);
    return pack_signature(pack, signer, {}, true);
  };
}

Status sign_if_unsigned(const Context& context, registry::Store& store,
                        registry::ModelRecord& model, custody::Custody* custody) {
  const importer::SignPack sign = instance_signing(context, custody);
  if (!sign || model.others.contains("signature")) return ok_status();
  HF_TRY_ASSIGN(json::Object signature, sign(model.pack));
  HF_TRY(store.set_signature(model, signature));
  model.others.set("signature", std::move(signature));
  return ok_status();
}

Status sign_models_of_before(const Context& context, custody::Custody& custody) {
  if (context.settings.text(Setting::policy_signatures) != "require") return ok_status();
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  HF_TRY_ASSIGN(const registry::Listing listing, store->list());
  std::size_t n = 0;
  for (registry::ModelRecord& model : one_per_pack(listing.models)) {
    if (model.others.contains("signature")) continue;
    HF_TRY(sign_if_unsigned(context, *store, model, &custody));
    ++n;
  }
  if (n > 0)
    notice(context, "  " + std::to_string(n) + (n == 1 ? " model that was" : " models that were") +
                        " here before: signed by this instance (publisher: none)");
  return ok_status();
}

Result<SignatureState> verify_stored(signing::Trust trust, const registry::ModelRecord& model,
                                     const vault::PackHeader& header, custody::Custody* custody) {
  const json::Value* stored = model.others.find("signature");
  const json::Value* text = stored == nullptr ? nullptr : stored->find("bundle");
  if (text == nullptr || !text->is_string()) {
    if (all_zero(header.oms_root)) return SignatureState();
    return corrupt("the model's signature is gone from the store")
        .with_hint("import the model again");
  }
  HF_TRY_ASSIGN(const signing::Bundle bundle, signing::decode_bundle(text->as_string()));
  const signing::Statement& statement = bundle.statement;
  const bool about_pack = is_about_pack(statement);
  const crypto::Sha256Digest& bound =
      about_pack ? statement.resources.front().digest : statement.root;
  if (bound != (about_pack ? model.pack : header.oms_root))
    return corrupt("the model's signature is that of another model");
  SignatureState out;
  if (about_pack && custody != nullptr) {
    HF_TRY_ASSIGN(const signing::PublicKey own, InstanceSigner(*custody).public_key());
    if (bundle.key_hint == own.hint()) {
      trust.keys = {own};
      out.kind = SignatureState::Kind::kInstance;
    }
  }
  if (out.kind == SignatureState::Kind::kNone) out.kind = SignatureState::Kind::kPublisher;
  HF_TRY_ASSIGN(out.signer, signing::verify_signature(bundle, trust, now_unix()));
  return out;
}

Status check_signature(const config::Settings& settings, const registry::ModelRecord& model,
                       const vault::PackHeader& header, custody::Custody* custody,
                       const std::function<void(const std::string&)>& warn) {
  const std::string& policy = settings.text(Setting::policy_signatures);
  if (policy == "off") return ok_status();
  HF_TRY(check_floor(settings, model.name, header.model_version));
  HF_TRY_ASSIGN(signing::Trust trust, configured_trust(settings));
  auto state = verify_stored(std::move(trust), model, header, custody);
  if (policy == "warn") {
    if (!state.ok()) warn(model.name.shown() + ": " + state.error().client_message());
    if (state.ok() && state->kind == SignatureState::Kind::kNone)
      warn(model.name.shown() + " has no signature");
    return ok_status();
  }
  if (!state.ok()) return std::move(state).error();
  if (state->kind == SignatureState::Kind::kPublisher) return ok_status();
  if (policy == "publisher") {
    return corrupt("no trusted publisher signed the model, and policy.signatures is \"publisher\"")
        .with_hint(
            "import it with the publisher's model.sig, and name the key in "
            "policy.trust_keys");
  }
  // Without a keyring there is no key that could sign what arrives: `ls --format wide` says so.
  if (state->kind == SignatureState::Kind::kInstance || custody == nullptr) return ok_status();
  return unsigned_model(policy);
}

Status check_signature(const Context& context, const registry::Store& store,
                       const registry::ModelRecord& model) {
  if (context.settings.text(Setting::policy_signatures) == "off") return ok_status();
  HF_TRY_ASSIGN(const vault::PackHeader header, header_of(store, model));
  HF_TRY_ASSIGN(const std::unique_ptr<custody::Custody> custody, existing_custody(context));
  return check_signature(context.settings, model, header, custody.get(),
                         [&](const std::string& text) { notice(context, "warning: " + text); });
}

}  // namespace holdfast::cli
