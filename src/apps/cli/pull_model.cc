#include "pull_model.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>

#include "holdfast/base/units.h"
#include "interrupts.h"
#include "keyring.h"
#include "local_model.h"
#include "model_facts_text.h"
#include "output.h"
#include "pull_settings.h"
#include "transport.h"

namespace holdfast::cli {
namespace {

constexpr auto kEventInterval = std::chrono::milliseconds(250);

// Progress as the user wants it: bars, lines, or one JSON object per event.
class PullProgress {
 public:
  explicit PullProgress(const Context& context) : context_(context) {}

  void operator()(const fetch::PullEvent& event) {
    if (context_.json()) return tell_json(event);
    if (event.total == 0) return;
    if (!bar_ || status_ != event.status) {
      bar_.emplace(context_, event.status);
      status_ = event.status;
    }
    bar_->update(event.completed, event.total);
  }
  // Of the steps after the files are there.
  void step(const std::string& status) {
    bar_.reset();
    status_.clear();
    if (context_.json()) print_json_line(json::Object{{"status", status}});
  }
  void importing(const importer::Progress& progress) {
    (*this)({progress.phase == "converting" ? "importing" : progress.phase, "",
             progress.total_bytes, progress.done_bytes});
  }

 private:
  void tell_json(const fetch::PullEvent& event) {
    const auto now = std::chrono::steady_clock::now();
    const bool begins = event.status != status_;
    const bool ends = event.completed == event.total;
    if (!begins && (ended_ || (!ends && now < next_))) return;
    status_ = event.status;
    ended_ = ends;
    next_ = now + kEventInterval;
    json::Object line{{"status", event.status}};
    if (!event.digest.empty()) line.set("digest", event.digest);
    if (event.total > 0) {
      line.set("total", event.total);
      line.set("completed", event.completed);
    }
    print_json_line(line);
  }

