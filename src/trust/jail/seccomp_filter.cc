#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "seccomp_rules.h"

namespace holdfast::jail {
namespace {

// What pthread_create of glibc asks for; musl and others would ask for a subset.
constexpr unsigned long kThreadFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
                                       CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |
                                       CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;

// Only on descriptors that the process was given: none of these makes one from a name or an
// address, or takes one out of a message.
constexpr int kOnGivenDescriptors[] = {
    SCMP_SYS(read),      SCMP_SYS(readv),      SCMP_SYS(pread64),     SCMP_SYS(preadv),
    SCMP_SYS(write),     SCMP_SYS(writev),     SCMP_SYS(pwrite64),    SCMP_SYS(pwritev),
    SCMP_SYS(lseek),     SCMP_SYS(close),      SCMP_SYS(fstat),       SCMP_SYS(recvfrom),
    SCMP_SYS(shutdown),  SCMP_SYS(poll),       SCMP_SYS(ppoll),       SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(eventfd2)};
constexpr int kMemory[] = {SCMP_SYS(brk),   SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
                           SCMP_SYS(mlock), SCMP_SYS(mlock2), SCMP_SYS(munlock)};
constexpr int kThreads[] = {SCMP_SYS(futex),
                            SCMP_SYS(set_robust_list),
                            SCMP_SYS(rseq),
                            SCMP_SYS(membarrier),
                            SCMP_SYS(sched_yield),
                            SCMP_SYS(sched_getaffinity),
                            SCMP_SYS(sched_setaffinity),
                            SCMP_SYS(getcpu),
                            SCMP_SYS(gettid),
                            SCMP_SYS(getpid),
                            SCMP_SYS(exit),
                            SCMP_SYS(exit_group),
                            SCMP_SYS(rt_sigaction),
                            SCMP_SYS(rt_sigprocmask),
                            SCMP_SYS(rt_sigreturn),
                            SCMP_SYS(sigaltstack),
                            SCMP_SYS(restart_syscall)};
constexpr int kTimeAndFacts[] = {
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),  SCMP_SYS(getrandom),    SCMP_SYS(getrusage),       SCMP_SYS(sysinfo)};
constexpr int kImporterOnly[] = {SCMP_SYS(ftruncate), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
                                 SCMP_SYS(fallocate), SCMP_SYS(fadvise64)};

// Connections come from a listener that it was given, and descriptors with what they ask; memory
// for keys is a file of its own kind.
constexpr int kKeyHolderOnly[] = {SCMP_SYS(accept4), SCMP_SYS(memfd_secret), SCMP_SYS(ftruncate),
                                  SCMP_SYS(recvmsg)};

constexpr int kFetcherOnly[] = {SCMP_SYS(connect),    SCMP_SYS(getsockname), SCMP_SYS(getpeername),
                                SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),  SCMP_SYS(pipe2)};

// TCP to the internet and pairs within the process; a library that probes for more is refused.
void add_network_rules(Rules& rules) {
  rules.add_all(SCMP_ACT_ALLOW, kFetcherOnly);
  rules.add(SCMP_ACT_ALLOW, SCMP_SYS(fcntl), argument(1, SCMP_CMP_EQ, F_SETFD));
  rules.add(SCMP_ACT_ALLOW, SCMP_SYS(socketpair), argument(0, SCMP_CMP_EQ, AF_UNIX));
  constexpr scmp_datum_t kTypeMask = 0xf;  // without SOCK_CLOEXEC and SOCK_NONBLOCK
  for (const scmp_datum_t family : {AF_INET, AF_INET6}) {
    rules.add(SCMP_ACT_ALLOW, SCMP_SYS(socket), argument(0, SCMP_CMP_EQ, family),
              bits(1, kTypeMask, SOCK_STREAM));
    rules.add(SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), argument(0, SCMP_CMP_EQ, family),
              bits(1, kTypeMask, SOCK_DGRAM));
  }
}

// Libraries probe these in good faith (number of processors, time zone, whether output is a
// terminal) and go on without: they fail instead of ending the process.
constexpr int kFailQuietly[] = {SCMP_SYS(open),       SCMP_SYS(openat),     SCMP_SYS(access),
                                SCMP_SYS(faccessat),  SCMP_SYS(faccessat2), SCMP_SYS(stat),
                                SCMP_SYS(lstat),      SCMP_SYS(statx),      SCMP_SYS(readlink),
                                SCMP_SYS(readlinkat), SCMP_SYS(getcwd),     SCMP_SYS(uname)};

