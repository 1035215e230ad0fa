// `holdfast backup` and `holdfast restore`.
#include "../command.h"
#include "../output.h"
#include "../restore.h"
#include "holdfast/base/units.h"

namespace holdfast::cli {

namespace {

std::string count(std::size_t n, const std::string& what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

json::Object facts_json(const bundle::BackupFacts& facts) {
  return {{"created_at", rfc3339(facts.created_unix)},
          {"instance", facts.instance},
          {"generation", facts.generation},
          {"with_models", facts.with_models}};
}

Status backup(Context& context, const std::string& output, bool with_models) {
  HF_TRY_ASSIGN(const BackedUp done, write_backup_file(context, output, with_models));
  if (context.json()) {
    json::Object out{{"status", "success"}, {"file", output}, {"size", done.bytes}};
    for (const json::Member& m : facts_json(done.facts)) out.set(m.key, m.value);
    out.set("models", done.models);
    print_json_line(std::move(out));
    return ok_status();
  }
  print((context.flags.quiet ? "" : "wrote ") + output +
        (context.flags.quiet
             ? "\n"
             : " (" + format_bytes(done.bytes) + ", " + count(done.models, "model") +
                   ", keyring generation " + std::to_string(done.facts.generation) + ")\n"));
  if (!with_models) notice(context, "without the weights; --with-models takes them too");
  notice(context,
         "what opens the keyring (key file, passphrase, token) is not in it: keep that apart");
  return ok_status();
}

Status restore(Context& context, const std::string& path) {
  HF_TRY_ASSIGN(const Restored done, restore_backup_file(context, path));
  if (context.json()) {
    json::Object out{{"status", "success"}};
    for (const json::Member& m : facts_json(done.facts)) out.set(m.key, m.value);
    out.set("models", done.models);
    out.set("packs", done.packs);
    json::Array files;
    for (const std::string& file : done.key_files) files.emplace_back(file);
    out.set("key_files", std::move(files));
    print_json_line(std::move(out));
    return ok_status();
  }
  print("restored " + count(done.models, "model") + " (" + count(done.packs, "pack") + ") into " +
        context.data_dir + "\n");
  for (const std::string& file : done.key_files)
    notice(context, "the keyring opens with the key file " + file + ": put it there");
  if (!done.facts.with_models && done.models > 0) {
    notice(context,
           "the weights are not in the backup: copy the old packs/ here, or import the "
           "models again");
  }
  notice(context, "next: holdfast seal status, holdfast ls");
  return ok_status();
}

}  // namespace

void add_backup(Registrar& r) {
  CLI::App& out = r.add("backup", "Write keyring, keys and catalogue into one file");
  auto path = std::make_shared<std::string>();
  auto with_models = std::make_shared<bool>(false);
  out.add_option("-o,--output", *path, "The file; it must not exist")
      ->required()
      ->type_name("FILE");
  out.add_flag("--with-models", *with_models, "The sealed weights too");
  r.bind(out,
         [path, with_models](Context& context) { return backup(context, *path, *with_models); });
  CLI::App& in = r.add("restore", "Bring a backup back, into an empty data directory");
  auto file = std::make_shared<std::string>();
  in.add_option("FILE", *file, "What `holdfast backup` wrote")->required();
  r.bind(in, [file](Context& context) { return restore(context, *file); });
}

}  // namespace holdfast::cli
