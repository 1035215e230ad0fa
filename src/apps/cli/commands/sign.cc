// `holdfast sign` and `holdfast verify`: OMS signatures of files, folders, bundles and models.
#include <filesystem>

#include "../command.h"
#include "../keyring.h"
#include "../local_model.h"
#include "../output.h"
#include "../signatures.h"
#include "../transport.h"
#include "holdfast/bundle/bundle.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/signing/tree.h"

namespace holdfast::cli {

namespace {

struct SignFlags {
  std::string target;
  std::string key;
  std::string cert;
  std::string output;
  std::vector<std::string> ignore;
  std::uint64_t model_version = 0;
};
struct VerifyFlags {
  std::string target;
  std::string key;
  std::string ca;
  std::string identity;
  std::string signature;
};

bool is_path(const std::string& target) {
  std::error_code ec;
  return looks_like_path(target) || std::filesystem::exists(target, ec);
}

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

Result<std::vector<Bytes>> chain_of(const std::string& path) {
  if (path.empty()) return std::vector<Bytes>();
  HF_TRY_ASSIGN(const std::string pem, read_pem_file(path));
  auto chain = signing::certificates_from_pem(pem);
  if (!chain.ok()) return std::move(chain).error().add_context(path);
  return chain;
}

Result<signing::PemSigner> signer_of(const std::string& path) {
  HF_TRY_ASSIGN(const std::string pem, read_pem_file(path));
  auto signer = signing::PemSigner::load(pem);
  if (!signer.ok()) return std::move(signer).error().add_context(path);
  return signer;
}

Status sign_path(Context& context, const SignFlags& flags) {
  if (flags.key.empty()) {
    return invalid_argument("a file or folder is signed with a key")
        .with_hint("--key KEY.pem; openssl ecparam -genkey -name prime256v1 -noout makes one");
  }
  platform::PosixFileSystem files;
  const std::string path = without_slash(flags.target);
  HF_TRY_ASSIGN(const platform::FileInfo info, files.stat(path));
  const bool folder = info.kind == platform::FileKind::kDirectory;
  const std::string output = !flags.output.empty() ? flags.output
                             : folder ? path + "/" + std::string(signing::kBundleFileName)
                                      : path + ".sig";
  signing::TreeOptions tree;
  tree.bundle = output;
  tree.ignore_paths = flags.ignore;
  signing::Statement statement;
  statement.model = std::filesystem::absolute(path).filename().string();
  statement.model_version = flags.model_version;
  HF_TRY_ASSIGN(statement.resources, signing::hash_files(files, path, tree));
  statement.ignore_paths = flags.ignore;
  if (folder) {
    if (platform::parent_path(output) == path)
      statement.ignore_paths.emplace_back(platform::base_name(output));
    for (const std::string& name : signing::default_ignored())
      statement.ignore_paths.push_back(name);
  }
  HF_TRY_ASSIGN(signing::PemSigner signer, signer_of(flags.key));
  HF_TRY_ASSIGN(const std::vector<Bytes> chain, chain_of(flags.cert));
  HF_TRY_ASSIGN(const std::string bundle, signing::sign_statement(statement, signer, chain));
  HF_TRY(platform::write_file_atomic(files, output, as_bytes_view(bundle), 0644));
  const std::string root = to_hex(signing::root_digest(statement.resources));
  if (context.json()) {
    print_json_line(json::Object{{"status", "success"},
                                 {"file", output},
                                 {"files", statement.resources.size()},
                                 {"root", "sha256:" + root}});
  } else {
    print((context.flags.quiet
               ? ""
               : "signed " + std::to_string(statement.resources.size()) + " files: ") +
          output + "\n");
  }
  return ok_status();
}

Status sign_model(Context& context, const SignFlags& flags) {
  if (!flags.output.empty() || !flags.ignore.empty() || flags.model_version != 0)
    return invalid_argument("those flags are for files and folders");
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  HF_TRY_ASSIGN(const registry::ModelRecord model, store->resolve(flags.target));
  json::Object signature;
  if (!flags.key.empty()) {
    HF_TRY_ASSIGN(signing::PemSigner signer, signer_of(flags.key));
    HF_TRY_ASSIGN(const std::vector<Bytes> chain, chain_of(flags.cert));
    HF_TRY_ASSIGN(signature, pack_signature(model.pack, signer, chain, false));
  } else {
    HF_TRY_ASSIGN(const std::unique_ptr<custody::Custody> custody, existing_custody(context));
    if (custody == nullptr) {
      return not_found("there is no keyring, and so no key of this instance")
          .with_hint("--key KEY.pem, or holdfast seal slot add makes a keyring");
    }
    InstanceSigner signer(*custody);
    HF_TRY_ASSIGN(signature, pack_signature(model.pack, signer, {}, true));
  }
  HF_TRY(store->set_signature(model, signature));
  if (context.json()) {
    print_json_line(json::Object{{"status", "success"}, {"model", model.name.full()}});
  } else {
    notice(context, "signed " + model.name.shown() +
                        (flags.key.empty() ? " in the name of this instance" : ""));
  }
  return ok_status();
}

// What a command says, or what the settings trust.
Result<signing::Trust> trust_of(const Context& context, const VerifyFlags& flags) {
  HF_TRY_ASSIGN(signing::Trust trust, configured_trust(context.settings));
  if (!flags.key.empty() || !flags.ca.empty()) {
    trust.keys.clear();
    trust.authorities.clear();
    for (const std::string& path : {flags.key, flags.ca}) {
      if (path.empty()) continue;
      HF_TRY_ASSIGN(const std::string pem, read_pem_file(path));
      HF_TRY(signing::add_trusted(trust, pem).context(path));
    }
  }
  if (!flags.ca.empty() && flags.identity.empty()) {
    return invalid_argument("an authority certifies many: whose signature is wanted?")
        .with_hint("--identity NAME: an address, URI or common name of the signing certificate");
  }
  trust.identity = flags.identity;
  return trust;
}

void say_verified(const Context& context, json::Object document, const std::string& text) {
  if (context.json()) {
    document.set("status", "success");
    print_json_line(std::move(document));
  } else if (!context.flags.quiet) {
    print(text + "\n");
  }
}

Status verify_path(Context& context, const VerifyFlags& flags) {
  std::optional<FoundBundle> found;
  if (flags.signature.empty()) {
    HF_TRY_ASSIGN(found, find_bundle(flags.target));
  } else {
    HF_TRY_ASSIGN(found, read_bundle(flags.signature, flags.target));
  }
  if (!found) {
    return corrupt("there is no signature beside " + flags.target)
        .with_hint("model.sig in the folder, FILE.sig beside a file, or --signature FILE");
  }
  HF_TRY_ASSIGN(const signing::Trust trust, trust_of(context, flags));
  HF_TRY_ASSIGN(
      const signing::Verified by,
      signing::verify_signature(found->bundle, trust,
                                platform::unix_seconds(platform::system_clock().wall_time())));
  platform::PosixFileSystem files;
  signing::TreeOptions tree;
  tree.bundle = found->path;
  const signing::Statement& statement = found->bundle.statement;
  HF_TRY(signing::check_files(files, without_slash(found->root), statement, std::move(tree)));
  say_verified(context,
               {{"signer", by.name},
                {"key", to_hex(by.key_id)},
                {"root", "sha256:" + to_hex(statement.root)},
                {"files", statement.resources.size()}},
               flags.target + ": signed by " + by.name + ", all of its " +
                   std::to_string(statement.resources.size()) + " parts are as signed");
  return ok_status();
}

std::string text_of(const SignatureState& state) {
  switch (state.kind) {
    case SignatureState::Kind::kPublisher:
      return "publisher: " + state.signer.name;
    case SignatureState::Kind::kInstance:
      return "publisher: none (signed by this instance)";
    case SignatureState::Kind::kNone:
      break;
  }
  return "none";
}

Status verify_model(Context& context, const VerifyFlags& flags) {
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  HF_TRY_ASSIGN(const registry::ModelRecord model, store->resolve(flags.target));
  HF_TRY_ASSIGN(const auto file, store->open_pack(model));
  HF_TRY_ASSIGN(const vault::PackReader pack, open_reader(context, *file));
  HF_TRY(pack.verify_all());
  HF_TRY_ASSIGN(const std::unique_ptr<custody::Custody> custody, existing_custody(context));
  HF_TRY_ASSIGN(const signing::Trust trust, trust_of(context, flags));
  HF_TRY_ASSIGN(const SignatureState state,
                verify_stored(trust, model, pack.header(), custody.get()));
  const bool asked = !flags.key.empty() || !flags.ca.empty();
  if (asked && state.kind != SignatureState::Kind::kPublisher)
    return corrupt("that key has not signed the model", "signature: " + text_of(state));
  HF_TRY(check_signature(context, *store, model));
  const vault::PackHeader& header = pack.header();
  const std::string seal =
      header.seal ? std::string(crypto::aead_algorithm_name(*header.seal)) : "no";
  say_verified(context,
               {{"model", model.name.full()},
                {"digest", "sha256:" + to_hex(model.pack)},
                {"chunks", header.n_chunks()},
                {"seal", seal},
                {"signature", text_of(state)}},
               model.name.shown() + ": all " + std::to_string(header.n_chunks()) +
                   " chunks are whole; sealed: " + seal + "; signature: " + text_of(state));
  return ok_status();
}

Status verify_bundle_file(Context& context, const VerifyFlags& flags) {
  platform::PosixFileSystem files;
  HF_TRY_ASSIGN(const auto file, files.open_read(flags.target));
  HF_TRY_ASSIGN(const bundle::Bundle bundle, bundle::Bundle::open(*file));
  HF_TRY(bundle.verify());
  std::string signature = "none";
  if (!bundle.signature().empty()) {
    HF_TRY_ASSIGN(const signing::Trust trust, trust_of(context, flags));
    HF_TRY_ASSIGN(const signing::Bundle signed_by,
                  signing::decode_bundle(as_string_view(bundle.signature())));
    HF_TRY_ASSIGN(const signing::Verified by,
                  verify_bundle_signature(trust, bundle.header(), signed_by));
    signature = "publisher: " + by.name;
  } else if (!flags.key.empty() || !flags.ca.empty()) {
    return corrupt("the bundle has no publisher's signature");
  }
  say_verified(context,
               {{"model", bundle.record().name.full()},
                {"digest", "sha256:" + to_hex(bundle.digest())},
                {"sealed", bundle.key_cost().has_value()},
                {"signature", signature}},
               flags.target + ": " + bundle.record().name.shown() +
                   ", everything is as exported; signature: " + signature);
  return ok_status();
}

}  // namespace

void add_sign(Registrar& r) {
  CLI::App& sign = r.add("sign",
                         "Sign a model: a file or folder before it is published, or one "
                         "in the store");
  auto s = std::make_shared<SignFlags>();
  sign.add_option("TARGET", s->target, "File, folder, or name of a model in the store")->required();
  sign.add_option("--key", s->key,
                  "Private key (EC, PEM); for a model in the store without it: this instance's")
      ->type_name("KEY.pem");
  sign.add_option("--cert", s->cert, "Certificate of that key, and those up to the authority")
      ->type_name("CHAIN.pem");
  sign.add_option("-o,--output", s->output,
                  "The signature; model.sig in the folder, FILE.sig "
                  "beside a file")
      ->type_name("FILE");
  sign.add_option("--ignore", s->ignore, "Path below the folder that is not signed")
      ->type_name("PATH");
  sign.add_option("--model-version", s->model_version,
                  "Version of the model: policy.version_floor refuses lower ones")
      ->type_name("N");
  r.bind(sign, [s](Context& context) {
    return is_path(s->target) ? sign_path(context, *s) : sign_model(context, *s);
  });
  CLI::App& verify = r.add("verify",
                           "Verify a model and its signature: in the store, a path, or "
                           "a bundle");
  auto v = std::make_shared<VerifyFlags>();
  verify.add_option("TARGET", v->target, "Name of a model, file, folder or bundle")->required();
  verify.add_option("--key", v->key, "Public key that must have signed it")->type_name("PUB.pem");
  verify.add_option("--ca", v->ca, "Certificate of the authority that certified the signer")
      ->type_name("CA.pem");
  verify.add_option("--identity", v->identity, "Name in the signer's certificate")
      ->type_name("NAME");
  verify.add_option("--signature", v->signature, "The signature, where it lies elsewhere")
      ->type_name("FILE");
  r.bind(verify, [v](Context& context) -> Status {
    if (!is_path(v->target)) return verify_model(context, *v);
    std::error_code ec;
    if (std::filesystem::is_regular_file(v->target, ec) && looks_like_bundle(v->target))
      return verify_bundle_file(context, *v);
    return verify_path(context, *v);
  });
}

}  // namespace holdfast::cli
