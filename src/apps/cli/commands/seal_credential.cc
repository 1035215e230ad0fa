// `holdfast seal credential`: what upstreams ask of us, kept in the keyring.
#include "seal_credential.h"

#include "../keyring.h"
#include "../output.h"
#include "holdfast/config/upstream.h"
#include "seal_secrets.h"

namespace holdfast::cli {

namespace {

constexpr std::size_t kCredentialBytesMax = 2048;

Result<std::unique_ptr<custody::Custody>> custody_of_keyring(const Context& context) {
  HF_TRY_ASSIGN(std::unique_ptr<custody::Custody> c, existing_custody(context));
  if (c == nullptr) {
    return not_found("there is no keyring to keep a credential in")
        .with_hint("holdfast seal slot add --kind passphrase makes one; so does holdfast serve");
  }
  return c;
}

Status put(Context& context, const std::string& name, const std::string& file) {
  if (!config::is_credential_name(name)) {
    return invalid_argument("'" + name + "' is no name of a credential")
        .with_hint("1 to 64 of A-Z a-z 0-9 . _ -");
  }
  HF_TRY_ASSIGN(const std::unique_ptr<custody::Custody> c, custody_of_keyring(context));
  HF_TRY_ASSIGN(const crypto::Secret value,
                read_operator_secret("Credential: ", file, kCredentialBytesMax));
  HF_TRY(c->put_value(name, value));
  notice(context, "the keyring has the credential " + name + ": credential = \"keyring:" + name +
                      "\" in [upstream.<name>] uses it from the server's next start on");
  return ok_status();
}

Status list(Context& context) {
  HF_TRY_ASSIGN(const std::unique_ptr<custody::Custody> c, custody_of_keyring(context));
  HF_TRY_ASSIGN(const std::vector<std::string> names, c->value_names());
  Table table({"NAME"});
  json::Array document;
  for (const std::string& name : names) {
    table.add({name});
    document.emplace_back(json::Object{{"name", name}});
  }
  print_list(context, table, document);
  return ok_status();
}

Status remove(Context& context, const std::string& name) {
  HF_TRY_ASSIGN(const std::unique_ptr<custody::Custody> c, custody_of_keyring(context));
  HF_TRY(confirm(context, "Remove the credential " + name + "? Nobody can read it back."));
  HF_TRY(c->forget_value(name));
  notice(context, "the credential " + name + " is removed");
  return ok_status();
}

}  // namespace

void add_seal_credential(Registrar& r, CLI::App& seal) {
  CLI::App& group =
      *seal.add_subcommand("credential", "Credentials of upstreams in the keyring: put, ls, rm");
  group.fallthrough();
  const auto name = std::make_shared<std::string>();
  const auto file = std::make_shared<std::string>();
  CLI::App& put_command =
      *group.add_subcommand("put", "Keep a credential; one of that name is replaced");
  put_command.fallthrough();
  put_command.add_option("NAME", *name, "What the settings call it: keyring:NAME")->required();
  put_command.add_option("--file", *file, "File with the credential (- is standard input)")
      ->type_name("FILE");
  r.bind(put_command, [name, file](Context& context) { return put(context, *name, *file); });
  CLI::App& ls = *group.add_subcommand("ls", "List the names");
  ls.fallthrough();
  r.bind(ls, list);
  CLI::App& rm = *group.add_subcommand("rm", "Remove a credential");
  rm.fallthrough();
  rm.add_option("NAME", *name, "Its name")->required();
  r.bind(rm, [name](Context& context) { return remove(context, *name); });
}

}  // namespace holdfast::cli
