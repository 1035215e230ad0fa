#include "holdfast/keyholder/run.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include "holdfast/jail/egress.h"
#include "holdfast/jail/jail.h"
#include "holdfast/keyholder/link.h"
#include "holdfast/keyholder/service.h"
#include "holdfast/platform/huge_memory.h"

namespace holdfast::keyholder {
namespace {

constexpr auto kHelloPatience = std::chrono::seconds(10);

// Code, libraries, stack and heap take some 16 MiB; keys must still find room under the limit.
constexpr rlim_t kLockAllFrom = 64u << 20;

// Keys have locked pages of their own; this keeps stack and heap, over which they pass, out of swap
// too. Where the limit is too low for both, it is left to the keys.
void lock_everything() {
  platform::raise_locked_memory_limit();
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur >= kLockAllFrom)
    ::mlockall(MCL_CURRENT);
}

jail::Profile holder_profile(std::vector<int> keep_fds) {
  jail::Profile profile;
  profile.kind = jail::ProfileKind::kKeyHolder;
  profile.keep_fds = std::move(keep_fds);
  profile.threads_max = 1;
  return profile;
}

Status run(bool with_listener) {
  lock_everything();
  std::vector<int> keep_fds = {kControlFd};
  if (with_listener) keep_fds.push_back(kListenerFd);
  HF_TRY_ASSIGN(const jail::JailReport report,
                jail::enter_jail(holder_profile(std::move(keep_fds))));
  HF_TRY(
      send_frame(kControlFd, encode_reply(Bytes()), -1, platform::Deadline::after(kHelloPatience)));
  platform::SystemEntropy entropy;
  keyring::Holder holder(entropy, platform::system_clock());
  return serve_holder(holder, kControlFd, with_listener ? kListenerFd : -1);
}

}  // namespace

int run_holder(bool with_listener) {
  const Status status = run(with_listener);
  if (status.ok()) return 0;
  // The parent says it to the user; where it is gone, nobody is left to tell.
  ignore_error(send_frame(kControlFd, encode_reply(Result<Bytes>(status.error())), -1,
                          platform::Deadline::after(kHelloPatience)),
               "the parent may be gone");
  return error_code_exit_status(status.error().code());
}

int probe_holder(std::string_view attempt, std::string_view targets) {
  return jail::answer_egress_probe(attempt, targets, [](std::vector<int> keep_fds) {
    return jail::enter_jail(holder_profile(std::move(keep_fds))).ok();
  });
}

}  // namespace holdfast::keyholder
