// The single steps of enter_jail. Each returns nothing where its layer holds, else why it does not.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/jail/jail.h"
#include "holdfast/jail/server.h"

namespace holdfast::jail {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitizerBuild = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitizerBuild = true;
#else
inline constexpr bool kSanitizerBuild = false;
#endif
#else
inline constexpr bool kSanitizerBuild = false;
#endif

using Missing = std::optional<std::string>;

// A test asked for a system without the layer. Never in a release.
template <typename AnyProfile>
bool is_left_out([[maybe_unused]] const AnyProfile& profile, [[maybe_unused]] Layer layer) {
#ifdef HOLDFAST_TEST_HOOKS
  for (const Layer left_out : profile.left_out) {
    if (left_out == layer) return true;
  }
#endif
  return false;
}
inline const Missing kLeftOut = "left out for a test";

// The text of errno after a failed call: "unshare: Operation not permitted".
std::string errno_reason(const char* call);

Missing close_descriptors(const Profile& profile);

struct NamespaceResult {
  Missing user, network, ipc, mount;
};
NamespaceResult enter_namespaces(bool keep_network = false);
Missing drop_privileges();

struct LandlockResult {
  Missing missing;
  int abi = 0;
};
// The port is the only one that can be connected to; 0: none.
LandlockResult restrict_with_landlock(std::uint16_t connect_port = 0);
// TCP connections to these ports only and listeners on that one (0: any free one), abstract unix
// sockets and signals within the process and its children; nothing else.
LandlockResult restrict_connections(const std::vector<std::uint16_t>& tcp_ports,
                                    std::uint16_t listen_port);

Missing forbid_new_privileges();
enum class Inherited : bool { kNo, kYes };  // by children
Missing forbid_write_and_execute(Inherited inherited = Inherited::kYes);
Missing forbid_cores();
Missing set_resource_limits(const Profile& profile, bool own_user_namespace);
Missing make_undumpable();
Missing load_seccomp_filter(ProfileKind kind);
Missing load_server_filter(const ServerProfile& profile);

// What `enter` reports in a child of this process, which then ends.
Result<JailReport> report_of_child(const std::function<Result<JailReport>(int report_fd)>& enter);

}  // namespace holdfast::jail
