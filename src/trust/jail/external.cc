#include "holdfast/jail/external.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "holdfast/platform/unique_fd.h"
#include "layers.h"

namespace holdfast::jail {
namespace {

// Landlock's rights, as in landlock.cc: written down here because headers may be older.
constexpr std::uint64_t kExecute = 1u << 0;
constexpr std::uint64_t kWriteFile = 1u << 1;
constexpr std::uint64_t kReadFile = 1u << 2;
constexpr std::uint64_t kReadDirectory = 1u << 3;
constexpr std::uint64_t kTruncate = 1u << 14;
constexpr std::uint64_t kOfFiles = kExecute | kWriteFile | kReadFile | kTruncate;
constexpr unsigned kCreateRulesetVersion = 1;
constexpr unsigned kRulePathBeneath = 1;
constexpr rlim_t kDescriptorsMax = 1024;

struct PathBeneath {
  std::uint64_t allowed;
  std::int32_t parent_fd;
} __attribute__((packed));

// What any program needs to start, and what it may ask of the machine.
constexpr const char* kSystemRead[] = {
    "/usr",           "/lib",         "/lib64",     "/bin",  "/etc/ld.so.cache",
    "/etc/localtime", "/etc/ssl",     "/etc/hosts", "/proc", "/sys/devices/system",
    "/sys/fs/cgroup", "/dev/urandom", "/dev/zero"};

std::uint64_t rights_of(int abi) {
  const int bits = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;
  return (std::uint64_t{1} << bits) - 1;
}

// False where the path is not there or cannot be ruled.
bool allow(int ruleset, const std::string& path, std::uint64_t rights) {
  const platform::UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat info {};
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0) return false;
  if (!S_ISDIR(info.st_mode)) rights &= kOfFiles;
  const PathBeneath rule{rights, fd.get()};
  return ::syscall(SYS_landlock_add_rule, ruleset, kRulePathBeneath, &rule, 0u) == 0;
}

void add_rules(int ruleset, int abi, const ExternalProfile& profile, ExternalReport& report) {
  const std::uint64_t all = rights_of(abi);
  const std::uint64_t read = kExecute | kReadFile | kReadDirectory;
  for (const char* path : kSystemRead) allow(ruleset, path, read);
  allow(ruleset, "/dev/null", (kReadFile | kWriteFile | kTruncate) & all);
  for (const std::string& path : profile.read) {
    if (!allow(ruleset, path, read)) report.missing.push_back(path);
  }
  for (const std::string& path : profile.write) {
    if (!allow(ruleset, path, all)) report.missing.push_back(path);
  }
}

}  // namespace

Result<ExternalReport> confine_calling_thread(const ExternalProfile& profile) {
  ExternalReport report;
  if (const Missing missing = forbid_new_privileges())
    return unsupported("new privileges cannot be forbidden", *missing);
  report.no_new_privileges = true;
  const auto abi =
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, nullptr, 0u, kCreateRulesetVersion));
  if (abi < 1) return report;
  const std::uint64_t handled = rights_of(abi);
  const platform::UniqueFd ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0u)));
  if (!ruleset.valid()) return report;
  add_rules(ruleset.get(), abi, profile, report);
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0u) == 0) report.landlock_abi = abi;
  return report;
}

Status limit_process(pid_t pid, const ExternalProfile& profile) {
  const auto set = [pid](__rlimit_resource resource, rlim_t value) {
    const rlimit limit{value, value};
    return ::prlimit(pid, resource, &limit, nullptr) == 0;
  };
  if (!set(RLIMIT_CORE, 0) || !set(RLIMIT_NOFILE, kDescriptorsMax))
    return os_error(errno, "limit the child");
  if (profile.address_space_bytes > 0 && !set(RLIMIT_AS, profile.address_space_bytes))
    return os_error(errno, "limit the child");
  return ok_status();
}

}  // namespace holdfast::jail
