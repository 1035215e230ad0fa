// `holdfast import`.
#include "../command.h"
#include "../keyring.h"
#include "../local_model.h"
#include "../output.h"
#include "holdfast/base/units.h"

namespace holdfast::cli {

void add_import(Registrar& r) {
  CLI::App& c = r.add("import", "Import a model into the store");
  struct Flags {
    std::string path;
    ImportFlags import;
  };
  auto flags = std::make_shared<Flags>();
  c.add_option("PATH", flags->path,
               "A GGUF file, one part of a split model, or a folder (GGUF or safetensors)")
      ->required();
  c.add_option("--name", flags->import.name,
               "Name in the store; without one it is made from the file's name")
      ->type_name("NAME[:TAG]");
  c.add_option("--template", flags->import.template_name,
               "Chat template to use: a bundled family or a file")
      ->type_name("NAME|FILE");
  r.bind(c, [flags](Context& context) -> Status {
    HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
    bool was_there = false;
    HF_TRY_ASSIGN(const registry::ModelRecord model,
                  import_path(context, *store, flags->path, flags->import, &was_there));
    const std::string digest = to_hex(model.pack);
    HF_TRY_ASSIGN(const vault::PackHeader header, header_of(*store, model));
    const bool sealed = header.seal.has_value();
    if (context.json()) {
      print_json_line(json::Object{{"status", "success"},
                                   {"model", model.name.full()},
                                   {"digest", "sha256:" + digest},
                                   {"size", model.size_bytes},
                                   {"sealed", sealed},
                                   {"was_there", was_there}});
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
               "NAME` (see "
               "`holdfast import --help`)");
      }
    }
    return ok_status();
  });
}

}  // namespace holdfast::cli