  const Context& context_;
  std::optional<Progress> bar_;
  std::string status_;
  bool ended_ = false;
  std::chrono::steady_clock::time_point next_;
};

struct Work {
  Context& context;
  const PullFlags& flags;
  registry::Store& store;
  const std::atomic<bool>& cancel;
  PullProgress& progress;
};

std::string name_of(const PullFlags& flags, const fetch::Source& source) {
  return flags.name.empty() ? fetch::model_name_of(source) : flags.name;
}

Result<registry::ModelRecord> import_pulled(const Work& work, const fetch::Source& source,
                                            const std::string& path,
                                            std::optional<registry::Provenance> provenance,
                                            bool* was_there) {
  ImportFlags import;
  import.name = name_of(work.flags, source);
  import.template_name = work.flags.template_name;
  import.provenance = std::move(provenance);
  import.cancel = &work.cancel;
  import.on_progress = [&work](const importer::Progress& p) { work.progress.importing(p);
};
return import_path(work.context, work.store, path, import, was_there);
}  // namespace

registry::Provenance provenance_of(const Context& context, const fetch::Pulled& pulled) {
  registry::Provenance provenance;
  provenance.origin = {registry::OriginKind::kUrl, registry::url_to_record(pulled.url),
                       pulled.revision};
  provenance.imported = act_now(context);
  return provenance;
}

Status report(const Work& work, const registry::ModelRecord& model, const fetch::Pulled& pulled,
              bool was_there) {
  const Context& context = work.context;
  HF_TRY_ASSIGN(const vault::PackHeader header, header_of(work.store, model));
  const std::string digest = to_hex(model.pack);
  if (context.json()) {
    print_json_line(json::Object{{"status", "success"},
                                 {"model", model.name.full()},
                                 {"digest", "sha256:" + digest},
                                 {"size", model.size_bytes},
                                 {"sealed", header.seal.has_value()},
                                 {"was_there", was_there},
                                 {"origin", json::Object{{"kind", "url"},
                                                         {"url", pulled.url},
                                                         {"revision", pulled.revision},
                                                         {"digest", pulled.digest}}}});
  } else if (context.flags.quiet) {
    print(model.name.shown() + "\n");
  } else {
    print("pulled " + model.name.shown() + " (" + model.facts.architecture + ", " +
          model.facts.quantization + ", " + format_bytes(model.size_bytes) + ", " +
          short_id(context, digest) + ", sealed: " + (header.seal ? "yes" : "no") + ")\n");
  }
  return ok_status();
}

Result<registry::ModelRecord> fetch_and_import(const Work& work, const fetch::Source& source) {
  HF_TRY_ASSIGN(fetch::PullOptions options,
                pull_options(work.context, work.flags, source, work.store.data_dir() + "/pulls"));
  options.cancel = &work.cancel;
  options.on_event = [&work](const fetch::PullEvent& event) { work.progress(event); };
  platform::PosixFileSystem fs;
  HF_TRY_ASSIGN(fetch::Pulled pulled, fetch::pull(fs, source, options));
  work.progress.step("verifying signature");
  bool was_there = false;
  HF_TRY_ASSIGN(
      const registry::ModelRecord model,
      import_pulled(work, source, pulled.path, provenance_of(work.context, pulled), &was_there));
  work.progress.step("writing manifest");
  HF_TRY(report(work, model, pulled, was_there));
  // The model is there: files that stay behind only take room.
  if (const Status removed = fetch::discard(fs, std::move(pulled)); !removed.ok())
    notice(work.context,
           "note: what was fetched could not be removed: " + removed.error().client_message());
  return model;
}

// A local file or bundle: as `import` does it. A sealed bundle's passphrase is asked for there.
Result<registry::ModelRecord> import_local(const Work& work, const fetch::Source& source) {
  bool was_there = false;
  if (looks_like_bundle(source.path)) {
    HF_TRY_ASSIGN(ImportedBundle done, import_bundle(work.context, work.store, source.path,
                                                     work.flags.name, SecretFlags()));
    HF_TRY(report(work, done.model, {}, done.was_there));
    return std::move(done.model);
  }
  HF_TRY_ASSIGN(const registry::ModelRecord model,
                import_pulled(work, source, source.path, std::nullopt, &was_there));
  HF_TRY(report(work, model, {}, was_there));
  return model;
}

Result<registry::ModelRecord> pull_source_of(Context& context, const PullFlags& flags,
                                             const fetch::Source& source) {
  // Before any thread is started.
  HF_TRY_ASSIGN(const std::unique_ptr<Interrupts> interrupts, Interrupts::create());
  std::atomic<bool> cancel = false;
  interrupts->set_handler([&cancel](int) { cancel = true; });
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  PullProgress progress(context);
  const Work work{context, flags, *store, cancel, progress};
  auto model = source.kind == fetch::SourceKind::kFile ? import_local(work, source)
                                                       : fetch_and_import(work, source);
  if (!model.ok() && model.error().code() == ErrorCode::kCancelled && interrupts->last() != 0)
    context.exit_status = 128 + interrupts->last();
  return model;
}

}  // namespace holdfast::cli

Status pull_model(Context& context, const PullFlags& flags) {
  HF_TRY_ASSIGN(const fetch::Source source, pull_source(context, flags));
  const auto model = pull_source_of(context, flags, source);
  if (model.ok()) return ok_status();
  if (!context.exit_status) return model.error();
  // Stopped by a signal: nothing went wrong.
  print_error(context, model.error());
  return ok_status();
}

Result<std::string> pull_if_absent(Context& context, const std::string& model) {
  if (looks_like_path(model) || !fetch::looks_like_source(model)) return model;
  PullFlags flags;
  flags.source = model;
  auto source = pull_source(context, flags);
  const bool is_name = model.find("://") == std::string::npos;
  // Not a source after all: the store says what is wrong with it as a name.
  if (!source.ok()) return is_name ? Result<std::string>(model) : std::move(source).error();
  std::string name = is_name ? model : fetch::model_name_of(*source);
  if (name.empty()) name = registry::model_name_from_file(source->file);
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  const auto there = store->resolve(name);
  if (there.ok()) return name;
  if (there.error().code() != ErrorCode::kNotFound) return there.error();
  if (!context.flags.yes && ::isatty(STDIN_FILENO) != 1) {
    return Error(there.error()).with_hint("pull it: holdfast pull " + model + ", or add --yes");
  }
  HF_TRY(confirm(context, "There is no model " + name + " here. Pull it from " +
                              source->url.authority() + "?"));
  HF_TRY_ASSIGN(const registry::ModelRecord pulled, pull_source_of(context, flags, *source));
  return pulled.name.full();
}

}  // namespace holdfast::cli
