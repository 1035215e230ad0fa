#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "layers.h"

namespace holdfast::jail {
namespace {

constexpr unsigned kNobody = 65534;
// Linux 6.3; the number is not in every libc's headers.
constexpr int kPrSetMdwe = 65;
constexpr unsigned long kMdweRefuseExecGain = 1;
constexpr unsigned long kMdweNoInherit = 2;  // Linux 6.6
// Control socket, pack or input, output, standard streams, and a few for poll and event
// descriptors.
constexpr rlim_t kDescriptorsMax = 32;
// Besides a connection for each part of a file.
constexpr rlim_t kDescriptorsOfFetcherMax = 128;

Missing leave_root_user() {
  if (::geteuid() != 0 && ::getuid() != 0) return std::nullopt;
  if (::setgroups(0, nullptr) != 0 && errno != EPERM) return errno_reason("setgroups");
  if (::setresgid(kNobody, kNobody, kNobody) != 0) return errno_reason("setresgid");
  if (::setresuid(kNobody, kNobody, kNobody) != 0) return errno_reason("setresuid");
  return std::nullopt;
}

void set_limit(__rlimit_resource resource, rlim_t value, Missing& missing, const char* name) {
  rlimit now{};
  if (::getrlimit(resource, &now) == 0 && now.rlim_max < value) value = now.rlim_max;
  const rlimit limit{value, value};
  if (::setrlimit(resource, &limit) != 0) missing = errno_reason(name);
}

// Since 5.14 RLIMIT_NPROC counts inside the user namespace; before, it counts all processes of the
// user.
bool counts_processes_per_namespace() {
  utsname name{};
  int major = 0;
  int minor = 0;
  if (::uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &major, &minor) != 2) return false;
  return major > 5 || (major == 5 && minor >= 14);
}

}  // namespace

Missing drop_privileges() {
  // Bounding set and ambient set first: changing them takes a capability.
  for (int cap = 0; cap < 64; ++cap) {
    if (::prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 1) continue;
    ::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
  }
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  const Missing user = leave_root_user();
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[2] = {};
  if (::syscall(SYS_capset, &header, none) != 0) return errno_reason("capset");
  return user;
}

Missing forbid_new_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno_reason("PR_SET_NO_NEW_PRIVS");
  return std::nullopt;
}

Missing forbid_write_and_execute(Inherited inherited) {
  const unsigned long more = inherited == Inherited::kYes ? 0 : kMdweNoInherit;
  if (::prctl(kPrSetMdwe, kMdweRefuseExecGain | more, 0, 0, 0) != 0)
    return errno_reason("PR_SET_MDWE");
  return std::nullopt;
}

Missing forbid_cores() {
  Missing missing;
  set_limit(RLIMIT_CORE, 0, missing, "RLIMIT_CORE");
  return missing;
}

Missing set_resource_limits(const Profile& profile, bool own_user_namespace) {
  // A write beyond RLIMIT_FSIZE is then an error value like a full disk.
  ::signal(SIGXFSZ, SIG_IGN);
  Missing missing;
  set_limit(RLIMIT_CORE, 0, missing, "RLIMIT_CORE");
  set_limit(RLIMIT_NOFILE,
            profile.kind == ProfileKind::kFetcher ? kDescriptorsOfFetcherMax : kDescriptorsMax,
            missing, "RLIMIT_NOFILE");
  set_limit(RLIMIT_MSGQUEUE, 0, missing, "RLIMIT_MSGQUEUE");
  if (profile.file_bytes_max) {
    set_limit(RLIMIT_FSIZE, *profile.file_bytes_max, missing, "RLIMIT_FSIZE");
  }
  if (profile.cpu_time) {
    set_limit(RLIMIT_CPU, static_cast<rlim_t>(profile.cpu_time->count()), missing, "RLIMIT_CPU");
  }
  if (own_user_namespace && counts_processes_per_namespace()) {
    set_limit(RLIMIT_NPROC, profile.threads_max, missing, "RLIMIT_NPROC");
  }
  if (profile.address_space_bytes && !kSanitizerBuild) {
    set_limit(RLIMIT_AS, *profile.address_space_bytes, missing, "RLIMIT_AS");
  }
  return missing;
}

Missing make_undumpable() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return errno_reason("PR_SET_DUMPABLE");
  return std::nullopt;
}

}  // namespace holdfast::jail
