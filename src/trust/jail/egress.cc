#include "holdfast/jail/egress.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "egress_targets.h"
#include "holdfast/jail/child.h"

namespace holdfast::jail {
namespace {

using platform::UniqueFd;
using Addresses = EgressTargets::Addresses;

// Addresses for documents (RFC 5737, RFC 3849): nobody has them, and a router would be asked.
constexpr const char* kElsewhere4 = "192.0.2.1";
constexpr const char* kElsewhere6 = "2001:db8::1";
constexpr std::uint16_t kDnsPort = 53;
// How long a target on this machine may take to be reached.
constexpr int kPatienceMs = 2000;
constexpr auto kProgramPatience = std::chrono::seconds(20);

int error_of(long result) { return result < 0 ? errno : 0; }

int connect_and_wait(int fd, const SocketAddress& to) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0) ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  if (::connect(fd, to.get(), to.length) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd waiting{fd, POLLOUT, 0};
  if (::poll(&waiting, 1, kPatienceMs) != 1) return ETIMEDOUT;
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

int connect_new(int type, const SocketAddress& to) {
  const UniqueFd fd(::socket(to.family(), type | SOCK_CLOEXEC, 0));
  return fd.valid() ? connect_and_wait(fd.get(), to) : errno;
}

int send_to(int fd, const SocketAddress& to, std::string_view bytes, int flags = 0) {
  return error_of(::sendto(fd, bytes.data(), bytes.size(), flags | MSG_NOSIGNAL | MSG_DONTWAIT,
                           to.get(), to.length));
}

int send_new(int type, int protocol, const SocketAddress& to, std::string_view bytes) {
  const UniqueFd fd(::socket(to.family(), type | SOCK_CLOEXEC, protocol));
  return fd.valid() ? send_to(fd.get(), to, bytes) : errno;
}

int tcp4(const Addresses& a, GivenFds) { return connect_new(SOCK_STREAM, loopback4(a.tcp4)); }
int tcp6(const Addresses& a, GivenFds) { return connect_new(SOCK_STREAM, loopback6(a.tcp6)); }
int udp4(const Addresses& a, GivenFds) { return send_new(SOCK_DGRAM, 0, loopback4(a.udp4), "x"); }
int udp6(const Addresses& a, GivenFds) { return send_new(SOCK_DGRAM, 0, loopback6(a.udp6), "x"); }

// A datagram socket that is connected asks the routes and sends nothing.
int route4(const Addresses&, GivenFds) {
  return connect_new(SOCK_DGRAM, address4(kElsewhere4, kDnsPort));
}
int route6(const Addresses&, GivenFds) {
  return connect_new(SOCK_DGRAM, address6(kElsewhere6, kDnsPort));
}

// A question for the address of "holdfast.invalid".
int dns(const Addresses& a, GivenFds) {
  constexpr char kQuery[] =
      "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x08holdfast\x07invalid\x00\x00\x01\x00\x01";
  return send_new(SOCK_DGRAM, 0, loopback4(a.udp4), {kQuery, sizeof kQuery - 1});
}

int ping(int type) {
  icmphdr echo{};
  echo.type = ICMP_ECHO;
  return send_new(type, IPPROTO_ICMP, loopback4(0),
                  {reinterpret_cast<const char*>(&echo), sizeof echo});
}
int icmp(const Addresses&, GivenFds) { return ping(SOCK_DGRAM); }
int raw(const Addresses&, GivenFds) { return ping(SOCK_RAW); }
int packet(const Addresses&, GivenFds) {
  return error_of(UniqueFd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)).get());
}
int unix_abstract(const Addresses& a, GivenFds) {
  return connect_new(SOCK_STREAM, abstract_unix(a.abstract_name));
}
int vsock(const Addresses&, GivenFds) { return connect_new(SOCK_STREAM, vsock_loopback()); }

int netlink(const Addresses&, GivenFds) {
  struct {
    nlmsghdr header;
    rtgenmsg message;
  } request{};
  request.header.nlmsg_len = NLMSG_LENGTH(sizeof request.message);
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  const UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd.valid()) return errno;
  return error_of(::send(fd.get(), &request, request.header.nlmsg_len, MSG_DONTWAIT));
}

