// `holdfast import`.
#include "../command.h"
#include "../keyring.h"
#include "../local_model.h"
#include "../model_facts_text.h"
#include "../output.h"
#include "../transport.h"
#include "holdfast/base/units.h"

namespace holdfast::cli {

namespace {

struct PathFlags {
  std::string path;
  ImportFlags import;
  SecretFlags secrets;  // of a bundle
};

// Branches of a chat template, `if` and `elif`: what somebody who reads it should look for.
std::size_t count_conditionals(std::string_view text) {
  std::size_t n = 0;
  for (std::size_t at = text.find("{%"); at != std::string_view::npos; at = text.find("{%", at)) {
    at += 2;
    while (at < text.size() && (text[at] == '-' || text[at] == '+' || text[at] == ' ')) ++at;
    const std::string_view rest = text.substr(at);
    if (rest.starts_with("if ") || rest.starts_with("elif ") || rest.starts_with("if(")) ++n;
  }
  return n;
}

// A template is text that decides what a model reads: it is shown, so that it can be compared.
Result<json::Object> template_facts(const Context& context, const registry::Store& store,
                                    const registry::ModelRecord& model) {
  HF_TRY_ASSIGN(const auto file, store.open_pack(model));
  HF_TRY_ASSIGN(const vault::PackReader pack, open_reader(context, *file));
  HF_TRY_ASSIGN(const Bytes text, pack.read_object(vault::ObjectKind::kTemplate));
  return json::Object{{"sha256", to_hex(crypto::sha256(text))},
                      {"conditionals", count_conditionals(as_string_view(text))}};
}

// The result, whatever the path was; `more` is told beside it.
Status say_imported(Context& context, const registry::Store& store,
                    const registry::ModelRecord& model, bool was_there, json::Object more) {
  const std::string digest = to_hex(model.pack);
  HF_TRY_ASSIGN(const vault::PackHeader header, header_of(store, model));
  const bool sealed = header.seal.has_value();
  json::Object chat_template;
  if (model.facts.has_template) {
    HF_TRY_ASSIGN(chat_template, template_facts(context, store, model));
  }
  if (context.json()) {
    json::Object out{
        {"status", "success"},      {"model", model.name.full()}, {"digest", "sha256:" + digest},
        {"size", model.size_bytes}, {"sealed", sealed},           {"was_there", was_there}};
    for (const json::Member& m : more) out.set(m.key, m.value);
    out.set("signature", signature_text(model));
    if (!chat_template.empty()) out.set("template", std::move(chat_template));
    print_json_line(std::move(out));
  } else if (context.flags.quiet) {
    print(model.name.shown() + "\n");
  } else {
    print((was_there ? "already imported: " : "imported ") + model.name.shown() + " (" +
          model.facts.architecture + ", " + model.facts.quantization + ", " +
          format_bytes(model.size_bytes) + ", " + short_id(context, digest) +
          ", sealed: " + (sealed ? "yes" : "no") + ", signature: " + signature_text(model) + ")\n");
    if (!chat_template.empty()) {
      notice(context, "chat template: sha256 " + chat_template.find("sha256")->as_string() + ", " +
                          std::to_string(chat_template.find("conditionals")->as_int()) +
                          " conditionals");
    }
    if (!model.facts.has_template && !model.facts.vocab_only) {
      notice(context,
             "note: the model has no chat template; chat needs `holdfast import PATH --template "
             "NAME` (see `holdfast import --help`)");
    }
  }
  return ok_status();
}

Status import_one_bundle(Context& context, registry::Store& store, const PathFlags& flags) {
  if (!flags.import.template_name.empty()) {
    return invalid_argument("a bundle has its own chat template").with_hint("leave out --template");
  }
  HF_TRY_ASSIGN(const ImportedBundle done,
                import_bundle(context, store, flags.path, flags.import.name, flags.secrets));
  if (done.bytes_kept > 0 && !context.json()) {
    notice(context, "went on where an interrupted import ended: " + format_bytes(done.bytes_kept) +
                        " were there");
  }
  return say_imported(context, store, done.model, done.was_there,
                      {{"bundle", "sha256:" + done.digest}, {"resumed_bytes", done.bytes_kept}});
}

}  // namespace

void add_import(Registrar& r) {
  CLI::App& c = r.add("import", "Import a model into the store");
  auto flags = std::make_shared<PathFlags>();
  c.add_option(
       "PATH", flags->path,
       "A GGUF file, one part of a split model, a folder (GGUF or safetensors), or a bundle "
       "that `holdfast export` wrote")
      ->required();
  c.add_option("--name", flags->import.name,
               "Name in the store; without one it is made from the file's name")
      ->type_name("NAME[:TAG]");
  c.add_option("--template", flags->import.template_name,
               "Chat template to use: a bundled family or a file")
      ->type_name("NAME|FILE");
  c.add_option("--passphrase-file", flags->secrets.passphrase_files,
               "File with the passphrase of a sealed bundle (- is standard input)")
      ->type_name("FILE");
  c.add_option("--model-version", flags->import.model_version,
               "Version of the model, where its signature does not state one; "
               "policy.version_floor refuses lower ones")
      ->type_name("N");
  r.bind(c, [flags](Context& context) -> Status {
    HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
    if (looks_like_bundle(flags->path)) return import_one_bundle(context, *store, *flags);
    bool was_there = false;
    HF_TRY_ASSIGN(const registry::ModelRecord model,
                  import_path(context, *store, flags->path, flags->import, &was_there));
    return say_imported(context, *store, model, was_there, {});
  });
}

}  // namespace holdfast::cli
