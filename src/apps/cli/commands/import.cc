// `holdfast import`.
#include "../command.h"
#include "../keyring.h"
#include "../local_model.h"
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

// The result, whatever the path was; `more` is told beside it.
Status say_imported(Context& context, const registry::Store& store,
                    const registry::ModelRecord& model, bool was_there, json::Object more) {
  const std::string digest = to_hex(model.pack);
  HF_TRY_ASSIGN(const vault::PackHeader header, header_of(store, model));
  const bool sealed = header.seal.has_value();
  if (context.json()) {
    json::Object out{
        {"status", "success"},      {"model", model.name.full()}, {"digest", "sha256:" + digest},
        {"size", model.size_bytes}, {"sealed", sealed},           {"was_there", was_there}};
    for (const json::Member& m : more) out.set(m.key, m.value);
    print_json_line(std::move(out));
  } else if (context.flags.quiet) {
    print(model.name.shown() + "\n");
  } else {
    print((was_there ? "already imported: " : "imported ") + model.name.shown() + " (" +
          model.facts.architecture + ", " + model.facts.quantization + ", " +
          format_bytes(model.size_bytes) + ", " + short_id(context, digest) +
          ", sealed: " + (sealed ? "yes" : "no") + ")\n");
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