int tcp4_given(const Addresses& a, GivenFds given) {
  return connect_and_wait(given.tcp, loopback4(a.tcp4));
}
// A connection that was accepted can be dissolved and made again to somewhere else.
int tcp4_reused(const Addresses& a, GivenFds given) {
  SocketAddress none = loopback4(0);
  none.any.sa.sa_family = AF_UNSPEC;
  if (::connect(given.connected, none.get(), none.length) != 0) return errno;
  return connect_and_wait(given.connected, loopback4(a.tcp4));
}
int tcp4_fast_open(const Addresses& a, GivenFds given) {
  const int error = send_to(given.tcp, loopback4(a.tcp4), "x", MSG_FASTOPEN);
  return error == EINPROGRESS ? 0 : error;
}
int udp4_given(const Addresses& a, GivenFds given) {
  return send_to(given.datagram, loopback4(a.udp4), "x");
}
int udp4_given_message(const Addresses& a, GivenFds given) {
  SocketAddress to = loopback4(a.udp4);
  char byte = 'x';
  iovec part{&byte, 1};
  msghdr message{};
  message.msg_name = &to.any.sa;
  message.msg_namelen = to.length;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  return error_of(::sendmsg(given.datagram, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}
// Calls through a ring are not seen by seccomp.
int io_uring(const Addresses&, GivenFds) {
  char parameters[120] = {};
  return error_of(UniqueFd(static_cast<int>(::syscall(SYS_io_uring_setup, 4, parameters))).get());
}

using Body = int (*)(const Addresses&, GivenFds);
struct Row {
  EgressAttempt attempt;
  Body body;
};
constexpr Row kRows[] = {
    {{"tcp4", "connect over TCP, IPv4", false}, tcp4},
    {{"tcp6", "connect over TCP, IPv6", false}, tcp6},
    {{"udp4", "send a datagram, IPv4", false}, udp4},
    {{"udp6", "send a datagram, IPv6", false}, udp6},
    {{"route4", "find a route to another machine, IPv4", false}, route4},
    {{"route6", "find a route to another machine, IPv6", false}, route6},
    {{"dns", "ask a name server", false}, dns},
    {{"icmp", "send an echo request", false}, icmp},
    {{"raw", "send over a raw socket", false}, raw},
    {{"packet", "open a packet socket", false}, packet},
    {{"unix_abstract", "connect to an abstract unix socket", false}, unix_abstract},
    {{"vsock", "connect to a virtual machine's socket", false}, vsock},
    {{"netlink", "ask the kernel for network devices", false}, netlink},
    {{"io_uring", "make a ring of system calls", false}, io_uring},
    {{"tcp4_given", "connect a TCP socket that was there before", false}, tcp4_given},
    {{"tcp4_reused", "connect an accepted connection anew", false}, tcp4_reused},
    {{"tcp4_fast_open", "send data with the connection's first packet", false}, tcp4_fast_open},
    {{"udp4_given", "send over a datagram socket that was there before", true}, udp4_given},
    {{"udp4_given_message", "the same as a message", true}, udp4_given_message},
};
constexpr auto kAttempts = [] {
  std::array<EgressAttempt, std::size(kRows)> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = kRows[i].attempt;
  return out;
}();

// What a network answers, in contrast to what a sandbox answers.
bool answered_by_network(int error) {
  return error == ECONNREFUSED || error == ETIMEDOUT || error == ECONNRESET ||
         error == EINPROGRESS || error == EAGAIN || error == EHOSTUNREACH;
}

// An attempt writes its error as one int, unless it was killed before.
EgressOutcome outcome_of(bool told, int error, int wait_status) {
  using Kind = EgressOutcome::Kind;
  if (told)
    return {error == 0 || answered_by_network(error) ? Kind::kReached : Kind::kRefused, error};
  if (WIFSIGNALED(wait_status)) return {Kind::kKilled, WTERMSIG(wait_status)};
  return {};
}

int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

[[noreturn]] void run_attempt(std::size_t index, const Addresses& targets, GivenFds given,
                              int report_fd, const std::function<bool(std::vector<int>)>& enter) {
  if (!enter({report_fd, given.tcp, given.connected, given.datagram})) ::_exit(1);
  const int error = attempt_egress(index, targets, given);
  ::_exit(::write(report_fd, &error, sizeof error) == sizeof error ? 0 : 1);
}

}  // namespace

std::span<const EgressAttempt> egress_attempts() { return kAttempts; }

int attempt_egress(std::size_t index, const Addresses& targets, GivenFds given) {
  return kRows[index].body(targets, given);
}

std::string symbol(const EgressOutcome& outcome) {
  const char* name = nullptr;
  if (outcome.kind == EgressOutcome::Kind::kKilled) {
    name = ::sigabbrev_np(outcome.number);
    return name == nullptr ? "" : "SIG" + std::string(name);
  }
  if (outcome.number != 0) name = ::strerrorname_np(outcome.number);
  return name == nullptr ? "" : name;
}

std::string describe(const EgressOutcome& outcome) {
  using Kind = EgressOutcome::Kind;
  const std::string name = symbol(outcome);
  switch (outcome.kind) {
    case Kind::kReached:
      return name.empty() ? "reached" : "reached a network (" + name + ")";
    case Kind::kRefused:
      return name + " (" + std::strerror(outcome.number) + ")";
    case Kind::kKilled:
      return outcome.number == SIGSYS ? "killed by seccomp (SIGSYS)" : "killed by " + name;
    case Kind::kUnchecked:
      break;
  }
  return "not checked: the sandbox was not entered";
}

EgressOutcome attempt_in_fork(std::size_t index, const EgressTargets& targets,
                              const std::function<bool(std::vector<int>)>& enter) {
  auto given = targets.make_given();
  int ends[2];
  if (!given.ok() || ::pipe2(ends, O_CLOEXEC) != 0) return {};
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return {};
  if (pid == 0) {
    run_attempt(index, targets.addresses(),
                {given->tcp.get(), given->connected.get(), given->datagram.get()}, write_end.get(),
                enter);
  }
  write_end.reset();
  int error = 0;
  const bool told = ::read(read_end.get(), &error, sizeof error) == sizeof error;
  return outcome_of(told, error, wait_for(pid));
}

EgressOutcome attempt_in_program(std::size_t index, const EgressTargets& targets,
                                 const std::string& program, const std::vector<std::string>& mode) {
  auto given = targets.make_given();
  if (!given.ok()) return {};
  ChildOptions options;
  options.program = program;
  options.arguments = mode;
  options.arguments.push_back(std::to_string(index));
  options.arguments.push_back(targets.describe());
  options.listed_fds = {given->tcp.get(), given->connected.get(), given->datagram.get()};
  auto child = start_child(options);
  if (!child.ok()) return {};
  const auto deadline = platform::Deadline::after(kProgramPatience);
  pollfd answer{child->control.get(), POLLIN, 0};
  int error = 0;
  const bool told =
      ::poll(&answer, 1, static_cast<int>(std::chrono::milliseconds(kProgramPatience).count())) ==
          1 &&
      ::recv(child->control.get(), &error, sizeof error, 0) == sizeof error;
  const auto status = child->process.wait(deadline);
  if (!status.ok() || !*status) return {};
  const int wait_status = (*status)->signalled ? (*status)->code : (*status)->code << 8;
  return outcome_of(told, error, wait_status);
}

int answer_egress_probe(std::string_view index_text, std::string_view targets_text,
                        const std::function<bool(std::vector<int>)>& enter) {
  const auto index = parse_number(index_text);
  const auto targets = EgressTargets::parse(targets_text);
  if (!index || *index >= std::size(kRows) || !targets.ok()) return 2;
  const GivenFds given{kFirstListedFd, kFirstListedFd + 1, kFirstListedFd + 2};
  if (!enter({kControlFd, given.tcp, given.connected, given.datagram})) return 1;
  const int error = attempt_egress(static_cast<std::size_t>(*index), *targets, given);
  return ::send(kControlFd, &error, sizeof error, MSG_NOSIGNAL) == sizeof error ? 0 : 1;
}

}  // namespace holdfast::jail
