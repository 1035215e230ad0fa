// `holdfast seal`: the keyring of this data directory, its slots and its rotation.
#include <algorithm>

#include "../command.h"
#include "../keyring.h"
#include "../local_model.h"
#include "../output.h"
#include "../reseal.h"
#include "../signatures.h"
#include "holdfast/keyring/recovery_code.h"
#include "holdfast/keyring/slot_params.h"
#include "holdfast/platform/entropy.h"
#include "holdfast/platform/filesystem.h"
#include "seal_credential.h"
#include "seal_secrets.h"

namespace holdfast::cli {

namespace {

using custody::Custody;
using keyring::FactorKind;
using keyring::SlotPlan;

struct SlotFlags {
  std::vector<std::string> kinds;
  SecretFlags secrets;
  ApproverFlags approvers;
  std::string pkcs11_uri;
  bool pkcs11_generate = false;
  std::vector<int> pcrs;
  std::string path;
  std::string label;
};

std::string kinds_of(const SlotPlan& slot) {
  std::string out;
  for (const keyring::Factor& f : slot.factors) {
    out += out.empty() ? "" : "+";
    out += slot.recovery ? "recovery" : keyring::factor_kind_name(f.kind);
  }
  return out;
}

std::string slot_hex(const SlotPlan& slot) { return to_hex(slot.id); }

json::Object slot_json(const SlotPlan& slot) {
  json::Array kinds;
  for (const keyring::Factor& f : slot.factors)
    kinds.emplace_back(keyring::factor_kind_name(f.kind));
  return {{"id", slot_hex(slot)},
          {"label", slot.label},
          {"kinds", std::move(kinds)},
          {"recovery", slot.recovery},
          {"automatic", custody::opens_by_itself(slot)},
          {"created_at", rfc3339(static_cast<std::int64_t>(slot.created))}};
}

std::string_view state_of(const custody::CustodyStatus& s) {
  if (!s.exists) return "none";
  return s.holder.open ? "open" : "sealed";
}

void print_status(const Context& context, const custody::CustodyStatus& s, const Custody& c) {
  if (!s.exists) {
    print("there is no keyring: models are not sealed\n");
    notice(context, "holdfast seal slot add --kind passphrase makes one; so does holdfast serve");
    return;
  }
  print("keyring      " + std::string(state_of(s)) +
        (s.holder.open && !s.holder_is_shared ? " (for this command; no server is running)" : "") +
        "\nfile         " + c.options().keyring_file() + "\n");
  if (s.holder.open) {
    print("generation   " + std::to_string(s.holder.generation) + "\nroot epoch   " +
          std::to_string(s.holder.irk_epoch) + "\nkey memory   " +
          std::string(platform::secret_memory_kind_name(s.holder.memory)) + "\n");
  }
  print("key epoch    " + std::to_string(s.kek_epoch) + "\nmodels       " +
        std::to_string(s.models) + " with a key\n\n");
  Table table({"SLOT", "KIND", "OPENS", "CREATED", "LABEL"});
  for (const SlotPlan& slot : s.slots) {
    table.add({short_id(context, slot_hex(slot)), kinds_of(slot),
               custody::opens_by_itself(slot) ? "by itself" : "with an operator",
               time_ago(static_cast<std::int64_t>(slot.created)), slot.label});
  }
  print(table.render(terminal_width()));
}

// Without a server the slots that need nobody show whether they do open.
Status status(Context& context) {
  HF_TRY_ASSIGN(const std::unique_ptr<Custody> c, open_custody(context));
  if (c->exists()) {
    const Status opened = c->ensure_open();
    if (!opened.ok() && opened.error().code() != ErrorCode::kUnavailable) return opened;
  }
  HF_TRY_ASSIGN(const custody::CustodyStatus s, c->status());
  if (!context.json()) {
    print_status(context, s, *c);
    return ok_status();
  }
  json::Array slots;
  for (const SlotPlan& slot : s.slots) slots.emplace_back(slot_json(slot));
  print_json(json::Object{{"state", state_of(s)},
                          {"server", s.holder_is_shared},
                          {"generation", s.holder.generation},
                          {"irk_epoch", s.holder.irk_epoch},
                          {"kek_epoch", s.kek_epoch},
                          {"models", s.models},
                          {"memory", platform::secret_memory_kind_name(s.holder.memory)},
                          {"slots", std::move(slots)}});
  return ok_status();
}

void say_done(const Context& context, const std::string& text, json::Object document) {
  if (context.json()) {
    print_json_line(std::move(document));
  } else {
    notice(context, text);
  }
}

Status unseal(Context& context, const SecretFlags& flags, const std::string& slot) {
  HF_TRY_ASSIGN(const std::unique_ptr<Custody> c, open_custody(context));
  OperatorSecrets secrets(flags);
  SlotPlan only;
  if (!slot.empty()) {
    HF_TRY_ASSIGN(only, find_slot(*c, slot));
  }
  HF_TRY(c->unseal(secrets.asker(), slot.empty() ? nullptr : &only.id));
  HF_TRY_ASSIGN(const custody::CustodyStatus s, c->status());
  say_done(context,
           s.holder_is_shared ? "the keyring is open"
                              : "the secret is right; no server is running, so nothing stays open",
           {{"state", "open"}, {"server", s.holder_is_shared}});
  return ok_status();
}

Status seal(Context& context) {
  HF_TRY_ASSIGN(const std::unique_ptr<Custody> c, open_custody(context));
  HF_TRY(c->seal());
  say_done(context, "the keyring is sealed: models that are loaded go on, no other can be",
           {{"state", "sealed"}});
  return ok_status();
}

Result<FactorKind> parse_kind(const std::string& name) {
  const auto kind = keyring::find_factor_kind(name);
  if (kind && *kind != FactorKind::kPbkdf2) return *kind;  // that is for a profile to choose
  return invalid_argument("unknown kind of slot '" + name + "'")
      .with_hint("passphrase, recovery, file, systemd, tpm2 or pkcs11");
}

Result<custody::FactorInput> factor_of(const SlotFlags& flags, const std::string& kind_name,
                                       std::size_t passphrases, OperatorSecrets& secrets,
                                       Custody& c) {
  custody::FactorInput factor;
  HF_TRY_ASSIGN(factor.kind, parse_kind(kind_name));
  switch (factor.kind) {
    case FactorKind::kPassphrase: {
      HF_TRY_ASSIGN(factor.secret, secrets.new_passphrase(passphrases));
      break;
    }
    case FactorKind::kFile:
      factor.hint = flags.path.empty() ? c.options().key_file : flags.path;
      HF_TRY(c.ensure_key_file(factor.hint));
      break;
    case FactorKind::kCredential:
      factor.hint = c.options().credential;
      break;
    case FactorKind::kTpm2: {
      std::uint32_t mask = 0;
      for (const int pcr : flags.pcrs) mask |= 1u << pcr;
      factor.hint = std::to_string(mask);
      HF_TRY_ASSIGN(factor.secret, secrets.pin());
      break;
    }
    default: {
      if (flags.pkcs11_uri.empty()) {
        return invalid_argument("which key in which token?")
            .with_hint("--pkcs11-uri 'pkcs11:token=NAME;object=LABEL?module-path=/PATH.so'");
      }
      HF_TRY_ASSIGN(const std::string pin_source, keyring::pin_source_of(flags.pkcs11_uri));
      factor.hint = (flags.pkcs11_generate ? "generate " : "") + flags.pkcs11_uri;
      if (pin_source.empty()) {
        HF_TRY_ASSIGN(factor.secret, secrets.pin_of("the token"));
      }
      break;
    }
  }
  return factor;
}

// Printed once, alone on standard output, so that it can be put on paper or into a safe.
Result<custody::NewSlot> recovery_slot(crypto::Secret& code) {
  platform::SystemEntropy entropy;
  HF_TRY_ASSIGN(code, keyring::make_recovery_code(entropy));
  custody::NewSlot slot;
  slot.recovery = true;
  slot.label = "recovery code";
  HF_TRY_ASSIGN(platform::UniqueFd fd, custody::secret_socket(code.view()));
  slot.factors.push_back({FactorKind::kPassphrase, std::move(fd), ""});
  return slot;
}

Result<custody::NewSlot> new_slot(const SlotFlags& flags, Custody& c, crypto::Secret& code) {
  if (flags.kinds.size() == 1 && flags.kinds.front() == "recovery") return recovery_slot(code);
  OperatorSecrets secrets(flags.secrets);
  custody::NewSlot slot;
  slot.label = flags.label;
  std::size_t passphrases = 0;
  for (const std::string& kind : flags.kinds) {
    HF_TRY_ASSIGN(custody::FactorInput factor, factor_of(flags, kind, passphrases, secrets, c));
    if (factor.kind == FactorKind::kPassphrase) ++passphrases;
    if (flags.label.empty()) slot.label += (slot.label.empty() ? "" : " and ") + kind;
    slot.factors.push_back(std::move(factor));
  }
  return slot;
}

Status add_slot(Context& context, const SlotFlags& flags) {
  HF_TRY_ASSIGN(const std::unique_ptr<Custody> c, open_custody(context));
  crypto::Secret code;
  HF_TRY_ASSIGN(custody::NewSlot slot, new_slot(flags, *c, code));
  if (!flags.label.empty()) slot.label = flags.label;
  const std::string label = slot.label;
  HF_TRY(approve(*c, flags.approvers));
  const bool first = !c->exists();
  HF_TRY_ASSIGN(const keyring::SlotId id, c->add_slot(std::move(slot)));
  if (first) HF_TRY(sign_models_of_before(context, *c));
  if (context.json()) {
    json::Object out{{"id", to_hex(id)}, {"label", label}};
    if (!code.empty()) out.set("recovery_code", as_string_view(code.view()));
    print_json_line(std::move(out));
    return ok_status();
  }
  if (!code.empty()) {
    print(std::string(as_string_view(code.view())) + "\n");
    notice(
        context,
        "this is the only time that the recovery code is shown: keep it apart from this machine");
  } else if (context.flags.quiet) {
    print(to_hex(id) + "\n");
  } else {
    notice(context, "slot " + to_hex(id).substr(0, 12) + " (" + label +
                        ") opens the keyring; try it: holdfast seal slot test " +
                        to_hex(id).substr(0, 12));
  }
  return ok_status();
}

Status remove_slot(Context& context, const std::string& id, const ApproverFlags& approvers) {
  HF_TRY_ASSIGN(const std::unique_ptr<Custody> c, open_custody(context));
  HF_TRY_ASSIGN(const SlotPlan slot, find_slot(*c, id));
  HF_TRY(confirm(context, "Remove slot " + slot_hex(slot).substr(0, 12) + " (" + slot.label +
                              ")? It will not open the keyring any more."));
  HF_TRY(approve(*c, approvers));
  HF_TRY(c->remove_slot(slot.id));
  say_done(context, "the slot is removed; copies of the keyring from before still open with it",
           {{"id", slot_hex(slot)}, {"removed", true}});
  return ok_status();
}

Status test_slot(Context& context, const std::string& id, const SecretFlags& flags) {
  HF_TRY_ASSIGN(const std::unique_ptr<Custody> c, open_custody(context));
  HF_TRY_ASSIGN(const SlotPlan slot, find_slot(*c, id));
  OperatorSecrets secrets(flags);
  HF_TRY(c->test_slot(slot.id, secrets.asker()));
  say_done(context, "the slot opens the keyring", {{"id", slot_hex(slot)}, {"opens", true}});
  return ok_status();
}

Status rotate_root(Context& context, const SecretFlags& flags, const ApproverFlags& approvers) {
  HF_TRY_ASSIGN(const std::unique_ptr<Custody> c, open_custody(context));
  HF_TRY(confirm(context, "Make a new root key? Slots whose secret is not given now are removed."));
  OperatorSecrets secrets(flags);
  HF_TRY_ASSIGN(std::vector<custody::Approver> persons, read_approvers(*c, approvers));
  HF_TRY(secrets.know(persons));
  if (!persons.empty()) HF_TRY(c->approve(std::move(persons)));
  HF_TRY_ASSIGN(const std::vector<SlotPlan> lost, c->rotate_root(secrets.asker()));
  json::Array removed;
  for (const SlotPlan& slot : lost) {
    removed.emplace_back(slot_hex(slot));
    notice(context, "slot " + slot_hex(slot).substr(0, 12) + " (" + slot.label +
                        ") is removed: its secret was not given");
  }
  HF_TRY_ASSIGN(const custody::CustodyStatus s, c->status());
  say_done(context, "the root key is new (epoch " + std::to_string(s.holder.irk_epoch) + ")",
           {{"irk_epoch", s.holder.irk_epoch}, {"removed", std::move(removed)}});
  return ok_status();
}

Status rotate_keks(Context& context) {
  HF_TRY_ASSIGN(const std::unique_ptr<Custody> c, open_custody(context));
  HF_TRY_ASSIGN(const std::size_t n, rotate_kek(context, *c));
  HF_TRY_ASSIGN(const custody::CustodyStatus s, c->status());
  say_done(context,
           std::to_string(n) + " model keys are wrapped under a new key (epoch " +
               std::to_string(s.kek_epoch) + ")",
           {{"kek_epoch", s.kek_epoch}, {"rewrapped", n}});
  return ok_status();
}

Status reveal(Context& context, const std::string& name, const ApproverFlags& approvers) {
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  HF_TRY_ASSIGN(const registry::ModelRecord model, store->resolve(name));
  HF_TRY_ASSIGN(const vault::PackHeader header, header_of(*store, model));
  if (!header.seal) return not_found(model.name.shown() + " is not sealed: it has no key");
  HF_TRY(confirm(context,
                 "Print the key that opens " + model.name.shown() + " for whoever has its pack?"));
  HF_TRY_ASSIGN(const std::unique_ptr<Custody> c, open_custody(context));
  HF_TRY(approve(*c, approvers));
  HF_TRY_ASSIGN(const crypto::Secret dek, c->reveal_dek(header.model_id));
  const std::string hex = to_hex(dek.view());
  if (context.json()) {
    print_json_line(json::Object{
        {"model", model.name.full()}, {"model_id", to_hex(header.model_id)}, {"dek", hex}});
  } else {
    print(hex + "\n");
  }
  return ok_status();
}

CLI::App& add_sub(CLI::App& parent, const char* name, const char* text) {
  CLI::App& c = *parent.add_subcommand(name, text);
  c.fallthrough();
  return c;
}

void add_secret_flags(CLI::App& c, SecretFlags& flags) {
  c.add_option("--passphrase-file", flags.passphrase_files,
               "File with the passphrase or recovery code (- is standard input); twice where two "
               "persons open together")
      ->type_name("FILE");
  c.add_option("--pin-file", flags.pin_file, "File with the PIN of the TPM or token")
      ->type_name("FILE");
}

void add_slot_commands(Registrar& r, CLI::App& parent) {
  CLI::App& slot = add_sub(parent, "slot", "Slots, each of which opens the keyring: add, rm, test");
  CLI::App& add = add_sub(slot, "add", "Add a slot; without a keyring, make one");
  auto flags = std::make_shared<SlotFlags>();
  add.add_option("--kind", flags->kinds,
                 "passphrase, recovery (a code that is printed once), file, systemd, tpm2 or "
                 "pkcs11; twice for two factors that open together")
      ->required()
      ->type_name("KIND");
  add_secret_flags(add, flags->secrets);
  add_approver_flag(add, flags->approvers);
  add.add_option("--pcrs", flags->pcrs,
                 "Registers of the TPM that must be as they are now, by commas")
      ->default_val(std::vector<int>{7})
      ->delimiter(',')
      ->check(CLI::Range(0, 23))
      ->type_name("N");
  add.add_option("--pkcs11-uri", flags->pkcs11_uri,
                 "AES key in a token (RFC 7512); pin-source=file:PATH in it opens by itself")
      ->type_name("URI");
  add.add_flag("--pkcs11-generate", flags->pkcs11_generate,
               "Make the key in the token if it is not there");
  add.add_option("--path", flags->path, "Key file; made if it is not there")->type_name("FILE");
  add.add_option("--label", flags->label, "A note, shown by `seal status`")->type_name("TEXT");
  r.bind(add, [flags](Context& context) { return add_slot(context, *flags); });
  CLI::App& rm =
      add_sub(slot, "rm", "Remove a slot; another one must have opened the keyring before");
  auto id = std::make_shared<std::string>();
  rm.add_option("ID", *id, "Id of the slot, or its beginning")->required();
  auto approvers = std::make_shared<ApproverFlags>();
  add_approver_flag(rm, *approvers);
  r.bind(rm, [id, approvers](Context& context) { return remove_slot(context, *id, *approvers); });
  CLI::App& test = add_sub(slot, "test", "Try a slot without changing anything");
  auto secrets = std::make_shared<SecretFlags>();
  test.add_option("ID", *id, "Id of the slot, or its beginning")->required();
  add_secret_flags(test, *secrets);
  r.bind(test, [id, secrets](Context& context) { return test_slot(context, *id, *secrets); });
}

void add_rotate_commands(Registrar& r, CLI::App& parent) {
  CLI::App& rotate = add_sub(parent, "rotate", "Replace keys: irk, kek, dek MODEL");
  CLI::App& irk = add_sub(rotate, "irk", "A new root key, for the slots whose secrets are given");
  auto secrets = std::make_shared<SecretFlags>();
  add_secret_flags(irk, *secrets);
  auto approvers = std::make_shared<ApproverFlags>();
  add_approver_flag(irk, *approvers);
  r.bind(irk, [secrets, approvers](Context& context) {
    return rotate_root(context, *secrets, *approvers);
  });
  CLI::App& kek =
      add_sub(rotate, "kek", "A new key over the models' keys; the old one is destroyed");
  r.bind(kek, rotate_keks);
  CLI::App& dek = add_sub(rotate, "dek", "A new key for one model: its pack is written anew");
  auto model = std::make_shared<std::string>();
  dek.add_option("MODEL", *model, "Name of the model")->required();
  r.bind(dek, [model](Context& context) { return rotate_dek(context, *model); });
}

}  // namespace

void add_seal(Registrar& r) {
  CLI::App& c =
      r.add("seal", "The keyring and sealed models: status, unseal, seal, slot, reseal, rotate");
  r.bind(add_sub(c, "status", "State of the keyring, and its slots"), status);
  CLI::App& open = add_sub(c, "unseal", "Open the keyring of the running server");
  auto secrets = std::make_shared<SecretFlags>();
  add_secret_flags(open, *secrets);
  auto slot = std::make_shared<std::string>();
  open.add_option("--slot", *slot, "Only this slot (id, or its beginning), where PINs differ")
      ->type_name("ID");
  r.bind(open, [secrets, slot](Context& context) { return unseal(context, *secrets, *slot); });
  r.bind(add_sub(c, "seal", "Wipe every key from the running server's memory"), seal);
  add_slot_commands(r, c);
  add_seal_credential(r, c);
  CLI::App& again = add_sub(c, "reseal", "Seal the models that are not sealed yet");
  auto models = std::make_shared<std::vector<std::string>>();
  again.add_option("MODEL", *models, "Only these");
  r.bind(again, [models](Context& context) { return reseal(context, *models); });
  add_rotate_commands(r, c);
  CLI::App& show =
      add_sub(c, "reveal-dek", "Print a model's key in hexadecimal, for escrow or forensics");
  auto model = std::make_shared<std::string>();
  show.add_option("MODEL", *model, "Name of the model")->required();
  auto approvers = std::make_shared<ApproverFlags>();
  add_approver_flag(show, *approvers);
  r.bind(show,
         [model, approvers](Context& context) { return reveal(context, *model, *approvers); });
}

}  // namespace holdfast::cli
