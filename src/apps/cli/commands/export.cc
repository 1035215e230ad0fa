// `holdfast export`.
#include "../command.h"
#include "../output.h"
#include "../transport.h"
#include "holdfast/base/units.h"

namespace holdfast::cli {

void add_export(Registrar& r) {
  CLI::App& c = r.add("export", "Write a model into one verifiable file for another site");
  auto flags = std::make_shared<ExportFlags>();
  c.add_option("MODEL", flags->model, "Name of the model")->required();
  c.add_option("-o,--output", flags->output, "The file; it must not exist")
      ->required()
      ->type_name("FILE");
  c.add_option("--passphrase-file", flags->secrets.passphrase_files,
               "File with the passphrase that opens it at the other site (- is standard input)")
      ->type_name("FILE");
  add_approver_flag(c, flags->approvers);
  auto plain = std::make_shared<bool>(false);
  c.add_flag("--plain", *plain, "Answers why there is no GGUF to be had from the store");
  r.bind(c, [flags, plain](Context& context) -> Status {
    if (*plain) {
      return unsupported(
                 "unsupported: packs hold weights as the kernels read them, which no GGUF can")
          .with_hint("import came from the file that `holdfast show " + flags->model +
                     "` names: keep that one");
    }
    HF_TRY_ASSIGN(const Exported done, export_bundle(context, *flags));
    if (context.json()) {
      print_json_line(json::Object{{"status", "success"},
                                   {"model", done.model.name.full()},
                                   {"file", flags->output},
                                   {"digest", "sha256:" + done.digest},
                                   {"size", done.bytes},
                                   {"sealed", done.sealed}});
      return ok_status();
    }
    if (context.flags.quiet) {
      print("sha256:" + done.digest + "\n");
      return ok_status();
    }
    print("exported " + done.model.name.shown() + " to " + flags->output + " (" +
          format_bytes(done.bytes) + ", " + short_id(context, done.digest) +
          ", sealed: " + (done.sealed ? "yes" : "no") + ")\n");
    if (done.sealed) {
      notice(context, "the passphrase opens it: send it on another way than the file");
    } else {
      notice(context, "warning: the model is not sealed: whoever has the file can use it");
    }
    return ok_status();
  });
}

}  // namespace holdfast::cli
