#include "engine_config.h"

#include <algorithm>
#include <charconv>

#include "holdfast/base/utf8.h"
#include "holdfast/config/settings.h"
#include "holdfast/platform/cpu.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/platform/process.h"

namespace holdfast::cli {

using config::Setting;

namespace {

constexpr std::string_view kAuto = "auto";
constexpr std::string_view kOff = "off";
constexpr std::string_view kDraftPrefix = "draft:";
// As the engine limits them.
constexpr std::size_t kSharedPromptsMax = 64;
constexpr std::uint64_t kSharedPromptBytesMax = std::uint64_t{1} << 20;

// Where compute threads run; empty: anywhere. Alone on a machine of one memory node the system
// places them as well as we could, and beside others it can move them out of the way; on several
// nodes a thread that moves leaves its caches and its share of the memory's channels behind.
std::vector<int> compute_cpus(std::string_view affinity, const platform::CpuTopology& topology,
                              std::int64_t threads) {
  if (affinity == kOff) return {};
  if (affinity == kAuto) {
    const bool fits = threads <= topology.usable_cores();
    return topology.numa_nodes > 1 && fits ? topology.core_cpus : std::vector<int>();
  }
  return platform::parse_cpu_list(affinity).value_or({});  // checked at start
}

}  // namespace

Status check_engine_settings(const config::Settings& settings) {
  const std::string& affinity = settings.text(Setting::engine_affinity);
  if (affinity == kAuto || affinity == kOff) return ok_status();
  const auto cpus = platform::parse_cpu_list(affinity);
  if (!cpus.ok()) {
    return invalid_argument("engine.affinity: " + cpus.error().client_message())
        .with_hint("auto, off, or numbers and ranges such as 0-3,8");
  }
  const std::vector<int> allowed = platform::CpuTopology::detect().allowed;
  for (const int cpu : *cpus) {
    if (std::ranges::find(allowed, cpu) != allowed.end()) continue;
    return invalid_argument("engine.affinity: processor " + std::to_string(cpu) +
                            " is not available to this process");
  }
  return ok_status();
}

Result<json::Array> shared_prompts(const config::Settings& settings) {
  const config::List& paths = settings.list(Setting::models_shared_prompts);
  if (paths.size() > kSharedPromptsMax) {
    return invalid_argument("models.shared_prompts names more than " +
                            std::to_string(kSharedPromptsMax) + " files");
  }
  json::Array texts;
  platform::PosixFileSystem files;
  for (const std::string& path : paths) {
    const auto bytes = platform::read_file(files, path, kSharedPromptBytesMax);
    if (!bytes.ok()) {
      Error error = bytes.error();
      error.add_context("models.shared_prompts: " + path);
      return error;
    }
    const std::string_view text = as_string_view(*bytes);
    if (!is_valid_utf8(text))
      return invalid_argument("models.shared_prompts: " + path + " is not UTF-8 text");
    texts.emplace_back(std::string(text));
  }
  return texts;
}

std::string draft_model(const Context& context) {
  const std::string& speculation = context.settings.text(Setting::engine_speculation);
  if (!speculation.starts_with(kDraftPrefix)) return {};
  return speculation.substr(kDraftPrefix.size());
}

namespace {

// HOLDFAST_TEST_TOKEN_DELAY_MS; guesses would bring several tokens for one delay.
void add_test_hooks([[maybe_unused]] const Context& context,
                    [[maybe_unused]] json::Object& config) {
#ifdef HOLDFAST_TEST_HOOKS
  const std::string_view delay =
      config::lookup(context.environment, "HOLDFAST_TEST_TOKEN_DELAY_MS");
  std::int64_t ms = 0;
  const auto [end, error] = std::from_chars(delay.data(), delay.data() + delay.size(), ms);
  if (error != std::errc() || end != delay.data() + delay.size()) return;
  config.set("test_token_delay_ms", ms);
  config.set("speculation", "off");
#endif
}

}  // namespace

json::Object engine_config(const Context& context) {
  const config::Settings& s = context.settings;
  const platform::CpuTopology cpus = platform::CpuTopology::detect();
  std::int64_t threads = s.integer(Setting::engine_threads);
  std::uint64_t memory = s.size_bytes(Setting::memory_limit);
  if (memory == 0) memory = platform::MemoryLimits::detect().limit_bytes() / 10 * 9;
  if (threads == 0) threads = cpus.usable_cores();
  const std::vector<int> places = compute_cpus(s.text(Setting::engine_affinity), cpus, threads);
  json::Object out{
      {"threads", threads},
      {"usable_cpus", places.empty()
                          ? cpus.usable_cpus()
                          : std::min(static_cast<int>(places.size()), cpus.usable_cpus())},
      {"cpus", json::Array(places.begin(), places.end())},
      {"load", s.text(Setting::engine_load)},
      {"memory_lock", s.text(Setting::memory_lock)},
      {"context", s.integer(Setting::limits_context_max)},
      {"kv_bytes_max", s.size_bytes(Setting::engine_kv_bytes_max)},
      {"kv_type", s.text(Setting::engine_kv_type)},
      {"isa", s.text(Setting::engine_force_isa)},
      {"batch_max", s.integer(Setting::engine_batch_max)},
      {"prefill_chunk", s.integer(Setting::engine_prefill_chunk)},
      {"speculation",
       draft_model(context).empty() ? s.text(Setting::engine_speculation) : std::string("draft")},
      {"queue_max", s.integer(Setting::limits_queue_max)},
      {"prefix_cache", s.flag(Setting::engine_prefix_cache)},
      {"prefix_bytes_max", s.size_bytes(Setting::engine_prefix_bytes_max)},
      {"memory_limit_bytes", memory}};
  add_test_hooks(context, out);
  return out;
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
