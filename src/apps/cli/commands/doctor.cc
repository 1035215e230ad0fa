// `holdfast doctor`: what this machine offers, what is missing, and how to mend it.
#include <chrono>
#include <fstream>

#include "../access_settings.h"
#include "../command.h"
#include "../egress_proof.h"
#include "../engine_config.h"
#include "../keyring.h"
#include "../local_model.h"
#include "../observation.h"
#include "../output.h"
#include "../server_address.h"
#include "../server_jail.h"
#include "../tensor_paths.h"
#include "holdfast/base/units.h"
#include "holdfast/jail/jail.h"
#include "holdfast/kernels/select.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/cpu.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/platform/machine_state.h"
#include "holdfast/platform/secret_memory.h"

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

void check_huge_pages(Findings& out) {
  const std::string huge = platform::transparent_huge_pages();
  const bool wanted = huge == "madvise" || huge == "always";
  out.push_back({"huge pages", wanted ? Verdict::kOk : Verdict::kWarn,
                 huge.empty() ? "the kernel does not tell" : huge,
                 huge == "never" ? "weights are read 10 to 40 % slower without: echo madvise > "
                                   "/sys/kernel/mm/transparent_hugepage/enabled (as root)"
                                 : ""});
}

void check_clock(Findings& out) {
  const std::vector<int> cpus = platform::allowed_processors();
  const platform::ClockState clock = platform::ClockState::read(cpus.empty() ? 0 : cpus.front());
  if (clock.governor.empty()) {
    out.push_back(
        {"clock", Verdict::kInfo, "the kernel does not tell, as in most virtual machines", ""});
    return;
  }
  std::string value = "governor " + clock.governor;
  if (clock.hertz) value += ", now " + fixed(*clock.hertz / 1e9, 2) + " GHz";
  if (clock.hertz_max) value += " of " + fixed(*clock.hertz_max / 1e9, 2) + " GHz";
  const bool slow = clock.governor == "powersave" || clock.governor == "conservative";
  out.push_back({"clock", slow ? Verdict::kWarn : Verdict::kOk, std::move(value),
                 slow ? "cpupower frequency-set -g performance (as root); with the driver "
                        "intel_pstate or amd_pstate, powersave may already be fast"
                      : ""});
}

void add_limits(const Observation& seen, unsigned threads, Findings& out) {
  const platform::MachineLimits m = seen.limits();
  const std::string placement = seen.placement();
  out.push_back({"limit: memory", Verdict::kInfo,
                 fixed(m.memory_bytes_per_second / 1e9, 1) + " GB/s, " + std::to_string(threads) +
                     (threads == 1 ? " thread" : " threads"),
                 ""});
  out.push_back({"limit: int8 dots", Verdict::kInfo,
                 fixed(m.int8_ops_per_second / 1e9, 0) + " GOPS, " +
                     fixed(m.int8_scaling * 100, 0) + " % of the threads one by one",
                 ""});
  out.push_back(
      {"limit: f32 fma", Verdict::kInfo, fixed(m.f32_ops_per_second / 1e9, 0) + " GFLOPS", ""});
  std::string where = placement;
  std::string fix;
  if (m.barrier_ns > 0) where += ", two threads meet in " + fixed(m.barrier_ns, 0) + " ns";
  if (placement == "smt")
    fix = "threads share a core: lower engine.threads, or give this machine whole cores";
  if (placement == "busy")
    fix =
        "other programs use the processors: end them, or lower "
        "engine.threads";
  if (placement == "moved") fix = "the processors of this virtual machine move: measure again";
  out.push_back({"placement", fix.empty() ? Verdict::kOk : Verdict::kWarn, std::move(where), fix});
  const bool disturbed = seen.others_share > kOthersShareMax;
  out.push_back(
      {"other programs", disturbed ? Verdict::kWarn : Verdict::kOk,
       fixed(seen.others_share * 100, 0) + " % of the processors, " +
           fixed(seen.steal_share * 100, 0) + " % taken by the hypervisor",
       disturbed ? "end them, or lower engine.threads; stolen time needs another host" : ""});
}

// Long enough for the kernel's count of ticks, which are 10 ms each.
constexpr std::chrono::milliseconds kQuiet{300};

