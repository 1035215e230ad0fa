// The sandbox of the server, from inside. Each refusal has its twin outside.
#include "holdfast/jail/server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "forked.h"
#include "holdfast/jail/jail.h"

namespace holdfast::jail {
namespace {

constexpr int kNotConfined = 99;

// What the layer's call is refused with, 0 where it works.
int error_of(long result) { return result < 0 ? errno : 0; }

class Listener {
 public:
  Listener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address_;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&address_), length), 0);
    EXPECT_EQ(::listen(fd_, 8), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address_), &length), 0);
  }
  ~Listener() { ::close(fd_); }
  std::uint16_t port() const { return ntohs(address_.sin_port); }
  // A connection from this process.
  int connect_new() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? errno
                  : error_of(::connect(fd, reinterpret_cast<const sockaddr*>(&address_),
                                       sizeof address_));
  }
  int fd() const { return fd_; }

 private:
  int fd_;
  sockaddr_in address_{};
};

Ending confined(const ServerProfile& profile, const std::function<int()>& body) {
  return run_forked([&] {
    JailReport report = begin_server_jail(profile);
    close_server_jail(profile, report);
    for (const LayerState& layer : report.layers) {
      if (!layer.applied && layer.layer == Layer::k_seccomp) return kNotConfined;
    }
    return body();
  });
}

TEST(ServerJail, NothingNamedMeansNothingConnected) {
  const Listener listener;
  ASSERT_EQ(listener.connect_new(), 0);
  EXPECT_EQ(confined({}, [&] { return listener.connect_new(); }).value, EACCES);
  const auto make = [](int family, int type) {
    return [family, type] { return error_of(::socket(family, type, 0)); };
  };
  for (const int family : {AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK}) {
    EXPECT_EQ(confined({}, make(family, SOCK_DGRAM)).value, EACCES) << family;
  }
  EXPECT_EQ(confined({}, make(AF_UNIX, SOCK_STREAM)).value, 0);
}

// Whatever thread asks, also one that was there before.
TEST(ServerJail, HoldsForThreadsThatRunAlready) {
  const Listener listener;
  const Ending end = run_forked([&] {
    JailReport report = begin_server_jail({});
    std::atomic<bool> closed = false;
    int result = -1;
    std::thread other([&] {
      while (!closed) std::this_thread::yield();
      result = listener.connect_new();
    });
    close_server_jail({}, report);
    closed = true;
    other.join();
    return result;
  });
  EXPECT_EQ(end.value, EACCES);
}

TEST(ServerJail, AConnectionThatWasAcceptedCannotGoElsewhere) {
  const Listener listener;
  const auto reconnect = [&] {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(listener.port());
    if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return 98;
    const sockaddr_in elsewhere = to;
    to.sin_family = AF_UNSPEC;
    const auto again = [=] {
      if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return errno;
      return error_of(
          ::connect(fd, reinterpret_cast<const sockaddr*>(&elsewhere), sizeof elsewhere));
    };
    return again();
  };
  ASSERT_EQ(run_forked(reconnect).value, 0);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in none{};
  none.sin_family = AF_UNSPEC;
  EXPECT_EQ(confined({},
                     [&] {
                       return error_of(
                           ::connect(fd, reinterpret_cast<const sockaddr*>(&none), sizeof none));
                     })
                .value,
            EACCES);
  ::close(fd);
}

TEST(ServerJail, ItStillAcceptsAndStartsPrograms) {
  const Listener listener;
  const Ending accepts = run_forked([&] {
    // The client is another process: this one cannot connect any more.
    int go[2];
    if (::pipe(go) != 0) return 97;
    const pid_t client = ::fork();
    if (client == 0) {
      char byte = 0;
      if (::read(go[0], &byte, 1) != 1) ::_exit(1);
      ::_exit(listener.connect_new());
    }
    JailReport report = begin_server_jail({});
    close_server_jail({}, report);
    if (::write(go[1], "x", 1) != 1) return 96;
    return error_of(::accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC));
  });
  EXPECT_EQ(accepts.value, 0);
  const Ending starts = confined({}, [] {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::execl("/bin/true", "true", static_cast<char*>(nullptr));
      ::_exit(1);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 95;
  });
  EXPECT_EQ(starts.value, 0);
}

// Children have to close a jail of their own, whole.
TEST(ServerJail, ChildrenLoseNoLayerByIt) {
  const auto before = probe_jail(Profile{});
  ASSERT_TRUE(before.ok());
  const Ending end = confined({}, [&] {
    ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);  // as executing a program does
    const auto inside = run_forked([&] {
      const auto report = enter_jail(Profile{});
      return report.ok() && report->describe_missing() == before->describe_missing() ? 0 : 1;
    });
    return inside.killed ? 94 : inside.value;
  });
  EXPECT_EQ(end.value, 0);
}

TEST(ServerJail, NamedPortsAndNoOthers) {
  const Listener named;
  const Listener other;
  ServerProfile profile;
  profile.tcp_ports = {named.port()};
  EXPECT_EQ(confined(profile, [&] { return named.connect_new(); }).value, 0);
  const auto report = probe_server_jail(profile);
  ASSERT_TRUE(report.ok());
  const bool landlock = report->layers[1].applied;
  EXPECT_EQ(report->layers[1].layer, Layer::k_landlock);
  EXPECT_EQ(confined(profile, [&] { return other.connect_new(); }).value, landlock ? EACCES : 0);
  // Datagrams only where a name has to be resolved; nothing raw.
  const auto datagram = [] { return error_of(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)); };
  EXPECT_EQ(confined(profile, datagram).value, EACCES);
  profile.resolves_names = true;
  EXPECT_EQ(confined(profile, datagram).value, 0);
  EXPECT_EQ(
      confined(profile, [] { return error_of(::socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)); }).value,
      EACCES);
}

