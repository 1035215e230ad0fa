// Each layer alone: behind the others nobody would notice that one does nothing.
#include "../layers.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "forked.h"

namespace holdfast::jail {
namespace {

constexpr int kMissing = 77;

int error_of(long result) { return result < 0 ? errno : 0; }

// The error of `attempt` once the layer holds.
Ending behind(const std::function<Missing()>& layer, const std::function<int()>& attempt) {
  return run_forked([&] { return layer() ? kMissing : attempt(); });
}

int open_passwd() { return error_of(::open("/etc/passwd", O_RDONLY | O_CLOEXEC)); }

int connect_loopback() {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(9);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return fd < 0 ? errno
                : error_of(::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to));
}

int make_code() {
  void* p = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? errno : error_of(::mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

TEST(Layers, LandlockHoldsByItself) {
  const auto landlock = [] {
    forbid_new_privileges();
    return restrict_with_landlock().missing;
  };
  ASSERT_EQ(open_passwd(), 0);
  const Ending file = behind(landlock, open_passwd);
  if (file.value == kMissing) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_EQ(file.value, EACCES);
}

TEST(Layers, LandlockRefusesConnectionsByItself) {
  ASSERT_NE(connect_loopback(), EACCES);
  const Ending end = run_forked([] {
    forbid_new_privileges();
    const LandlockResult landlock = restrict_with_landlock();
    return landlock.missing || landlock.abi < 4 ? kMissing : connect_loopback();
  });
  if (end.value == kMissing) GTEST_SKIP() << "this kernel's Landlock knows no networks";
  EXPECT_EQ(end.value, EACCES);
}

TEST(Layers, ANamespaceHasNoNetwork) {
  const Ending end =
      run_forked([] { return enter_namespaces().network ? kMissing : connect_loopback(); });
  if (end.value == kMissing) GTEST_SKIP() << "no network namespaces here";
  EXPECT_EQ(end.value, ENETUNREACH);
}

TEST(Layers, TheRootIsEmpty) {
  const Ending end = run_forked([] { return enter_namespaces().mount ? kMissing : open_passwd(); });
  if (end.value == kMissing) GTEST_SKIP() << "no mount namespaces here";
  EXPECT_EQ(end.value, ENOENT);
}

TEST(Layers, WrittenMemoryDoesNotExecute) {
  ASSERT_EQ(make_code(), 0);
  const Ending end = behind([] { return forbid_write_and_execute(); }, make_code);
  if (end.value == kMissing) GTEST_SKIP() << "this kernel has no PR_SET_MDWE";
  EXPECT_EQ(end.value, EACCES);
}

}  // namespace
}  // namespace holdfast::jail