Status check_limits(const Context& context, Findings& out) {
  HF_TRY_ASSIGN(const kernels::KernelTable* table,
                kernels::select_kernels(platform::CpuFeatures::detect(),
                                        context.settings.text(config::Setting::engine_force_isa)));
  const json::Object engine = engine_config(context);
  const auto threads = static_cast<unsigned>(engine.find("threads")->as_int());
  HF_TRY_ASSIGN(platform::MachineProbe probe, open_probe(*table, threads));
  Observer observer(probe);
  HF_TRY(observer.begin(0));
  platform::pause_for(kQuiet);
  HF_TRY_ASSIGN(const Observation seen, observer.finish());
  add_limits(seen, threads, out);
  return ok_status();
}

void check_memory(Findings& out) {
  const platform::MemoryLimits m = platform::MemoryLimits::detect();
  std::string value =
      format_bytes(m.host_available_bytes) + " free of " + format_bytes(m.host_total_bytes);
  if (m.cgroup_limit_bytes) value += ", cgroup limit " + format_bytes(*m.cgroup_limit_bytes);
  const bool little = m.available_bytes() < kGiB;
  out.push_back({"memory", little ? Verdict::kWarn : Verdict::kOk, value,
                 little ? "end other programs, or raise the cgroup's memory limit" : ""});
  check_huge_pages(out);
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

// The other kinds of process, and the server as these settings confine it.
void check_other_sandboxes(const Context& context, Findings& out) {
  auto processes = probe_child_layers(context);
  const auto profile = server_jail_profile(context);
  if (!processes.ok() || !profile.ok()) return;  // said by check_sandbox, and by `serve`
  if (auto server = jail::probe_server_jail(*profile); server.ok())
    processes->push_back({"server", std::move(*server)});
  for (const ProcessLayers& p : *processes) {
    std::string held;
    for (const jail::LayerState& l : p.report.layers) {
      if (l.applied) held += (held.empty() ? "" : ", ") + std::string(jail::layer_name(l.layer));
    }
    const std::string missing = p.report.describe_missing();
    out.push_back({"layers of the " + std::string(p.process),
                   missing.empty() ? Verdict::kOk : Verdict::kWarn,
                   missing.empty() ? held : held + "; missing: " + missing,
                   missing.empty() ? "" : "server.profile = \"regulated\" does not start so"});
  }
}

// Engines make it before their sandbox closes, so what this process gets is what they have.
void check_secret_memory(Findings& out) {
  const auto memory = platform::SecretMemory::allocate(1);
  const auto kind = memory.ok() ? memory->kind() : platform::SecretMemoryKind::kNotLocked;
  const bool locked = kind != platform::SecretMemoryKind::kNotLocked;
  out.push_back(
      {"memory of keys", locked ? Verdict::kOk : Verdict::kWarn,
       std::string(platform::secret_memory_kind_name(kind)) + ", in the key holder and in engines",
       locked ? "" : "raise the limit on locked memory (ulimit -l, LimitMEMLOCK=)"});
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

void check_keyring(const Context& context, Findings& out) {
  const auto custody = sealing_custody(context);
  if (!custody.ok()) {
    const bool sealed = custody.error().code() == ErrorCode::kUnavailable;
    out.push_back({"keyring", sealed ? Verdict::kWarn : Verdict::kFail,
                   custody.error().client_message(), custody.error().hint()});
    return;
  }
  if (*custody == nullptr) {
    out.push_back(
        {"keyring", Verdict::kInfo, "none in use: imported models are not sealed",
         "`holdfast seal slot add --kind passphrase` makes one; so does the first start"});
    return;
  }
  const auto holder = (*custody)->holder();
  if (!holder.ok()) {
    out.push_back(
        {"keyring", Verdict::kFail, holder.error().client_message(), holder.error().hint()});
    return;
  }
  const bool locked = holder->memory != platform::SecretMemoryKind::kNotLocked;
  out.push_back({"keyring", locked ? Verdict::kOk : Verdict::kWarn,
                 "opens; its keys lie in memory of kind " +
                     std::string(platform::secret_memory_kind_name(holder->memory)),
                 locked ? "" : "raise the limit on locked memory (ulimit -l, LimitMEMLOCK=)"});
}

void check_server(const Context& context, Findings& out) {
  const auto answer = call_server(context, "GET", "/health");
  const std::string where = socket_path(context);
  out.push_back({"server", Verdict::kInfo,
                 answer.ok() ? "answers" : "none (" + answer.error().client_message() + ")",
                 answer.ok() ? "" : "`holdfast serve` starts one; socket " + where});
}

// Who may ask the server that these settings start.
void check_access(const Context& context, Findings& out) {
  const auto keys = count_keys(context);
  if (!keys.ok()) {
    out.push_back({"keys", Verdict::kFail, keys.error().client_message(), keys.error().hint()});
    return;
  }
  const bool needed = keys->all > 0 || auth_mode(context.settings) == gateway::AuthMode::kRequired;
  out.push_back({"keys", Verdict::kInfo,
                 needed ? std::to_string(keys->active) + " valid"
                        : "none: everybody on this machine may use and manage the server",
                 needed ? "" : "`holdfast key create --role admin` makes the first one"});
  if (!context.settings.list(config::Setting::server_tls_terminated_upstream).empty()) {
    out.push_back({"transport", Verdict::kWarn,
                   "a proxy takes the TLS off: keys and prompts travel in the clear behind it",
                   "give the server a certificate, or keep that network to yourself"});
  }
}

Status check_model(const Context& context, const std::string& name, Findings& out) {
  HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context));
  HF_TRY_ASSIGN(const registry::ModelRecord model, store->resolve(name));
  HF_TRY_ASSIGN(const std::unique_ptr<platform::OpenFile> file, store->open_pack(model));
  HF_TRY_ASSIGN(const vault::PackReader pack, open_reader(context, *file));
  HF_TRY_ASSIGN(const kernels::KernelTable* table,
                kernels::select_kernels(platform::CpuFeatures::detect(),
                                        context.settings.text(config::Setting::engine_force_isa)));
  for (const TensorPath& t : tensor_paths(pack.index(), *table)) {
    std::string value = std::to_string(t.count) + (t.count == 1 ? " tensor, " : " tensors, ") +
                        t.type + ", " + format_bytes(t.bytes) + ": " + t.kernel;
    std::string fix;
    if (t.path == KernelPath::kWidened)
      fix = "its source type has no kernel of its own: another quantisation is smaller and faster";
    if (t.path == KernelPath::kGeneric)
      fix = "a slow path: see the finding about the instruction set";
    out.push_back({"weights " + t.tensors, fix.empty() ? Verdict::kOk : Verdict::kWarn,
                   std::move(value), std::move(fix)});
  }
  out.push_back({"attention", Verdict::kOk,
                 context.settings.text(config::Setting::engine_kv_type) +
                     " keys and values: " + table->isa + " f32 fma",
                 ""});
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
    bool limits = false;
    bool prove_no_egress = false;
    std::string model;
  };
  auto flags = std::make_shared<Flags>();
  c.add_flag("--health", flags->health,
             "Only ask the running server; exit status 0 if it is healthy, else 1");
  c.add_flag("--limits", flags->limits,
             "Also measure memory speed, arithmetic and placement (about a second)");
  c.add_flag("--prove-no-egress", flags->prove_no_egress,
             "Only try every way to a network from each kind of process, in its sandbox; exit "
             "status 0 if none is open");
  c.add_option("--model", flags->model, "Also list which kernels compute this model's weights");
  r.bind(c, [flags](Context& context) -> Status {
    if (flags->health) return health(context);
    if (flags->prove_no_egress) return prove_no_egress(context);
    Findings findings;
    // First of all: it needs a process that has started no thread.
    check_sandbox(findings);
    check_other_sandboxes(context, findings);
    Findings out;
    check_cpu(context, out);
    check_memory(out);
    check_clock(out);
    if (flags->limits) HF_TRY(check_limits(context, out));
    out.insert(out.end(), findings.begin(), findings.end());
    check_secret_memory(out);
    check_store(context, out);
    check_keyring(context, out);
    check_server(context, out);
    check_access(context, out);
    if (!flags->model.empty()) HF_TRY(check_model(context, flags->model, out));
    return report(context, out);
  });
}

}  // namespace holdfast::cli