TEST(ServerJail, UnixSocketsWhereOneIsNamed) {
  const auto connect_unix = [] {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::snprintf(to.sun_path, sizeof to.sun_path, "/no/such/socket");
    return error_of(::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to));
  };
  ServerProfile profile;
  EXPECT_EQ(confined(profile, connect_unix).value, EACCES);
  profile.unix_sockets = true;
  EXPECT_EQ(confined(profile, connect_unix).value, ENOENT);
}

TEST(ServerJail, NeverCalls) {
  const std::pair<const char*, std::function<long()>> calls[] = {
      {"io_uring_setup", [] { return ::syscall(SYS_io_uring_setup, 4, nullptr); }},
      {"ptrace", [] { return ::syscall(SYS_ptrace, 0, 0, nullptr, nullptr); }},
      {"process_vm_readv",
       [] { return ::syscall(SYS_process_vm_readv, ::getpid(), nullptr, 0, nullptr, 0, 0); }},
      {"userfaultfd", [] { return ::syscall(SYS_userfaultfd, 0x80000); }},
      {"bpf", [] { return ::syscall(SYS_bpf, 5, nullptr, 0); }},
      {"perf_event_open", [] { return ::syscall(SYS_perf_event_open, nullptr, 0, -1, -1, 0); }},
      {"keyctl", [] { return ::syscall(SYS_keyctl, 0, -3, 0); }},
      {"pidfd_getfd", [] { return ::syscall(SYS_pidfd_getfd, -1, 0, 0); }},
      {"open_by_handle_at", [] { return ::syscall(SYS_open_by_handle_at, -1, nullptr, 0); }},
  };
  for (const auto& [name, call] : calls) {
    EXPECT_EQ(confined({}, [&, c = &call] { return error_of((*c)()); }).value, EPERM) << name;
  }
  EXPECT_NE(run_forked([] { return error_of(::syscall(SYS_pidfd_getfd, -1, 0, 0)); }).value, EPERM);
}

TEST(ServerJail, NoCoresNotDumpableNoCode) {
  const auto report = probe_server_jail({});
  ASSERT_TRUE(report.ok());
  const auto applied = [&](Layer wanted) {
    for (const LayerState& s : report->layers) {
      if (s.layer == wanted) return s.applied;
    }
    return false;
  };
  EXPECT_TRUE(applied(Layer::k_not_dumpable) && applied(Layer::k_resource_limits));
  EXPECT_EQ(confined({},
                     [&] {
                       rlimit limit{};
                       if (::getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_max != 0) return 1;
                       if (::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) return 2;
                       if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return 3;
                       if (!applied(Layer::k_write_xor_execute)) return 0;
                       void* p = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                       return ::mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0 ? 4 : 0;
                     })
                .value,
            0);
}

// An upstream that is a program gets what it needs, and the report says what that costs.
TEST(ServerJail, ProgramsOfOthersAreNamedInTheReport) {
  ServerProfile profile;
  profile.runs_programs = true;
  const auto report = probe_server_jail(profile);
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->complete());
  EXPECT_NE(report->describe_missing().find("landlock"), std::string::npos);
  const Listener listener;
  EXPECT_EQ(confined(profile, [&] { return listener.connect_new(); }).value, 0);
  EXPECT_EQ(
      confined(profile, [] { return error_of(::syscall(SYS_io_uring_setup, 4, nullptr)); }).value,
      EPERM);
}

// With unix sockets, bind and connect are there; no other port can be bound all the same, and an
// accepted connection cannot go elsewhere.
TEST(ServerJail, OneListenerAndUnixSockets) {
  const auto report = probe_server_jail({});
  ASSERT_TRUE(report.ok());
  if (!report->layers[1].applied) {  // what is then said
    EXPECT_NE(report->describe_missing().find("landlock"), std::string::npos);
    return;
  }
  const Listener listener;
  ServerProfile profile;
  profile.unix_sockets = true;
  profile.unix_listeners = true;
  profile.listen_port = listener.port();
  const int spare = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto bind_other = [&] {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return error_of(::bind(spare, reinterpret_cast<const sockaddr*>(&at), sizeof at));
  };
  EXPECT_EQ(run_forked(bind_other).value, 0);
  EXPECT_EQ(confined(profile, bind_other).value, EACCES);
  EXPECT_EQ(confined(profile, [&] { return listener.connect_new(); }).value, EACCES);
  const auto listen_unix = [] {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::snprintf(at.sun_path, sizeof at.sun_path, "/tmp/holdfast-jail-test-%d", ::getpid());
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) return errno;
    ::unlink(at.sun_path);
    return error_of(::listen(fd, 1));
  };
  EXPECT_EQ(confined(profile, listen_unix).value, 0);
  EXPECT_EQ(confined({}, listen_unix).value, EACCES);
  ::close(spare);
}

}  // namespace
}  // namespace holdfast::jail
