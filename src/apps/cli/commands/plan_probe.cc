// `holdfast plan probe`: this machine as a row of the planner's hardware, so that later plans know
// it.
#include "../bench_run.h"
#include "../local_model.h"
#include "../machine_row.h"
#include "../output.h"
#include "../plan_documents.h"
#include "bench_calibrate.h"
#include "holdfast/platform/filesystem.h"
#include "plan.h"

namespace holdfast::cli {

namespace {

struct ProbeFlags {
  std::string out;
  std::string model;
};

// The rows of `path` with that of this machine in place of an older one of the same id.
Result<std::string> with_row(const std::string& path, const std::string& row_csv) {
  platform::PosixFileSystem fs;
  const std::size_t line = row_csv.find('\n') + 1;
  const std::string id = row_csv.substr(line, row_csv.find(',', line) - line);
  if (!fs.exists(path)) return row_csv;
  HF_TRY_ASSIGN(const std::string old, read_text(path, std::uint64_t{1} << 20));
  HF_TRY(planner::parse_devices(old, path, true));
  if (!old.starts_with(row_csv.substr(0, line))) {
    return invalid_argument(path + ": has other columns than this version writes")
        .with_hint("write the row elsewhere with --out FILE");
  }
  std::string out = row_csv.substr(0, line);
  for (std::size_t at = line; at < old.size();) {
    const std::size_t end = std::min(old.find('\n', at), old.size() - 1) + 1;
    const std::string_view row = std::string_view(old).substr(at, end - at);
    at = end;
    if (row.starts_with(id + ",") || row == "\n") continue;
    out += row;
    if (!row.ends_with("\n")) out += "\n";
  }
  return out + row_csv.substr(line);
}

// The smallest model that is here: enough to know how far predictions are off.
Result<std::string> model_to_measure(const Context& context, const std::string& asked) {
  if (!asked.empty()) return asked;
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  HF_TRY_ASSIGN(const registry::Listing listing, store->list());
  const registry::ModelRecord* best = nullptr;
  for (const registry::ModelRecord& m : listing.models) {
    if (m.facts.vocab_only || !check_stage(m).ok()) continue;
    if (best == nullptr || m.size_bytes < best->size_bytes) best = &m;
  }
  return best == nullptr ? std::string() : best->name.shown();
}

Status probe(Context& context, const ProbeFlags& flags) {
  const std::string folder = context.data_dir + "/planner";
  const std::string path = flags.out.empty() ? folder + "/hardware.csv" : flags.out;
  HF_TRY_ASSIGN(const MachineFacts facts, probe_machine(context));
  const std::string row = machine_row_csv(facts);
  platform::PosixFileSystem fs;
  if (flags.out.empty()) HF_TRY(fs.make_dirs(folder, 0700));
  HF_TRY_ASSIGN(const std::string rows, with_row(path, row));
  HF_TRY(write_text(path, rows));
  HF_TRY_ASSIGN(const std::string model, model_to_measure(context, flags.model));
  if (!model.empty()) {
    CalibrateFlags calibrate;
    calibrate.model = model;
    calibrate.print = !context.json();
    HF_TRY(bench_calibrate(context, calibrate));
  }
  const std::string id = machine_id(facts.cpu, facts.threads);
  if (context.json()) {
    print_json(
        json::Object{{"id", id},
                     {"file", path},
                     {"cpu", facts.cpu},
                     {"threads", facts.threads},
                     {"isa", facts.isa},
                     {"memory_bytes", facts.memory_bytes},
                     {"memory_bytes_per_s", facts.memory_bytes_per_second},
                     {"int8_ops_per_s", facts.int8_ops_per_second},
                     {"f32_ops_per_s", facts.f32_ops_per_second},
                     {"calibrated_with", model.empty() ? json::Value() : json::Value(model)}});
    return ok_status();
  }
  print(id + ": " + fixed(static_cast<double>(facts.memory_bytes) / 1e9, 1) + " GB, " +
        fixed(facts.memory_bytes_per_second / 1e9, 1) + " GB/s; written to " + path + "\n");
  if (model.empty())
    notice(context,
           "note: with a model in the store, `holdfast plan probe` measures it too, and "
           "plans know this machine's speed within a few percent");
  return ok_status();
}

}  // namespace

void add_plan_probe(Registrar& r, CLI::App& plan) {
  CLI::App& c = add_plan_leaf(plan, "probe",
                              "Measure this machine and keep it as a device that plans can use; "
                              "with a model in the store, its speed as well (a minute)");
  auto flags = std::make_shared<ProbeFlags>();
  c.add_option("--out", flags->out, "Write the row there, not to planner/hardware.csv")
      ->type_name("FILE");
  c.add_option("--model", flags->model, "Model to measure; without it the smallest of the store");
  r.bind(c, [flags](Context& context) { return probe(context, *flags); });
}

}  // namespace holdfast::cli
