// `holdfast ls`, `show`, `rm`, `cp`: what is in the store.
#include <algorithm>
#include <map>

#include "../command.h"
#include "../keyring.h"
#include "../local_model.h"
#include "../model_bom.h"
#include "../model_facts_text.h"
#include "../output.h"
#include "../server_address.h"
#include "holdfast/base/units.h"

namespace holdfast::cli {

namespace {

// Of a pack that cannot be read, the listing says what it knows.
std::string seal_of(const registry::Store& store, const registry::ModelRecord& m) {
  const auto header = header_of(store, m);
  return header.ok() ? seal_text(*header) : "?";
}

json::Object record_json(const registry::ModelRecord& m, const std::string& seal) {
  json::Object out{{"name", m.name.full()},
                   {"digest", "sha256:" + to_hex(m.pack)},
                   {"source_digest", "sha256:" + to_hex(m.source)},
                   {"size", m.size_bytes},
                   {"created_at", rfc3339(m.created_unix)},
                   {"architecture", m.facts.architecture},
                   {"quantization", m.facts.quantization},
                   {"parameters", m.facts.parameters},
                   {"context_length", m.facts.context_length},
                   {"license", m.facts.license},
                   {"chat_template", m.facts.has_template},
                   {"sealed", seal != "no" && seal != "?"},
                   {"seal", seal}};
  add_provenance(out, m);
  return out;
}

Status list(Context& context) {
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  HF_TRY_ASSIGN(const registry::Listing listing, store->list());
  for (const std::string& damaged : listing.damaged)
    notice(context, "warning: damaged entry " + damaged);
  const bool wide = context.format() == Format::kWide;
  json::Array document;
  std::vector<std::string> header{"NAME",   "ID",        "ARCH",  "QUANT",  "SIZE",
                                  "SEALED", "SIGNATURE", "STAGE", "CREATED"};
  if (wide) header.insert(header.end(), {"LICENCE", "IMPORTED BY", "ORIGIN"});
  Table table(std::move(header));
  for (const registry::ModelRecord& m : listing.models) {
    if (context.flags.quiet) print(m.name.shown() + "\n");
    const std::string seal = seal_of(*store, m);
    document.push_back(record_json(m, seal));
    std::vector<std::string> row{m.name.shown(),
                                 short_id(context, to_hex(m.pack)),
                                 m.facts.architecture,
                                 m.facts.quantization,
                                 format_bytes(m.size_bytes),
                                 wide || seal == "no" ? seal : "yes",
                                 signature_text(m),
                                 std::string(registry::stage_name(m.stage)),
                                 time_ago(m.created_unix)};
    if (wide) row.insert(row.end(), {m.facts.license, importer_text(m), origin_text(m)});
    table.add(std::move(row));
  }
  if (!context.flags.quiet) print_list(context, table, std::move(document));
  return ok_status();
}

std::string pretty(const json::Value& v) { return v.is_string() ? v.as_string() : json::write(v); }

void print_section(const std::string& title, const json::Value* object) {
  if (object == nullptr || !object->is_object() || object->as_object().empty()) return;
  std::size_t width = 0;
  for (const json::Member& m : object->as_object()) width = std::max(width, m.key.size());
  print("\n" + title + "\n");
  for (const json::Member& m : object->as_object()) {
    std::string value = pretty(m.value);
    if (value.size() > 200) value = value.substr(0, 197) + "...";
    print("  " + m.key + std::string(width - m.key.size() + 2, ' ') + value + "\n");
  }
}

// The ways from site to site by which the model came.
void print_hops(const json::Value* hops) {
  if (hops == nullptr) return;
  std::size_t n = 0;
  for (const json::Value& hop : hops->as_array()) {
    const std::string title = "In a bundle, " + std::to_string(++n);
    print_section(title + ": exported", hop.find("exported"));
    print_section(title + ": imported", hop.find("imported"));
  }
}

// Keys and values of one token, and the memory at the context that was asked for.
Result<json::Object> memory_json(const json::Value& config, const vault::PackReader& pack,
                                 std::uint64_t context) {
  const auto number = [&](const char* key) -> std::uint64_t {
    const json::Value* v = config.find(key);
    return v != nullptr && v->is_int() ? static_cast<std::uint64_t>(v->as_int()) : 0;
  };
  std::uint64_t weights = 0;
  for (const vault::TensorEntry& t : pack.index().tensors) weights += t.length;
  const std::uint64_t per_token =
      number("n_layers") * number("n_kv_heads") * number("head_dim") * 2 * 2;
  return json::Object{{"context", context},
                      {"weights_bytes", weights},
                      {"kv_bytes_per_token", per_token},
                      {"kv_bytes", per_token * context},
                      {"total_bytes", weights + per_token * context}};
}

Result<json::Object> describe(Context& context, const std::string& name,
                              std::uint64_t context_length) {
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  HF_TRY_ASSIGN(const registry::ModelRecord model, store->resolve(name));
  HF_TRY_ASSIGN(const std::unique_ptr<platform::OpenFile> file, store->open_pack(model));
  HF_TRY_ASSIGN(const vault::PackReader pack, open_reader(context, *file));
  json::Object out = record_json(model, seal_text(pack.header()));
  HF_TRY_ASSIGN(const std::vector<registry::ModelName> names, store->aliases_of(model));
  json::Array aliases;
  for (const registry::ModelName& n : names) {
    if (n != model.name) aliases.push_back(n.full());
  }
  out.set("aliases", std::move(aliases));
  if (auto metadata = pack.read_object(vault::ObjectKind::kMetadata); metadata.ok()) {
    HF_TRY_ASSIGN(json::Value v, json::parse(as_string_view(*metadata)));
    out.set("metadata", std::move(v));
  }
  if (auto config = pack.read_object(vault::ObjectKind::kConfig); config.ok()) {
    HF_TRY_ASSIGN(json::Value v, json::parse(as_string_view(*config)));
    const std::uint64_t length = context_length == 0 ? model.facts.context_length : context_length;
    HF_TRY_ASSIGN(json::Object memory, memory_json(v, pack, length));
    out.set("memory", std::move(memory));
    out.set("hyperparameters", std::move(v));
  }
  if (auto text = pack.read_object(vault::ObjectKind::kTemplate); text.ok()) {
    out.set("template", std::string(as_string_view(*text)));
  }
  return out;
}

Status show(Context& context, const std::string& name, std::uint64_t context_length) {
  HF_TRY_ASSIGN(json::Object card, describe(context, name, context_length));
  if (context.flags.quiet) {
    print(card.find("name")->as_string() + "\n");
    return ok_status();
  }
  if (context.json()) {
    print_json(std::move(card));
    return ok_status();
  }
  if (context.format() == Format::kYaml) {
    print(to_yaml(std::move(card)));
    return ok_status();
  }
  json::Object main;
  for (const json::Member& m : card) {
    if (!m.value.is_object() && m.key != "template" && m.key != "hops") main.set(m.key, m.value);
  }
  for (const char* key : {"size"}) {
    if (const json::Value* v = main.find(key))
      main.set(key, format_bytes(static_cast<std::uint64_t>(v->as_int())));
  }
  const json::Value general(std::move(main));
  print("Model");
  print_section("", &general);
  print_section("Origin", card.find("origin"));
  print_section("Imported", card.find("imported"));
  print_hops(card.find("hops"));
  print_section("Memory at this context", card.find("memory"));
  print_section("Hyper-parameters", card.find("hyperparameters"));
  print_section("Metadata", card.find("metadata"));
  if (context.flags.verbose && card.find("template") != nullptr) {
    print("\nChat template\n" + card.find("template")->as_string() + "\n");
  }
  return ok_status();
}

// Names of the models that the server holds now.
Result<std::vector<std::string>> loaded_models(const Context& context) {
  HF_TRY_ASSIGN(const json::Value answer, call_server(context, "GET", "/holdfast/v1/engines"));
  const json::Value* data = answer.find("data");
  if (data == nullptr || !data->is_array()) return internal_error("the server answered no list");
  std::vector<std::string> names;
  for (const json::Value& engine : data->as_array()) {
    const json::Value* name = engine.find("model");
    if (name != nullptr && name->is_string()) names.push_back(name->as_string());
  }
  return names;
}

Status show_bom(Context& context, const std::string& name, bool loaded) {
  std::vector<std::string> names{name};
  if (loaded) {
    HF_TRY_ASSIGN(names, loaded_models(context));
  }
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  std::vector<bundle::BomModel> models;
  for (const std::string& n : names) {
    HF_TRY_ASSIGN(const registry::ModelRecord record, store->resolve(n));
    HF_TRY_ASSIGN(bundle::BomModel model, bom_model(context, *store, record));
    models.push_back(std::move(model));
  }
  print_json(bom_of(context, models));
  return ok_status();
}

// The model's key goes with its last pack: copies of the pack that lie elsewhere open no more.
Status forget_key(const Context& context, const registry::Store& store,
                  const vault::PackHeader& removed) {
  HF_TRY_ASSIGN(const registry::Listing listing, store.list());
  for (const registry::ModelRecord& other : listing.models) {
    const auto header = header_of(store, other);
    // One that cannot be read may need the key.
    if (!header.ok() || header->model_id == removed.model_id) return ok_status();
  }
  if (!listing.damaged.empty()) return ok_status();
  HF_TRY_ASSIGN(const std::unique_ptr<custody::Custody> custody, existing_custody(context));
  return custody == nullptr ? ok_status() : custody->forget_dek(removed.model_id);
}

Status remove(Context& context, const std::vector<std::string>& names) {
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  for (const std::string& name : names) {
    HF_TRY_ASSIGN(const registry::ModelRecord model, store->resolve(name));
    HF_TRY_ASSIGN(const std::vector<registry::ModelName> aliases, store->aliases_of(model));
    const bool last = aliases.size() <= 1;
    HF_TRY(confirm(context, last ? "remove " + model.name.shown() + " and its " +
                                       format_bytes(model.size_bytes) + " of weights?"
                                 : "remove the name " + model.name.shown() +
                                       "? (the weights stay: they have another name)"));
    const auto header = header_of(*store, model);
    HF_TRY(store->remove(model.name.full()));
    if (header.ok() && header->seal) HF_TRY(forget_key(context, *store, *header));
    print((context.flags.quiet ? "" : "removed ") + model.name.shown() + "\n");
  }
  return ok_status();
}

}  // namespace

void add_store(Registrar& r) {
  CLI::App& ls = r.add("ls", "List the models in the store", {"list"});
  r.bind(ls, list);

  struct Flags {
    std::string model;
    std::string to;
    std::vector<std::string> models;
    std::uint64_t context = 0;
    bool bom = false;
    bool loaded = false;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App& card =
      r.add("show", "Show a model: origin, signature, licence, hyper-parameters, memory needed",
            {"inspect"});
  card.add_option("MODEL", flags->model, "Name of the model; with --loaded there is none");
  card.add_flag("--bom", flags->bom, "Print a bill of materials instead (CycloneDX 1.6, JSON)");
  card.add_flag("--loaded", flags->loaded, "With --bom: of all models that the server holds now");
  card.add_option("--context", flags->context, "Context length to plan the memory for, in tokens")
      ->check(CLI::Range(1, 1 << 27));
  r.bind(card, [flags](Context& c) -> Status {
    if (flags->loaded && !flags->bom) {
      return invalid_argument("--loaded goes with --bom").with_hint("holdfast ps lists the models");
    }
    if (flags->loaded != flags->model.empty()) {
      return invalid_argument(flags->loaded ? "--loaded takes no model" : "MODEL is required")
          .with_hint("see `holdfast show --help`");
    }
    if (flags->bom) return show_bom(c, flags->model, flags->loaded);
    return show(c, flags->model, flags->context);
  });

  CLI::App& rm = r.add("rm", "Remove models from the store");
  rm.add_option("MODEL", flags->models, "Names of models")->required();
  r.bind(rm, [flags](Context& c) { return remove(c, flags->models); });

  CLI::App& cp = r.add("cp", "Give a model another name");
  cp.add_option("SOURCE", flags->model, "Name of the model")->required();
  cp.add_option("DEST", flags->to, "The new name")->type_name("NAME[:TAG]")->required();
  r.bind(cp, [flags](Context& c) -> Status {
    HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(c));
    HF_TRY_ASSIGN(const registry::ModelRecord model, store->copy(flags->model, flags->to));
    print(model.name.shown() + "\n");
    return ok_status();
  });
}

}  // namespace holdfast::cli
