// Attempts to reach the network, for proof that a process cannot: each is made inside the process's
// own sandbox, and once outside, where it must work, or the proof would prove nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/platform/unique_fd.h"

namespace holdfast::jail {

// The attempts in their order: "tcp4", "udp4", "dns", "netlink", ... Names are stable.
struct EgressAttempt {
  std::string_view name;
  std::string_view text;  // what is tried
  bool needs_datagram;    // uses a datagram socket from before the sandbox was closed
};
std::span<const EgressAttempt> egress_attempts();

// Where attempts go: sockets of this process on loopback, so that proving sends no packet to
// another machine. Where one cannot be made (no IPv6), its attempts are answered by the kernel.
// Thread-compatible.
class EgressTargets {
 public:
  // kIo or kExhausted where not even IPv4 on loopback can be listened on.
  static Result<EgressTargets> open();

  // For a program that is told by its arguments; parse() reads it again.
  std::string describe() const;
  struct Addresses {
    std::uint16_t tcp4 = 0, tcp6 = 0, udp4 = 0, udp6 = 0;
    std::string abstract_name;
    bool operator==(const Addresses&) const = default;
  };
  static Result<Addresses> parse(std::string_view text);
  const Addresses& addresses() const { return addresses_; }

  // Sockets that an attempt finds already made, as after a mistake in closing descriptors: an
  // unconnected TCP socket, a connected one, a datagram socket. Fresh for each attempt.
  struct Given {
    platform::UniqueFd tcp, connected, datagram;
  };
  Result<Given> make_given() const;

 private:
  Addresses addresses_;
  std::vector<platform::UniqueFd> sockets_;
};

struct GivenFds {
  int tcp = -1, connected = -1, datagram = -1;
};

// Makes the attempt of that index from this process: 0 where it reached its target, else the error
// of the call that failed first.
int attempt_egress(std::size_t index, const EgressTargets::Addresses& targets, GivenFds given);

struct EgressOutcome {
  enum class Kind : std::uint8_t {
    kReached,    // the target, or a network that answered
    kRefused,    // by an error
    kKilled,     // by the signal
    kUnchecked,  // the sandbox was not entered, or the process did not answer
  };
  Kind kind = Kind::kUnchecked;
  int number = 0;  // errno or signal
  bool stopped() const { return kind == Kind::kRefused || kind == Kind::kKilled; }
  bool operator==(const EgressOutcome&) const = default;
};
// "EACCES (Permission denied)", "killed by seccomp (SIGSYS)", "reached".
std::string describe(const EgressOutcome& outcome);
// "EACCES", "SIGSYS" or "".
std::string symbol(const EgressOutcome& outcome);

// One attempt in a forked child that first calls `enter` with the descriptors that have to stay
// open; false from it: kUnchecked. Only while this process has one thread.
EgressOutcome attempt_in_fork(std::size_t index, const EgressTargets& targets,
                              const std::function<bool(std::vector<int> keep_fds)>& enter);

// One attempt by a program that enters its own sandbox: `program mode... INDEX TARGETS`, which
// calls answer_egress_probe().
EgressOutcome attempt_in_program(std::size_t index, const EgressTargets& targets,
                                 const std::string& program, const std::vector<std::string>& mode);
// The program's side: enters by `enter`, makes the attempt and tells it over the control socket.
// Returns the exit status.
int answer_egress_probe(std::string_view index, std::string_view targets,
                        const std::function<bool(std::vector<int> keep_fds)>& enter);

}  // namespace holdfast::jail
