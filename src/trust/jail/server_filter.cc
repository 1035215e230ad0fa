// System calls of `holdfast serve`. A list of what is refused, not of what is allowed: the filter
// is inherited, and children need mount, unshare and the like until they close their own jail,
// which is a list of what is allowed.
#include <sys/socket.h>

#include "seccomp_rules.h"

namespace holdfast::jail {
namespace {

// Into other processes, around the filter (io_uring), into the kernel, into the keys of the user.
// Nothing in the server or before a child's own jail asks for any of these.
constexpr int kNever[] = {SCMP_SYS(ptrace),
                          SCMP_SYS(process_vm_readv),
                          SCMP_SYS(process_vm_writev),
                          SCMP_SYS(process_madvise),
                          SCMP_SYS(pidfd_getfd),
                          SCMP_SYS(kcmp),
                          SCMP_SYS(io_uring_setup),
                          SCMP_SYS(io_uring_enter),
                          SCMP_SYS(io_uring_register),
                          SCMP_SYS(userfaultfd),
                          SCMP_SYS(bpf),
                          SCMP_SYS(perf_event_open),
                          SCMP_SYS(keyctl),
                          SCMP_SYS(add_key),
                          SCMP_SYS(request_key),
                          SCMP_SYS(init_module),
                          SCMP_SYS(finit_module),
                          SCMP_SYS(delete_module),
                          SCMP_SYS(kexec_load),
                          SCMP_SYS(kexec_file_load),
                          SCMP_SYS(open_by_handle_at),
                          SCMP_SYS(swapon),
                          SCMP_SYS(swapoff),
                          SCMP_SYS(reboot),
                          SCMP_SYS(acct),
                          SCMP_SYS(settimeofday),
                          SCMP_SYS(clock_settime),
                          SCMP_SYS(clock_adjtime),
                          SCMP_SYS(adjtimex),
                          SCMP_SYS(personality)};

constexpr scmp_datum_t kTypeMask = 0xf;  // without SOCK_CLOEXEC and SOCK_NONBLOCK
constexpr int kFamilies = 46;            // AF_MAX of Linux 6.18

// A connection that starts with data needs no connect().
void refuse_fast_open(Rules& rules) {
  const auto fast = [](unsigned flags) { return bits(flags, MSG_FASTOPEN, MSG_FASTOPEN); };
  rules.add(SCMP_ACT_ERRNO(EACCES), SCMP_SYS(sendto), fast(3));
  rules.add(SCMP_ACT_ERRNO(EACCES), SCMP_SYS(sendmsg), fast(2));
  rules.add(SCMP_ACT_ERRNO(EACCES), SCMP_SYS(sendmmsg), fast(3));
}

void refuse_families(Rules& rules, bool internet) {
  for (int family = 0; family < kFamilies; ++family) {
    const bool allowed =
        family == AF_UNIX || (internet && (family == AF_INET || family == AF_INET6));
    if (allowed) continue;
    rules.add(SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket),
              argument(0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(family)));
  }
  rules.add(SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), argument(0, SCMP_CMP_GE, kFamilies));
}

// TCP, and UDP where names have to be resolved.
void refuse_types(Rules& rules, bool datagrams) {
  for (scmp_datum_t type = 0; type <= kTypeMask; ++type) {
    if (type == SOCK_STREAM || (datagrams && type == SOCK_DGRAM)) continue;
    for (const scmp_datum_t family : {AF_INET, AF_INET6}) {
      rules.add(SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), argument(0, SCMP_CMP_EQ, family),
                bits(1, kTypeMask, type));
    }
  }
}

void refuse_ways_out(Rules& rules, const ServerProfile& profile) {
  refuse_families(rules, profile.uses_tcp());
  refuse_fast_open(rules);
  if (!profile.unix_listeners) {
    rules.add(SCMP_ACT_ERRNO(EACCES), SCMP_SYS(bind));
    rules.add(SCMP_ACT_ERRNO(EACCES), SCMP_SYS(listen));
  }
  if (profile.uses_tcp()) {
    refuse_types(rules, profile.resolves_names);
    return;
  }
  if (!profile.unix_sockets) rules.add(SCMP_ACT_ERRNO(EACCES), SCMP_SYS(connect));
}

}  // namespace

Missing load_server_filter(const ServerProfile& profile) {
  const Filter filter(seccomp_init(SCMP_ACT_ALLOW), &seccomp_release);
  if (!filter) return "seccomp_init failed";
  Rules rules(filter.get());
  rules.add_all(SCMP_ACT_ERRNO(EPERM), kNever);
  // Programs of others may look at network devices and need datagrams for their own purposes; what
  // they may reach is the matter of their own jail (external.h).
  if (!profile.runs_programs) refuse_ways_out(rules, profile);
  return load_filter(filter, rules);
}

}  // namespace holdfast::jail
