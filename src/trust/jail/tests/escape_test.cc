// Tries to get out of the jail, from inside. Each attempt has a twin outside, which must work (or
// at least be answered by the kernel): an attempt that never works proves nothing.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <cstring>
#include <vector>

#include "forked.h"
#include "holdfast/jail/jail.h"

namespace holdfast::jail {
namespace {

// Exit status of an attempt: it worked, or the call failed.
constexpr int kWorked = 0;
constexpr int kFailed = 1;
constexpr int kNoJail = 99;

int outcome(long result) { return result >= 0 ? kWorked : kFailed; }

// Made before the jail is entered and kept by it: an unconnected socket, a listening one and its
// address, a readable file.
struct Given {
  int unconnected = -1;
  int listener = -1;
  sockaddr_in address{};
  int file = -1;
  int spare_tcp = -1;
};

enum class Twin {
  kWorks,
  kAnswered
};  // outside: succeeds; or fails by errno where the machine forbids it

struct Attempt {
  const char* name;
  Twin twin;
  int (*body)(const Given&);
};

int open_passwd(const Given&) { return outcome(::open("/etc/passwd", O_RDONLY)); }
int open_raw(const Given&) {
  return outcome(::syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY));
}
int open_root_directory(const Given&) { return outcome(::open("/", O_RDONLY | O_DIRECTORY)); }
int openat2_passwd(const Given&) {
  const std::uint64_t how[3] = {};
  return outcome(::syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", how, sizeof how));
}
int create_file(const Given&) {
  const int fd = ::open("/tmp/holdfast_escape", O_CREAT | O_WRONLY, 0600);
  if (fd >= 0) ::unlink("/tmp/holdfast_escape");
  return outcome(fd);
}
int stat_passwd(const Given&) {
  struct stat st {};
  return outcome(::stat("/etc/passwd", &st));
}
int make_directory(const Given&) {
  const int made = ::mkdir("/tmp/holdfast_escape_dir", 0700);
  if (made == 0) ::rmdir("/tmp/holdfast_escape_dir");
  return outcome(made);
}
int socket_tcp(const Given&) { return outcome(::socket(AF_INET, SOCK_STREAM, 0)); }
int socket_udp(const Given&) { return outcome(::socket(AF_INET, SOCK_DGRAM, 0)); }
int socket_unix(const Given&) { return outcome(::socket(AF_UNIX, SOCK_STREAM, 0)); }
int socket_netlink(const Given&) { return outcome(::socket(AF_NETLINK, SOCK_RAW, 0)); }
int socket_pair(const Given&) {
  int ends[2];
  return outcome(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
}
int connect_given(const Given& g) {
  return outcome(
      ::connect(g.unconnected, reinterpret_cast<const sockaddr*>(&g.address), sizeof g.address));
}
int bind_given(const Given& g) {
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return outcome(::bind(g.spare_tcp, reinterpret_cast<const sockaddr*>(&any), sizeof any));
}
int listen_given(const Given& g) { return outcome(::listen(g.listener, 4)); }
int execute(const Given&) {
  char name[] = "true";
  char* const argv[] = {name, nullptr};
  ::execve("/bin/true", argv, nullptr);  // exits with 0 where it works
  return kFailed;
}
int execute_descriptor(const Given& g) {
  ::syscall(SYS_execveat, g.file, "", nullptr, nullptr, AT_EMPTY_PATH);
  return errno == EACCES || errno == ENOEXEC ? kWorked : kFailed;  // it reached the kernel's loader
}
int fork_process(const Given&) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  return outcome(pid);
}
int fork_raw(const Given&) {
  const long pid = ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) ::_exit(0);
  return outcome(pid);
}
int clone_with_namespace(const Given&) {
  const long pid =
      ::syscall(SYS_clone, SIGCHLD | CLONE_NEWUSER, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) ::_exit(0);
  return outcome(pid);
}
int trace_me(const Given&) { return outcome(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }
int read_other_memory(const Given&) {
  char byte = 0;
  iovec local{&byte, 1};
  iovec remote{&byte, 1};
  return outcome(::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0));
}
int signal_parent(const Given&) { return outcome(::kill(::getppid(), 0)); }
int signal_other_thread_group(const Given&) {
  return outcome(::syscall(SYS_tgkill, ::getppid(), ::getppid(), 0));
}
int map_executable(const Given&) {
  return ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) == MAP_FAILED
             ? kFailed
             : kWorked;
}
int make_executable(const Given&) {
  void* p = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? kFailed : outcome(::mprotect(p, 4096, PROT_READ | PROT_EXEC));
}
int unshare_user(const Given&) { return outcome(::unshare(CLONE_NEWUSER)); }
// Onto nothing: the twin outside may be root, and must not change the machine.
int mount_something(const Given&) {
  return outcome(::mount("x", "/no/such/directory", "tmpfs", 0, nullptr));
}
int change_root(const Given&) { return outcome(::chroot("/")); }
int become_dumpable(const Given&) { return outcome(::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }
int memory_file(const Given&) { return outcome(::memfd_create("x", 0)); }
int duplicate_descriptor(const Given& g) { return outcome(::dup(g.file)); }
int change_limit(const Given&) {
  rlimit limit{};
  ::getrlimit(RLIMIT_CORE, &limit);
  return outcome(::setrlimit(RLIMIT_CORE, &limit));
}
int type_into_terminal(const Given&) {
  int available = 0;
  int ends[2];
  if (::pipe(ends) != 0) return kFailed;
  return outcome(::ioctl(ends[0], FIONREAD, &available));
}
int io_uring(const Given&) {
  char parameters[120] = {};
  return outcome(::syscall(SYS_io_uring_setup, 4, parameters));
}
int user_fault(const Given&) { return outcome(::syscall(SYS_userfaultfd, 0)); }
int bpf_call(const Given&) { return outcome(::syscall(SYS_bpf, 5, nullptr, 0)); }
int performance_event(const Given&) {
  perf_event_attr attributes{};
  attributes.size = sizeof attributes;
  return outcome(::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}
int key_control(const Given&) { return outcome(::syscall(SYS_keyctl, 0, -3, 0)); }
int process_descriptor(const Given&) { return outcome(::syscall(SYS_pidfd_open, ::getpid(), 0)); }
int shared_memory(const Given&) {
  const long id = ::syscall(SYS_shmget, 0, 4096, 01600);
  if (id >= 0) ::syscall(SYS_shmctl, id, 0 /* IPC_RMID */, nullptr);
  return outcome(id);
}
int executable_personality(const Given&) { return outcome(::syscall(SYS_personality, 0xffffffff)); }
#if defined(__x86_64__)
// getpid by the x32 numbering. Kernels without x32 answer ENOSYS.
int x32_call(const Given&) { return outcome(::syscall(0x40000000 + SYS_getpid)); }
#endif

constexpr Attempt kAttempts[] = {
    {"open_passwd", Twin::kWorks, open_passwd},
    {"open_raw", Twin::kWorks, open_raw},
    {"open_root_directory", Twin::kWorks, open_root_directory},
    {"openat2_passwd", Twin::kWorks, openat2_passwd},
    {"create_file", Twin::kWorks, create_file},
    {"stat_passwd", Twin::kWorks, stat_passwd},
    {"make_directory", Twin::kWorks, make_directory},
    {"socket_tcp", Twin::kWorks, socket_tcp},
    {"socket_udp", Twin::kWorks, socket_udp},
    {"socket_unix", Twin::kWorks, socket_unix},
    {"socket_netlink", Twin::kWorks, socket_netlink},
    {"socket_pair", Twin::kWorks, socket_pair},
    {"connect_given", Twin::kWorks, connect_given},
    {"bind_given", Twin::kWorks, bind_given},
    {"listen_given", Twin::kWorks, listen_given},
    {"execute", Twin::kWorks, execute},
    {"execute_descriptor", Twin::kWorks, execute_descriptor},
    {"fork_process", Twin::kWorks, fork_process},
    {"fork_raw", Twin::kWorks, fork_raw},
    {"clone_with_namespace", Twin::kAnswered, clone_with_namespace},
    {"trace_me", Twin::kAnswered, trace_me},
    {"read_other_memory", Twin::kWorks, read_other_memory},
    {"signal_parent", Twin::kWorks, signal_parent},
    {"signal_other_thread_group", Twin::kWorks, signal_other_thread_group},
    {"map_executable", Twin::kWorks, map_executable},
    {"make_executable", Twin::kWorks, make_executable},
    {"unshare_user", Twin::kAnswered, unshare_user},
    {"mount_something", Twin::kAnswered, mount_something},
    {"change_root", Twin::kAnswered, change_root},
    {"become_dumpable", Twin::kWorks, become_dumpable},
    {"memory_file", Twin::kWorks, memory_file},
    {"duplicate_descriptor", Twin::kWorks, duplicate_descriptor},
    {"change_limit", Twin::kWorks, change_limit},
    {"type_into_terminal", Twin::kWorks, type_into_terminal},
    {"io_uring", Twin::kAnswered, io_uring},
    {"user_fault", Twin::kAnswered, user_fault},
    {"bpf_call", Twin::kAnswered, bpf_call},
    {"performance_event", Twin::kAnswered, performance_event},
    {"key_control", Twin::kAnswered, key_control},
    {"process_descriptor", Twin::kAnswered, process_descriptor},
    {"shared_memory", Twin::kWorks, shared_memory},
    {"executable_personality", Twin::kWorks, executable_personality},
#if defined(__x86_64__)
    {"x32_call", Twin::kAnswered, x32_call},
#endif
};

Given make_given() {
  Given g;
  g.file = ::open("/etc/passwd", O_RDONLY | O_CLOEXEC);
  g.unconnected = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g.spare_tcp = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g.listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g.address.sin_family = AF_INET;
  g.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof g.address;
  EXPECT_EQ(::bind(g.listener, reinterpret_cast<const sockaddr*>(&g.address), length), 0);
  EXPECT_EQ(::listen(g.listener, 4), 0);
  EXPECT_EQ(::getsockname(g.listener, reinterpret_cast<sockaddr*>(&g.address), &length), 0);
  return g;
}

class Escape : public testing::TestWithParam<std::tuple<Attempt, ProfileKind>> {};

TEST_P(Escape, WorksOutsideAndNotInside) {
  const auto& [attempt, kind] = GetParam();
  const Given given = make_given();
  const Ending outside = run_forked([&, a = &attempt] { return a->body(given); });
  ASSERT_FALSE(outside.killed) << "signal " << outside.value;
  if (attempt.twin == Twin::kWorks) {
    ASSERT_EQ(outside.value, kWorked) << "the attempt does not work outside either";
  }
  const Ending inside = run_forked([&, a = &attempt, k = kind] {
    Profile profile;
    profile.kind = k;
    profile.keep_fds = {given.file, given.unconnected, given.listener, given.spare_tcp};
    if (!enter_jail(profile).ok()) return kNoJail;
    return a->body(given);
  });
  ASSERT_NE(inside.value, kNoJail);
  if (inside.killed) {
    EXPECT_EQ(inside.value, SIGSYS);
  } else {
    EXPECT_EQ(inside.value, kFailed);
  }
}

INSTANTIATE_TEST_SUITE_P(Jail, Escape,
                         testing::Combine(testing::ValuesIn(kAttempts),
                                          testing::Values(ProfileKind::kEngine,
                                                          ProfileKind::kImporter)),
                         [](const auto& p) {
                           return std::string(std::get<0>(p.param).name) +
                                  (std::get<1>(p.param) == ProfileKind::kEngine ? "_engine"
                                                                                : "_importer");
                         });

}  // namespace
}  // namespace holdfast::jail
