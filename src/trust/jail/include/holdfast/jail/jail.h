// The sandbox of the engine and of the importer: a process that parses foreign bytes first gives up
// everything else.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::jail {

enum class Layer : std::uint8_t {
#define HF_LAYER(name, text) k_##name,
#include "holdfast/jail/layers.def"
#undef HF_LAYER
};
std::string_view layer_name(Layer layer);         // "network_namespace"
std::string_view layer_description(Layer layer);  // what it takes away
std::optional<Layer> find_layer(std::string_view name);

enum class ProfileKind : std::uint8_t {
  kEngine,     // reads its listed files, talks over its control socket, computes
  kImporter,   // also writes, truncates and syncs its listed output
  kKeyHolder,  // as an engine, and takes connections from its listed listener
  kFetcher,    // as the importer, and connects over TCP to one port; it keeps the network
};

struct Profile {
  ProfileKind kind = ProfileKind::kEngine;
  // Besides standard input, output and error. Everything else is closed.
  std::vector<int> keep_fds;
  // RLIMIT_AS: the memory plan and what code and stacks take. Not applied in sanitizer builds,
  // which reserve terabytes.
  std::optional<std::uint64_t> address_space_bytes;
  // RLIMIT_NPROC where the process has a user namespace of its own; elsewhere the number would
  // count the whole user.
  std::uint32_t threads_max = 512;
  std::optional<std::chrono::seconds> cpu_time;  // RLIMIT_CPU
  // RLIMIT_FSIZE, of every regular file that is written, a log included; writing more is an error,
  // not a signal.
  std::optional<std::uint64_t> file_bytes_max;
  // Of a fetcher: the port that it may connect to.
  std::uint16_t connect_port = 0;
#ifdef HOLDFAST_TEST_HOOKS
  // Layers that are not applied, as on a system without them: namespaces (all or none), landlock,
  // write_xor_execute.
  std::vector<Layer> left_out;
#endif
};

struct LayerState {
  Layer layer = Layer::k_descriptors;
  bool applied = false;
  std::string reason;  // why it is missing, or a remark such as the Landlock version
  bool operator==(const LayerState&) const = default;
};

struct JailReport {
  std::vector<LayerState> layers;  // each layer once, in order
  bool complete() const;
  // "network_namespace: Operation not permitted; ..." or empty.
  std::string describe_missing() const;
};

// Gives up, for this process and for good, everything that the profile does not need: no file can
// be opened, nothing connected, nothing executed, no process started; a forbidden call ends the
// process (SIGSYS) or, where libraries probe in good faith (open, stat, ioctl), fails. Threads may
// be started afterwards. Call it in a process with one thread, before any foreign byte is read;
// what /proc and /sys tell of the machine has to be read earlier.
//
// A layer that the kernel or the container does not offer is missing in the report and the rest
// still applies. The descriptors, no_new_privileges and seccomp must succeed: kUnsupported
// otherwise, and the process must exit.
Result<JailReport> enter_jail(const Profile& profile);

// What enter_jail would report here, found by a child that tries. Only while the process has one
// thread.
Result<JailReport> probe_jail(const Profile& profile);

}  // namespace holdfast::jail
