#include "engine_config.h"

#include <algorithm>

#include "holdfast/config/settings.h"
#include "holdfast/platform/cpu.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/platform/process.h"

namespace holdfast::cli {

using config::Setting;

json::Object engine_config(const Context& context) {
  const config::Settings& s = context.settings;
  const platform::CpuTopology cpus = platform::CpuTopology::detect();
  const std::int64_t threads = s.integer(Setting::engine_threads);
  std::uint64_t memory = s.size_bytes(Setting::memory_limit);
  if (memory == 0) memory = platform::MemoryLimits::detect().limit_bytes() / 10 * 9;
  return json::Object{{"threads", threads > 0 ? threads : std::int64_t{cpus.usable_cores()}},
                      {"usable_cpus", std::max(1, cpus.logical_allowed)},
                      {"context", s.integer(Setting::limits_context_max)},
                      {"kv_bytes_max", s.size_bytes(Setting::engine_kv_bytes_max)},
                      {"kv_type", s.text(Setting::engine_kv_type)},
                      {"isa", s.text(Setting::engine_force_isa)},
                      {"batch_max", s.integer(Setting::engine_batch_max)},
                      {"prefill_chunk", s.integer(Setting::engine_prefill_chunk)},
                      {"queue_max", s.integer(Setting::limits_queue_max)},
                      {"memory_limit_bytes", memory}};
}

Result<std::string> engine_program() {
  HF_TRY_ASSIGN(std::string own, platform::own_executable_path());
  const std::string program = own.substr(0, own.rfind('/') + 1) + "holdfast-engine";
  if (!platform::PosixFileSystem().exists(program)) {
    return not_found("holdfast-engine is not beside the holdfast program", program)
        .with_hint("install both programs in one folder");
  }
  return program;
}

}  // namespace holdfast::cli
