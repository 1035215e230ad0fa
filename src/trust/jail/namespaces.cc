#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "holdfast/platform/unique_fd.h"
#include "layers.h"

namespace holdfast::jail {
namespace {

// A PID namespace would need one more fork, and a thread could not be started after
// unshare(CLONE_NEWPID): instead no call that names another process is on the seccomp list.

bool write_text(const char* path, const std::string& text) {
  const platform::UniqueFd fd(::open(path, O_WRONLY | O_CLOEXEC));
  return fd.valid() &&
         ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

constexpr unsigned kNobody = 65534;

// The one user id that exists inside: nobody, who is us outside. Without it nothing can be mounted.
bool map_identity(uid_t uid, gid_t gid) {
  return write_text("/proc/self/setgroups", "deny") &&
         write_text("/proc/self/uid_map",
                    std::to_string(kNobody) + " " + std::to_string(uid) + " 1") &&
         write_text("/proc/self/gid_map",
                    std::to_string(kNobody) + " " + std::to_string(gid) + " 1");
}

// Replaces the root by an empty file system of one page that cannot be written.
Missing make_empty_root() {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return errno_reason("make mounts private");
  }
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  const char* place = nullptr;
  for (const char* candidate : {"/tmp", "/proc", "/dev"}) {
    if (::mount("empty", candidate, "tmpfs", kFlags, "size=4k,nr_inodes=2,mode=0555") == 0) {
      place = candidate;
      break;
    }
  }
  if (place == nullptr) return errno_reason("mount an empty root");
  if (::chdir(place) != 0) return errno_reason("enter the empty root");
  // The new root is stacked on the old one, then the old one below it is taken away.
  if (::syscall(SYS_pivot_root, ".", ".") != 0) {
    // The first root of the boot (initramfs) cannot be pivoted away from.
    if (::chroot(".") != 0) return errno_reason("pivot_root");
  } else if (::umount2(".", MNT_DETACH) != 0) {
    return errno_reason("unmount the old root");
  }
  if (::chdir("/") != 0) return errno_reason("enter the empty root");
  ::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | kFlags, nullptr);
  return std::nullopt;
}

Missing unshare_one(int flag, const char* name) {
  if (::unshare(flag) != 0) return errno_reason(name);
  return std::nullopt;
}

}  // namespace

NamespaceResult enter_namespaces(bool keep_network) {
  NamespaceResult r;
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  r.user = unshare_one(CLONE_NEWUSER, "unshare user namespace");
  if (!r.user && !map_identity(uid, gid)) r.user = errno_reason("map the user id");
  // With a user namespace these need no privilege; without one they work for root only.
  if (keep_network) {
    r.network = "the process needs the network";
  } else {
    r.network = unshare_one(CLONE_NEWNET, "unshare network namespace");
  }
  r.ipc = unshare_one(CLONE_NEWIPC, "unshare ipc namespace");
  r.mount = unshare_one(CLONE_NEWNS, "unshare mount namespace");
  if (!r.mount) r.mount = make_empty_root();
  return r;
}

}  // namespace holdfast::jail