void add_conditional_rules(Rules& rules) {
  // No executable memory at all, which is stricter than "not writable and executable".
  rules.add(SCMP_ACT_ALLOW, SCMP_SYS(mmap), no_bits(2, PROT_EXEC));
  rules.add(SCMP_ACT_ALLOW, SCMP_SYS(mprotect), no_bits(2, PROT_EXEC));
  // Messages go where their socket is connected to: a datagram socket that was inherited by mistake
  // could be sent anywhere by address.
  rules.add(SCMP_ACT_ALLOW, SCMP_SYS(sendto), argument(4, SCMP_CMP_EQ, 0),
            no_bits(3, MSG_FASTOPEN));
  // Threads, not processes. The filter cannot look behind clone3's pointer: glibc falls back to
  // clone.
  rules.add(SCMP_ACT_ALLOW, SCMP_SYS(clone), argument(0, SCMP_CMP_EQ, kThreadFlags));
  rules.add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
  // abort() signals its own process.
  rules.add(SCMP_ACT_ALLOW, SCMP_SYS(tgkill),
            argument(0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid())));
  // fstat() of glibc; with a name it finds only the empty root.
  rules.add(SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), argument(3, SCMP_CMP_EQ, AT_EMPTY_PATH));
  rules.add(SCMP_ACT_ERRNO(EACCES), SCMP_SYS(newfstatat), argument(3, SCMP_CMP_NE, AT_EMPTY_PATH));
  // Reading own limits.
  rules.add(SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), argument(0, SCMP_CMP_EQ, 0),
            argument(2, SCMP_CMP_EQ, 0));
  rules.add(SCMP_ACT_ALLOW, SCMP_SYS(prctl), argument(0, SCMP_CMP_EQ, PR_SET_NAME));
  rules.add(SCMP_ACT_ALLOW, SCMP_SYS(fcntl), argument(1, SCMP_CMP_EQ, F_GETFL));
  rules.add(SCMP_ACT_ALLOW, SCMP_SYS(fcntl), argument(1, SCMP_CMP_EQ, F_SETFL));
  rules.add(SCMP_ACT_ALLOW, SCMP_SYS(fcntl), argument(1, SCMP_CMP_EQ, F_GETFD));
  rules.add(SCMP_ACT_ERRNO(ENOTTY), SCMP_SYS(ioctl));
}

std::string seccomp_reason(const char* call, int error) {
  return std::string(call) + ": " + std::strerror(-error);
}

}  // namespace

Missing load_filter(const Filter& filter, const Rules& rules) {
  if (rules.error() != 0) return seccomp_reason("seccomp_rule_add", rules.error());
  int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  if (error == 0) error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  if (error == 0) error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (error == 0) error = seccomp_load(filter.get());
  if (error != 0) return seccomp_reason("seccomp_load", error);
  return std::nullopt;
}

Missing load_seccomp_filter(ProfileKind kind) {
  const Filter filter(seccomp_init(SCMP_ACT_KILL_PROCESS), &seccomp_release);
  if (!filter) return "seccomp_init failed";
  Rules rules(filter.get());
  rules.add_all(SCMP_ACT_ALLOW, kOnGivenDescriptors);
  rules.add_all(SCMP_ACT_ALLOW, kMemory);
  rules.add_all(SCMP_ACT_ALLOW, kThreads);
  rules.add_all(SCMP_ACT_ALLOW, kTimeAndFacts);
  rules.add_all(SCMP_ACT_ERRNO(EACCES), kFailQuietly);
  if (kind == ProfileKind::kImporter || kind == ProfileKind::kFetcher)
    rules.add_all(SCMP_ACT_ALLOW, kImporterOnly);
  if (kind == ProfileKind::kFetcher) add_network_rules(rules);
  if (kind == ProfileKind::kKeyHolder) {
    rules.add_all(SCMP_ACT_ALLOW, kKeyHolderOnly);
  } else {
    // Our own code with secret memory falls back to locked pages.
    rules.add(SCMP_ACT_ERRNO(EACCES), SCMP_SYS(memfd_secret));
  }
  // The sanitizers' run-time library tests addresses by writing them to a pipe.
  if (kSanitizerBuild) rules.add(SCMP_ACT_ALLOW, SCMP_SYS(pipe2));
  add_conditional_rules(rules);
  return load_filter(filter, rules);
}

}  // namespace holdfast::jail
