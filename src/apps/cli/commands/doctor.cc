// `holdfast doctor`: what this machine offers, what is missing, and how to mend it.
#include <fstream>
#include <map>

#include "../command.h"
#include "../engine_config.h"
#include "../local_model.h"
#include "../output.h"
#include "../server_address.h"
#include "holdfast/base/units.h"
#include "holdfast/jail/jail.h"
#include "holdfast/kernels/select.h"
#include "holdfast/platform/cpu.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/quant/types.h"

namespace holdfast::cli {

namespace {

// Below this an import of a small model already fails.
constexpr std::uint64_t kDiskWarnBytes = 2 * kGiB;

enum class Verdict : std::uint8_t { kOk, kInfo, kWarn, kFail };

struct Finding {
  std::string check;
  Verdict verdict = Verdict::kOk;
  std::string value;
  std::string fix;  // empty where there is nothing to do
};

const char* verdict_name(Verdict v) {
  switch (v) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kInfo:
      return "info";
    case Verdict::kWarn:
      return "warn";
    case Verdict::kFail:
      return "fail";
  }
  return "fail";
}

std::string first_line(const char* path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

using Findings = std::vector<Finding>;

void check_cpu(const Context& context, Findings& out) {
  const platform::CpuFeatures cpu = platform::CpuFeatures::detect();
  const std::pair<const char*, bool> flags[] = {{"avx2", cpu.avx2},
                                                {"fma", cpu.fma},
                                                {"f16c", cpu.f16c},
                                                {"avx_vnni", cpu.avx_vnni},
                                                {"avx512f", cpu.avx512f},
                                                {"avx512bw", cpu.avx512bw},
                                                {"avx512vl", cpu.avx512vl},
                                                {"avx512dq", cpu.avx512dq},
                                                {"avx512vnni", cpu.avx512vnni},
                                                {"avx512bf16", cpu.avx512bf16},
                                                {"amx_int8", cpu.amx_int8},
                                                {"neon", cpu.neon},
                                                {"dotprod", cpu.dotprod},
                                                {"i8mm", cpu.i8mm},
                                                {"sve", cpu.sve}};
  std::string names;
  for (const auto& [name, present] : flags) {
    if (present) names += std::string(" ") + name;
  }
  out.push_back({"processor", Verdict::kInfo,
                 (cpu.model.empty() ? cpu.vendor : cpu.model) + ":" + names, ""});
  const std::string& forced = context.settings.text(config::Setting::engine_force_isa);
  const auto kernels = kernels::select_kernels(cpu, forced);
  if (!kernels.ok()) {
    out.push_back({"instruction set", Verdict::kFail, kernels.error().client_message(),
                   "take engine.force_isa (HOLDFAST_FORCE_ISA) away"});
  } else if (std::string_view((*kernels)->isa) == "scalar") {
    out.push_back({"instruction set", Verdict::kWarn, "scalar",
                   forced.empty() ? "this machine has none of the faster sets; models run slowly"
                                  : "take engine.force_isa away for full speed"});
  } else {
    out.push_back({"instruction set", Verdict::kOk,
                   std::string((*kernels)->isa) + (forced.empty() ? "" : " (forced)"), ""});
  }
  const platform::CpuTopology t = platform::CpuTopology::detect();
  std::string cores = std::to_string(t.physical_allowed) + " cores, " +
                      std::to_string(t.logical_allowed) + " hardware threads";
  if (t.cgroup_quota) cores += ", cgroup quota " + fixed(*t.cgroup_quota, 1);
  const std::int64_t threads = engine_config(context).find("threads")->as_int();
  const bool many = threads > t.usable_cores();
  out.push_back({"compute threads", many ? Verdict::kWarn : Verdict::kOk,
                 std::to_string(threads) + " of " + cores,
                 many ? "more threads than cores slow each other: lower engine.threads" : ""});
}

void check_memory(Findings& out) {
  const platform::MemoryLimits m = platform::MemoryLimits::detect();
  std::string value =
      format_bytes(m.host_available_bytes) + " free of " + format_bytes(m.host_total_bytes);
  if (m.cgroup_limit_bytes) value += ", cgroup limit " + format_bytes(*m.cgroup_limit_bytes);
  const bool little = m.available_bytes() < kGiB;
  out.push_back({"memory", little ? Verdict::kWarn : Verdict::kOk, value,
                 little ? "end other programs, or raise the cgroup's memory limit" : ""});
  const std::string huge = first_line("/sys/kernel/mm/transparent_hugepage/enabled");
  const bool never = huge.find("[never]") != huge.npos;
  out.push_back(
      {"huge pages", huge.empty() || never ? Verdict::kWarn : Verdict::kOk,
       huge.empty() ? "the kernel does not tell" : huge,
       never ? "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (as root)" : ""});
  std::ifstream swaps("/proc/swaps");
  std::string line;
  int areas = -1;
  while (std::getline(swaps, line)) ++areas;
  out.push_back(
      {"swap", areas > 0 ? Verdict::kWarn : Verdict::kOk,
       areas > 0 ? std::to_string(areas) + " areas: prompts could be written to disk" : "off",
       areas > 0 ? "swapoff -a, or use encrypted swap" : ""});
  const std::string core = first_line("/proc/sys/kernel/core_pattern");
  const bool dumped = !core.empty() && core != "|/bin/false";
  out.push_back({"core dumps", Verdict::kInfo, core.empty() ? "off" : core,
                 dumped ? "weights and caches are kept out of dumps; to have none: sysctl "
                          "kernel.core_pattern='|/bin/false'"
                        : ""});
}

void check_sandbox(Findings& out) {
  jail::Profile profile;
  profile.kind = jail::ProfileKind::kEngine;
  const auto report = jail::probe_jail(profile);
  if (!report.ok()) {
    out.push_back({"sandbox", Verdict::kFail, report.error().to_string(),
                   "the engine refuses to start without descriptors, no_new_privileges and "
                   "seccomp: use a kernel or container runtime that allows them"});
    return;
  }
  for (const jail::LayerState& l : report->layers) {
    std::string value = l.applied ? "applied" : "missing";
    if (!l.reason.empty()) value += " (" + l.reason + ")";
    out.push_back({"sandbox " + std::string(jail::layer_name(l.layer)),
                   l.applied ? Verdict::kOk : Verdict::kWarn, std::move(value),
                   l.applied ? ""
                             : "kernel or container withholds it; it takes away: " +
                                   std::string(jail::layer_description(l.layer))});
  }
}

void check_store(const Context& context, Findings& out) {
  if (const auto program = engine_program(); !program.ok()) {
    out.push_back(
        {"engine", Verdict::kFail, program.error().client_message(), program.error().hint()});
  }
  const auto store = open_store(context);
  if (!store.ok()) {
    out.push_back({"store", Verdict::kFail, store.error().to_string(),
                   "give another folder with --data-dir DIR"});
    return;
  }
  const auto listing = (*store)->list();
  if (!listing.ok()) {
    out.push_back({"store", Verdict::kFail, listing.error().to_string(), ""});
    return;
  }
  std::uint64_t bytes = 0;
  for (const registry::ModelRecord& m : listing->models) bytes += m.size_bytes;
  out.push_back({"store", Verdict::kOk,
                 (*store)->data_dir() + ": " + std::to_string(listing->models.size()) +
                     " models, " + format_bytes(bytes),
                 ""});
  for (const std::string& name : listing->damaged) {
    out.push_back({"store", Verdict::kWarn, "damaged entry " + name,
                   "remove it with `holdfast rm` and import the model again"});
  }
  platform::PosixFileSystem files;
  const auto free = files.free_bytes((*store)->data_dir());
  if (free.ok()) {
    out.push_back({"disk", *free < kDiskWarnBytes ? Verdict::kWarn : Verdict::kOk,
                   format_bytes(*free) + " free for models",
                   *free < kDiskWarnBytes ? "make room, or use another --data-dir" : ""});
  }
}

void check_server(const Context& context, Findings& out) {
  const auto answer = call_server(context, "GET", "/health");
  const std::string where = socket_path(context);
  out.push_back({"server", Verdict::kInfo,
                 answer.ok() ? "answers" : "none (" + answer.error().client_message() + ")",
                 answer.ok() ? "" : "`holdfast serve` starts one; socket " + where});
}

Status check_model(const Context& context, const std::string& name, Findings& out) {
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  HF_TRY_ASSIGN(const registry::ModelRecord model, store->resolve(name));
  HF_TRY_ASSIGN(const std::unique_ptr<platform::OpenFile> file, store->open_pack(model));
  HF_TRY_ASSIGN(const vault::PackReader pack, vault::PackReader::open(*file));
  HF_TRY_ASSIGN(const kernels::KernelTable* table,
                kernels::select_kernels(platform::CpuFeatures::detect(),
                                        context.settings.text(config::Setting::engine_force_isa)));
  struct Sum {
    std::size_t tensors = 0;
    std::uint64_t bytes = 0;
  };
  std::map<std::uint16_t, Sum> types;
  for (const vault::TensorEntry& t : pack.index().tensors) {
    ++types[t.type].tensors;
    types[t.type].bytes += t.length;
  }
  for (const auto& [number, sum] : types) {
    const auto type = static_cast<quant::TensorType>(number);
    const quant::TypeInfo* info = quant::type_info(type);
    const bool matrix = kernels::quant_gemm(*table, type) != nullptr ||
                        kernels::float_gemm(*table, type) != nullptr;
    out.push_back(
        {"weights " + (info == nullptr ? std::to_string(number) : std::string(info->name)),
         Verdict::kOk,
         std::to_string(sum.tensors) + " tensors, " + format_bytes(sum.bytes) + ", " +
             (matrix ? std::string(table->isa) + " kernels" : "vectors of float32"),
         ""});
  }
  return ok_status();
}

Status report(Context& context, const Findings& findings) {
  bool failed = false;
  Table table({"CHECK", "VERDICT", "FOUND"});
  json::Array document;
  std::string fixes;
  for (const Finding& f : findings) {
    failed = failed || f.verdict == Verdict::kFail;
    table.add({f.check, verdict_name(f.verdict), f.value});
    if (!f.fix.empty() && f.verdict != Verdict::kInfo)
      fixes += "  " + f.check + ": " + f.fix + "\n";
    document.push_back(json::Object{{"check", f.check},
                                    {"verdict", verdict_name(f.verdict)},
                                    {"found", f.value},
                                    {"fix", f.fix.empty() ? json::Value() : json::Value(f.fix)}});
  }
  print_list(context, table, json::Object{{"ok", !failed}, {"findings", std::move(document)}});
  if (context.format() == Format::kTable || context.format() == Format::kWide)
    print(fixes.empty() ? "\nNothing to mend.\n" : "\nWhat can be done\n" + fixes);
  if (failed) context.exit_status = 1;
  return ok_status();
}

Status health(Context& context) {
  const auto answer = call_server(context, "GET", "/health");
  if (answer.ok()) {
    if (!context.flags.quiet) print("ok\n");
    return ok_status();
  }
  print_error(context, answer.error());
  context.exit_status = 1;
  return ok_status();
}

}  // namespace

void add_doctor(Registrar& r) {
  CLI::App& c =
      r.add("doctor", "Check this machine: processor, memory, sandbox, store, server", {"info"});
  struct Flags {
    bool health = false;
    std::string model;
  };
  auto flags = std::make_shared<Flags>();
  c.add_flag("--health", flags->health,
             "Only ask the running server; exit status 0 if it is healthy, else 1");
  c.add_option("--model", flags->model, "Also list which kernels compute this model's weights");
  r.bind(c, [flags](Context& context) -> Status {
    if (flags->health) return health(context);
    Findings findings;
    // First of all: it needs a process that has started no thread.
    check_sandbox(findings);
    Findings out;
    check_cpu(context, out);
    check_memory(out);
    out.insert(out.end(), findings.begin(), findings.end());
    check_store(context, out);
    check_server(context, out);
    if (!flags->model.empty()) HF_TRY(check_model(context, flags->model, out));
    return report(context, out);
  });
}

}  // namespace holdfast::cli
