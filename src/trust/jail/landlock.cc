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
constexpr unsigned kCreateRulesetVersion = 1;

// Every access right of files that an ABI knows: 13 in the first, then refer, truncate, (4: none),
// ioctl_dev.
std::uint64_t file_rights(int abi) {
  const int bits = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;
  return (std::uint64_t{1} << bits) - 1;
}

}  // namespace

// A rule set that handles everything and allows nothing.
LandlockResult restrict_with_landlock() {
  LandlockResult r;
  r.abi =
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, nullptr, 0u, kCreateRulesetVersion));
  if (r.abi < 1) {
    r.missing = errno_reason("landlock_create_ruleset");
    r.abi = 0;
    return r;
  }
  RulesetAttributes attributes;
  attributes.handled_access_fs = file_rights(r.abi);
  if (r.abi >= 4) attributes.handled_access_net = 3;  // bind and connect of TCP
  if (r.abi >= 6) attributes.scoped = 3;              // abstract unix sockets, signals
  const std::size_t bytes = r.abi >= 6 ? 24 : r.abi >= 4 ? 16 : 8;
  const platform::UniqueFd ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, bytes, 0u)));
  if (!ruleset.valid()) {
    r.missing = errno_reason("landlock_create_ruleset");
  } else if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0u) != 0) {
    r.missing = errno_reason("landlock_restrict_self");
  }
  return r;
}

}  // namespace holdfast::jail
