#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "holdfast/platform/unique_fd.h"
#include "layers.h"

namespace holdfast::jail {
namespace {

// The kernel's interface, written down here because the headers of the build machine may be older
// than the kernel.
struct RulesetAttributes {
  std::uint64_t handled_access_fs = 0;
  std::uint64_t handled_access_net = 0;  // ABI 4
  std::uint64_t scoped = 0;              // ABI 6
};
struct NetPort {
  std::uint64_t allowed = 0;
  std::uint64_t port = 0;
};
constexpr unsigned kCreateRulesetVersion = 1;
constexpr unsigned kRuleNetPort = 2;
constexpr std::uint64_t kBindTcp = 1;
constexpr std::uint64_t kConnectTcp = 2;
constexpr std::uint64_t kScopeAll = 3;  // abstract unix sockets, signals

// Every access right of files that an ABI knows: 13 in the first, then refer, truncate, (4: none),
// ioctl_dev.
std::uint64_t file_rights(int abi) {
  const int bits = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;
  return (std::uint64_t{1} << bits) - 1;
}

int landlock_abi() {
  return static_cast<int>(
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0u, kCreateRulesetVersion));
}

platform::UniqueFd create_ruleset(const RulesetAttributes& attributes, int abi) {
  const std::size_t bytes = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
  return platform::UniqueFd(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, bytes, 0u)));
}

bool allow_port(int ruleset, std::uint16_t port, std::uint64_t access = kConnectTcp) {
  const NetPort rule{access, port};
  return ::syscall(SYS_landlock_add_rule, ruleset, kRuleNetPort, &rule, 0u) == 0;
}

}  // namespace

// A rule set that handles everything and allows nothing but the port.
LandlockResult restrict_with_landlock(std::uint16_t connect_port) {
  LandlockResult r;
  r.abi = landlock_abi();
  if (r.abi < 1) {
    r.missing = errno_reason("landlock_create_ruleset");
    r.abi = 0;
    return r;
  }
  RulesetAttributes attributes;
  attributes.handled_access_fs = file_rights(r.abi);
  if (r.abi >= 4) attributes.handled_access_net = 3;  // bind and connect of TCP
  if (r.abi >= 6) attributes.scoped = kScopeAll;
  const platform::UniqueFd ruleset = create_ruleset(attributes, r.abi);
  if (!ruleset.valid()) {
    r.missing = errno_reason("landlock_create_ruleset");
  } else if (connect_port != 0 && r.abi >= 4 && !allow_port(ruleset.get(), connect_port)) {
    r.missing = errno_reason("landlock_add_rule");
  } else if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0u) != 0) {
    r.missing = errno_reason("landlock_restrict_self");
  }
  return r;
}

// Files are not handled: a process whose files Landlock confines cannot mount, and children have to
// make their empty root before they close their own jail.
LandlockResult restrict_connections(const std::vector<std::uint16_t>& tcp_ports,
                                    std::uint16_t listen_port) {
  LandlockResult r;
  r.abi = landlock_abi();
  if (r.abi < 4) {
    r.missing = r.abi < 1 ? errno_reason("landlock_create_ruleset")
                          : "Landlock ABI " + std::to_string(r.abi) + " does not know networks";
    return r;
  }
  RulesetAttributes attributes;
  attributes.handled_access_net = kBindTcp | kConnectTcp;
  if (r.abi >= 6) attributes.scoped = kScopeAll;
  const platform::UniqueFd ruleset = create_ruleset(attributes, r.abi);
  if (!ruleset.valid()) {
    r.missing = errno_reason("landlock_create_ruleset");
    return r;
  }
  bool allowed = allow_port(ruleset.get(), listen_port, kBindTcp);
  for (const std::uint16_t port : tcp_ports) allowed = allowed && allow_port(ruleset.get(), port);
  if (!allowed) {
    r.missing = errno_reason("landlock_add_rule");
    return r;
  }
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0u) != 0)
    r.missing = errno_reason("landlock_restrict_self");
  return r;
}

}  // namespace holdfast::jail
