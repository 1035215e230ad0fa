// The single steps of enter_jail. Each returns nothing where its layer holds, else why it does not.
#pragma once

#include <optional>
#include <string>

#include "holdfast/jail/jail.h"

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

// The text of errno after a failed call: "unshare: Operation not permitted".
std::string errno_reason(const char* call);

Missing close_descriptors(const Profile& profile);

struct NamespaceResult {
  Missing user, network, ipc, mount;
};
NamespaceResult enter_namespaces();
Missing drop_privileges();

struct LandlockResult {
  Missing missing;
  int abi = 0;
};
LandlockResult restrict_with_landlock();

Missing forbid_new_privileges();
Missing forbid_write_and_execute();
Missing set_resource_limits(const Profile& profile, bool own_user_namespace);
Missing make_undumpable();
Missing load_seccomp_filter(ProfileKind kind);

}  // namespace holdfast::jail
