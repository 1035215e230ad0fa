#include "holdfast/jail/jail.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "holdfast/platform/process.h"
#include "layers.h"

namespace holdfast::jail {
namespace {

constexpr std::string_view kNames[] = {
#define HF_LAYER(name, text) #name,
#include "holdfast/jail/layers.def"
#undef HF_LAYER
};
constexpr std::string_view kDescriptions[] = {
#define HF_LAYER(name, text) text,
#include "holdfast/jail/layers.def"
#undef HF_LAYER
};

// Where the other end of probe_jail's pipe ends in the child.
constexpr std::size_t kProbeReportBytesMax = 64 * 1024;

Error cannot_jail(const LayerState& state) {
  return unsupported("the sandbox cannot be closed on this system",
                     std::string(layer_name(state.layer)) + ": " + state.reason);
}

// One line per layer: name, 0 or 1, reason.
std::string serialize(const JailReport& report) {
  std::string out;
  for (const LayerState& s : report.layers) {
    out.append(layer_name(s.layer)).append(s.applied ? " 1 " : " 0 ").append(s.reason) += '\n';
  }
  return out;
}

Result<JailReport> parse_report(std::string_view text) {
  JailReport report;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    const std::size_t space = line.find(' ');
    const auto layer = find_layer(line.substr(0, space));
    if (!layer || line.size() < space + 3) {
      return internal_error("the sandbox probe ended early", std::string(text.substr(0, 200)));
    }
    report.layers.push_back({*layer, line[space + 1] == '1', std::string(line.substr(space + 3))});
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return report;
}

using Enter = std::function<Result<JailReport>(int report_fd)>;

[[noreturn]] void run_probe(const Enter& enter, int report_fd) {
  const auto report = enter(report_fd);
  const std::string text = report.ok() ? serialize(*report) : report.error().to_string() + "\n";
  const bool written =
      ::write(report_fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::_exit(report.ok() && written ? 0 : 1);
}

std::string read_to_end(int fd) {
  std::string out;
  char chunk[4096];
  while (out.size() < kProbeReportBytesMax) {
    const ssize_t n = ::read(fd, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    out.append(chunk, static_cast<std::size_t>(n));
  }
  return out;
}

}  // namespace

std::string_view layer_name(Layer layer) { return kNames[static_cast<std::size_t>(layer)]; }
std::string_view layer_description(Layer layer) {
  return kDescriptions[static_cast<std::size_t>(layer)];
}

std::optional<Layer> find_layer(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (name == kNames[i]) return static_cast<Layer>(i);
  }
  return std::nullopt;
}

bool JailReport::complete() const {
  for (const LayerState& s : layers) {
    if (!s.applied) return false;
  }
  return true;
}

std::string JailReport::describe_missing() const {
  std::string out;
  for (const LayerState& s : layers) {
    if (s.applied) continue;
    if (!out.empty()) out += "; ";
    out.append(layer_name(s.layer)).append(": ").append(s.reason);
  }
  return out;
}

std::string errno_reason(const char* call) {
  const int error = errno;
  return std::string(call) + ": " + std::strerror(error);
}

Result<JailReport> enter_jail(const Profile& profile) {
  JailReport report;
  const auto note = [&](Layer layer, const Missing& missing, std::string remark = {}) {
    report.layers.push_back({layer, !missing, missing ? *missing : std::move(remark)});
    return !missing;
  };
  if (!note(Layer::k_descriptors, close_descriptors(profile)))
    return cannot_jail(report.layers.back());
  const NamespaceResult namespaces = is_left_out(profile, Layer::k_network_namespace)
                                         ? NamespaceResult{kLeftOut, kLeftOut, kLeftOut, kLeftOut}
                                         : enter_namespaces(profile.kind == ProfileKind::kFetcher);
  note(Layer::k_user_namespace, namespaces.user);
  note(Layer::k_network_namespace, namespaces.network);
  note(Layer::k_ipc_namespace, namespaces.ipc);
  note(Layer::k_mount_namespace, namespaces.mount);
  note(Layer::k_privileges, drop_privileges());
  // Landlock asks for it unless the process has CAP_SYS_ADMIN, which is gone by now.
  if (!note(Layer::k_no_new_privileges, forbid_new_privileges())) {
    return cannot_jail(report.layers.back());
  }
  const LandlockResult landlock = is_left_out(profile, Layer::k_landlock)
                                      ? LandlockResult{kLeftOut, 0}
                                      : restrict_with_landlock(profile.connect_port);
  note(Layer::k_landlock, landlock.missing, "ABI " + std::to_string(landlock.abi));
  note(Layer::k_write_xor_execute,
       is_left_out(profile, Layer::k_write_xor_execute) ? kLeftOut : forbid_write_and_execute());
  note(Layer::k_resource_limits, set_resource_limits(profile, !namespaces.user));
  note(Layer::k_not_dumpable, make_undumpable());
  if (!note(Layer::k_seccomp, load_seccomp_filter(profile.kind))) {
    return cannot_jail(report.layers.back());
  }
  return report;
}

Result<JailReport> report_of_child(const Enter& enter) {
  int ends[2];
  if (::pipe2(ends, 0) != 0) return os_error(errno, "pipe");
  const platform::UniqueFd read_end(ends[0]);
  platform::UniqueFd write_end(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return os_error(errno, "fork");
  if (pid == 0) run_probe(enter, write_end.get());
  write_end.reset();
  const std::string text = read_to_end(read_end.get());
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return parse_report(text);
  if (WIFSIGNALED(status)) {
    return internal_error("the sandbox probe was killed",
                          "signal " + std::to_string(WTERMSIG(status)));
  }
  return unsupported("the sandbox cannot be closed on this system", text);
}

Result<JailReport> probe_jail(const Profile& profile) {
  return report_of_child([&profile](int report_fd) {
    Profile own = profile;
    own.keep_fds = {report_fd};
    return enter_jail(own);
  });
}

}  // namespace holdfast::jail
