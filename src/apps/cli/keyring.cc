#include "keyring.h"

#include <algorithm>

#include "holdfast/platform/filesystem.h"
#include "holdfast/platform/process.h"
#include "holdfast/platform/socket.h"
#include "holdfast/vault/content_keys.h"
#include "output.h"
#include "signatures.h"

namespace holdfast::cli {

namespace {

constexpr auto kKeyPatience = std::chrono::seconds(10);

platform::FileSystem& real_files() {
  static platform::PosixFileSystem files;
  return files;
}

std::string config_directory(const Context& context) {
  std::string base(config::lookup(context.environment, "XDG_CONFIG_HOME"));
  if (base.empty()) base = std::string(config::lookup(context.environment, "HOME")) + "/.config";
  return base + "/holdfast";
}

// What the modules of tokens read of the environment; openers get nothing else.
constexpr std::string_view kTokenVariables[] = {"SOFTHSM2_CONF", "YUBIHSM_PKCS11_CONF",
                                                "ChrystokiConfigurationPath", "TPM2_PKCS11_STORE"};

custody::SlotDevices slot_devices(const Context& context) {
  custody::SlotDevices out;
  const std::string_view tcti = config::lookup(context.environment, "HOLDFAST_TCTI");
  if (!tcti.empty()) out.tcti = tcti;
  for (const std::string_view name : kTokenVariables) {
    const std::string_view value = config::lookup(context.environment, name);
    if (!value.empty())
      out.token_environment.push_back(std::string(name) + "=" + std::string(value));
  }
  return out;
}

Result<custody::CustodyOptions> custody_options(const Context& context, bool share) {
  const config::Settings& s = context.settings;
  custody::CustodyOptions o;
  o.data_dir = context.data_dir;
  o.keyring_path = s.text(config::Setting::keyring_file);
  o.key_file = config_directory(context) + "/root.key";
  o.credentials_dir = config::lookup(context.environment, "CREDENTIALS_DIRECTORY");
  o.credential = s.text(config::Setting::keyring_credential);
  o.cost.memory_kib =
      static_cast<std::uint32_t>(s.size_bytes(config::Setting::keyring_argon2_memory) / 1024);
  o.cost.passes = static_cast<std::uint32_t>(s.integer(config::Setting::keyring_argon2_time));
  o.devices = slot_devices(context);
  HF_TRY_ASSIGN(const std::string self, platform::own_executable_path());
  o.program_dir = platform::parent_path(self);
  o.share_holder = share;
  const std::string dual = s.text(config::Setting::policy_dual_control);
  o.dual_control =
      dual == "on" || (dual == "auto" && s.text(config::Setting::server_profile) != "default");
  return o;
}

// The three lines of a first start.
void say_what_was_made(const Context& context, const custody::Custody& c,
                       keyring::FactorKind kind) {
  notice(context,
         "created the keyring " + c.options().keyring_file() + ": models are sealed from now on");
  if (kind == keyring::FactorKind::kCredential) {
    notice(context, "  it opens with the systemd credential " + c.options().credential +
                        ": who can become root on this machine can read it");
  } else {
    notice(context, "  it opens with the key file " + c.options().key_file +
                        ", which does not protect against who steals the whole disk");
  }
  notice(context,
         "  a passphrase instead: holdfast seal slot add --kind passphrase (or tpm2, pkcs11); then "
         "holdfast seal slot rm");
}

}  // namespace

Result<std::unique_ptr<custody::Custody>> open_custody(const Context& context, bool share) {
  HF_TRY(real_files().make_dirs(context.data_dir, 0700));
  HF_TRY_ASSIGN(custody::CustodyOptions options, custody_options(context, share));
  return custody::Custody::open(real_files(), std::move(options));
}

Result<std::unique_ptr<custody::Custody>> start_custody(const Context& context) {
  HF_TRY_ASSIGN(std::unique_ptr<custody::Custody> c, open_custody(context, true));
  if (!c->exists()) {
    if (context.settings.text(config::Setting::store_seal) == "off") return c;
    const auto made = c->create_default();
    if (!made.ok() && made.error().code() != ErrorCode::kConflict) return made.error();
    // kConflict: another command was first.
    if (made.ok()) {
      say_what_was_made(context, *c, *made);
      HF_TRY(sign_models_of_before(context, *c));
    }
  }
  const Status opened = c->ensure_open();
  if (!opened.ok() && opened.error().code() != ErrorCode::kUnavailable) return opened.error();
  return c;
}

Result<std::unique_ptr<custody::Custody>> existing_custody(const Context& context) {
  HF_TRY_ASSIGN(const custody::CustodyOptions options, custody_options(context, false));
  if (!real_files().exists(options.keyring_file())) return std::unique_ptr<custody::Custody>();
  return open_custody(context);
}

Result<std::unique_ptr<custody::Custody>> sealing_custody(const Context& context) {
  if (context.settings.text(config::Setting::store_seal) == "off")
    return std::unique_ptr<custody::Custody>();
  HF_TRY_ASSIGN(std::unique_ptr<custody::Custody> c, existing_custody(context));
  if (c != nullptr) HF_TRY(c->ensure_open());
  return c;
}

Result<vault::PackHeader> header_of(const registry::Store& store,
                                    const registry::ModelRecord& model) {
  HF_TRY_ASSIGN(const auto file, store.open_pack(model));
  return vault::read_pack_header(*file);
}

Result<importer::PackKeys::NewKey> HolderPackKeys::new_key(const vault::ModelId& model_id) {
  HF_TRY_ASSIGN(platform::SocketPair pair, platform::make_socket_pair());
  HF_TRY_ASSIGN(const Bytes blob, custody_.give_dek(model_id, pair.ours.get(), choice_));
  NewKey key;
  HF_TRY_ASSIGN(key.slot, custody_.wrap_slot(blob));
  key.message = std::move(pair.theirs);
  return key;
}

Result<platform::UniqueFd> pack_keys(custody::Custody& custody, const platform::ByteSource& pack) {
  HF_TRY_ASSIGN(const vault::PackHeader header, vault::read_pack_header(pack));
  if (!header.seal) return platform::UniqueFd();
  HF_TRY_ASSIGN(platform::SocketPair pair, platform::make_socket_pair());
  HF_TRY(custody.send_content_keys(header, pair.ours.get()));
  return std::move(pair.theirs);
}

Result<platform::UniqueFd> pack_keys(const Context& context, const platform::ByteSource& pack) {
  HF_TRY_ASSIGN(const vault::PackHeader header, vault::read_pack_header(pack));
  if (!header.seal) return platform::UniqueFd();
  HF_TRY_ASSIGN(const std::unique_ptr<custody::Custody> c, open_custody(context));
  return pack_keys(*c, pack);
}

Result<vault::PackReader> open_reader(const Context& context, const platform::ByteSource& file) {
  HF_TRY_ASSIGN(const platform::UniqueFd keys, pack_keys(context, file));
  if (!keys.valid()) return vault::PackReader::open(file);
  HF_TRY_ASSIGN(vault::ContentKeys content,
                vault::receive_content_keys(keys.get(), platform::Deadline::after(kKeyPatience)));
  return vault::PackReader::open(file, nullptr, std::move(content));
}

}  // namespace holdfast::cli
