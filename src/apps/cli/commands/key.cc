// `holdfast key`: API keys of this data directory, with or without a running server.
#include "../access_settings.h"
#include "../command.h"
#include "../key_flags.h"
#include "../keyring.h"
#include "../output.h"
#include "holdfast/base/units.h"
#include "holdfast/custody/key_verifiers.h"
#include "holdfast/identity/key_store.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/entropy.h"
#include "holdfast/platform/filesystem.h"

namespace holdfast::cli {

namespace {

struct CreateFlags {
  std::string role = "inference";
  std::string tenant = "default";
  std::vector<std::string> models;
  std::string expires;
  std::string quota;
  std::string label;
  std::int64_t weight = 0;
};

std::int64_t now_seconds() { return platform::unix_seconds(platform::system_clock().wall_time()); }

// The store with what it refers to. New keys need `holder`, where the keyring has the pepper.
struct Keys {
  explicit Keys(const Context& context, std::unique_ptr<custody::Custody> holder = nullptr)
      : custody(std::move(holder)),
        verifiers(custody == nullptr ? nullptr
                                     : std::make_unique<custody::CustodyVerifiers>(*custody)),
        store(files, keys_directory(context), entropy, platform::system_clock(), verifiers.get()) {}
  platform::PosixFileSystem files;
  platform::SystemEntropy entropy;
  std::unique_ptr<custody::Custody> custody;
  std::unique_ptr<custody::CustodyVerifiers> verifiers;
  identity::KeyStore store;
};

// Null where the pepper is a file: there is no keyring, or no server has moved it there yet.
Result<std::unique_ptr<custody::Custody>> pepper_holder(const Context& context) {
  HF_TRY_ASSIGN(std::unique_ptr<custody::Custody> c, existing_custody(context));
  if (c == nullptr) return c;
  HF_TRY_ASSIGN(const bool kept, custody::has_pepper(*c));
  if (!kept) c.reset();
  return c;
}

json::Value time_value(std::int64_t unix_seconds) {
  return unix_seconds == 0 ? json::Value() : json::Value(rfc3339(unix_seconds));
}

json::Array models_of(const identity::KeyRecord& key) {
  json::Array out;
  for (const std::string& name : key.models) out.emplace_back(name);
  return out;
}

std::string_view state_of(const identity::KeyRecord& key) {
  if (key.revoked_at != 0) return "revoked";
  return key.active(now_seconds()) ? "active" : "expired";
}

json::Object describe(const identity::KeyRecord& key) {
  const auto limit = [](std::uint64_t n) { return n == 0 ? json::Value() : json::Value(n); };
  return {{"id", key.id},
          {"tenant", key.tenant},
          {"role", identity::role_name(key.role)},
          {"models", models_of(key)},
          {"label", key.label},
          {"weight", key.weight},
          {"quota", json::Object{{"tokens_per_day", limit(key.quotas.tokens_per_day)},
                                 {"requests_per_minute", limit(key.quotas.requests_per_minute)}}},
          {"state", state_of(key)},
          {"created_at", time_value(key.created_at)},
          {"expires_at", time_value(key.expires_at)},
          {"revoked_at", time_value(key.revoked_at)}};
}

// The key itself is the only line on standard output, so that a script can take it.
void print_created(const Context& context, const identity::CreatedKey& created) {
  const identity::KeyRecord& key = created.record;
  if (context.json()) {
    print_json_line(json::Object{{"id", key.id},
                                 {"key", created.key.reveal()},
                                 {"tenant", key.tenant},
                                 {"role", identity::role_name(key.role)},
                                 {"models", models_of(key)},
                                 {"expires_at", time_value(key.expires_at)}});
    return;
  }
  print(created.key.reveal() + "\n");
  notice(context, "key " + key.id + " of tenant " + key.tenant + " (" +
                      std::string(identity::role_name(key.role)) +
                      "): this is the only time that it is shown");
}

Status create(Context& context, const CreateFlags& flags) {
  identity::NewKey key;
  key.tenant = flags.tenant;
  key.role = *identity::parse_role(flags.role);  // the parser lets no other through
  key.models = flags.models;
  key.label = flags.label;
  const std::int64_t weight =
      flags.weight != 0 ? flags.weight : context.settings.integer(config::Setting::quota_weight);
  key.weight = static_cast<std::uint32_t>(weight);
  HF_TRY_ASSIGN(key.quotas, parse_quotas(flags.quota));
  if (!flags.expires.empty()) {
    HF_TRY_ASSIGN(key.expires_at, parse_expiry(flags.expires, now_seconds()));
  }
  HF_TRY_ASSIGN(std::unique_ptr<custody::Custody> holder, pepper_holder(context));
  Keys keys(context, std::move(holder));
  HF_TRY_ASSIGN(const identity::CreatedKey created, keys.store.create(key));
  print_created(context, created);
  return ok_status();
}

Status list(Context& context) {
  Keys keys(context);
  HF_TRY_ASSIGN(const std::vector<identity::KeyRecord> all, keys.store.list());
  Table table({"ID", "TENANT", "ROLE", "MODELS", "STATE", "EXPIRES", "LABEL"});
  json::Array document;
  for (const identity::KeyRecord& key : all) {
    if (context.flags.quiet) print(key.id + "\n");
    const std::string models = key.models.empty()       ? "all"
                               : key.models.size() == 1 ? key.models.front()
                                                        : std::to_string(key.models.size());
    table.add({short_id(context, key.id), key.tenant, std::string(identity::role_name(key.role)),
               models, std::string(state_of(key)),
               key.expires_at == 0 ? "never" : rfc3339(key.expires_at), key.label});
    document.emplace_back(describe(key));
  }
  if (!context.flags.quiet) print_list(context, table, document);
  return ok_status();
}

Status show(Context& context, const std::string& id) {
  Keys keys(context);
  HF_TRY_ASSIGN(const identity::KeyRecord key, keys.store.find(id));
  const json::Value document = describe(key);
  if (context.json()) {
    print_json(document);
  } else {
    print(to_yaml(document));
  }
  return ok_status();
}

Status revoke(Context& context, const std::string& id) {
  Keys keys(context);
  HF_TRY_ASSIGN(const identity::KeyRecord key, keys.store.revoke(id));
  if (context.json()) {
    print_json_line(describe(key));
  } else {
    notice(context, "key " + key.id + " of tenant " + key.tenant + " is revoked");
  }
  return ok_status();
}

Status rotate(Context& context, const std::string& id, const std::string& grace) {
  std::chrono::milliseconds overlap{0};
  if (!grace.empty()) {
    HF_TRY_ASSIGN(overlap, parse_duration(grace));
  }
  HF_TRY_ASSIGN(std::unique_ptr<custody::Custody> holder, pepper_holder(context));
  Keys keys(context, std::move(holder));
  HF_TRY_ASSIGN(const identity::CreatedKey created, keys.store.rotate(id, overlap.count() / 1000));
  print_created(context, created);
  return ok_status();
}

void add_create(Registrar& r, CLI::App& parent) {
  CLI::App& c = *parent.add_subcommand("create", "Make a key; it is shown once");
  c.fallthrough();
  auto flags = std::make_shared<CreateFlags>();
  c.add_option("--role", flags->role,
               "What it may do: inference, or admin to manage the server too")
      ->check(CLI::IsMember({"inference", "admin"}))
      ->type_name("ROLE")
      ->capture_default_str();
  c.add_option("--tenant", flags->tenant, "Whose key it is: shares, caches and usage are by tenant")
      ->type_name("NAME")
      ->capture_default_str();
  c.add_option("--models", flags->models,
               "Models that it may use, separated by commas; all if not given")
      ->delimiter(',')
      ->type_name("NAME,...");
  c.add_option("--expires", flags->expires, "End: a duration such as 90d, or an RFC 3339 time")
      ->type_name("TIME");
  c.add_option("--weight", flags->weight,
               "Share of the machine against other tenants (quota.weight)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{identity::kWeightMax}));
  c.add_option("--quota", flags->quota, "Limits: tokens_per_day=N,requests_per_minute=N")
      ->type_name("NAME=N,...");
  c.add_option("--label", flags->label, "A note, shown by `key ls`")->type_name("TEXT");
  r.bind(c, [flags](Context& context) { return create(context, *flags); });
}

// A command whose one argument is an id.
CLI::App& add_by_id(CLI::App& parent, const char* name, const char* text,
                    const std::shared_ptr<std::string>& id) {
  CLI::App& c = *parent.add_subcommand(name, text);
  c.fallthrough();
  c.add_option("ID", *id, "Id of the key, or its beginning")->required();
  return c;
}

}  // namespace

void add_key(Registrar& r) {
  CLI::App& key = r.add("key", "API keys: create, ls, show, revoke, rotate");
  add_create(r, key);
  CLI::App& ls = *key.add_subcommand("ls", "List the keys, without their secrets");
  ls.alias("list");
  ls.fallthrough();
  r.bind(ls, list);
  auto id = std::make_shared<std::string>();
  r.bind(add_by_id(key, "show", "Show what a key may do", id),
         [id](Context& context) { return show(context, *id); });
  r.bind(add_by_id(key, "revoke", "End a key; running servers refuse it within a second", id),
         [id](Context& context) { return revoke(context, *id); });
  auto grace = std::make_shared<std::string>();
  CLI::App& again = add_by_id(key, "rotate", "Replace a key by a new one that may do the same", id);
  again.add_option("--grace", *grace, "How long the old key stays valid; 0 if not given")
      ->type_name("DURATION");
  r.bind(again, [id, grace](Context& context) { return rotate(context, *id, *grace); });
}

}  // namespace holdfast::cli
