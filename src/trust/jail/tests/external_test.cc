// What a program that is not ours inherits. Each attempt has its twin without confinement.
#include "holdfast/jail/external.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "forked.h"

namespace holdfast::jail {
namespace {

class ExternalTest : public ::testing::Test {
 protected:
  ExternalTest()
      : dir_(std::filesystem::temp_directory_path() /
             ("hf-external-" + std::to_string(::getpid()))) {
    for (const char* name : {"read", "write", "other"}) {
      std::filesystem::create_directories(dir_ / name);
      std::ofstream(dir_ / name / "file") << "x";
    }
    profile_.read = {(dir_ / "read").string()};
    profile_.write = {(dir_ / "write").string()};
  }
  ~ExternalTest() override { std::filesystem::remove_all(dir_); }

  static bool opens(const std::filesystem::path& path, int flags) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    if (fd >= 0) ::close(fd);
    return fd >= 0;
  }

  // Runs `body` in a child whose only thread was confined; 77 where the kernel has no Landlock.
  Ending confined(const std::function<int()>& body) {
    return run_forked([&] {
      const auto report = confine_calling_thread(profile_);
      if (!report.ok() || !report->missing.empty()) return 99;
      return report->landlock_abi == 0 ? 77 : body();
    });
  }

  std::filesystem::path dir_;
  ExternalProfile profile_;
};

TEST_F(ExternalTest, FilesAreOnlyThoseOfTheProfile) {
  ASSERT_TRUE(opens(dir_ / "other" / "file", O_RDONLY));
  ASSERT_TRUE(opens(dir_ / "read" / "file", O_WRONLY));
  const Ending end = confined([&] {
    if (!opens(dir_ / "read" / "file", O_RDONLY)) return 1;
    if (opens(dir_ / "read" / "file", O_WRONLY)) return 2;
    if (opens(dir_ / "read" / "new", O_WRONLY | O_CREAT)) return 3;
    if (!opens(dir_ / "write" / "file", O_RDWR)) return 4;
    if (!opens(dir_ / "write" / "new", O_WRONLY | O_CREAT)) return 5;
    if (opens(dir_ / "other" / "file", O_RDONLY)) return 6;
    if (opens("/etc/passwd", O_RDONLY)) return 7;
    if (!opens("/dev/null", O_RDWR)) return 8;
    return 0;
  });
  if (end.value == 77) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_FALSE(end.killed);
  EXPECT_EQ(end.value, 0);
}

TEST_F(ExternalTest, AProgramInheritsItAndProgramsOfTheSystemRun) {
  const std::string secret = (dir_ / "other" / "file").string();
  const auto cat = [&](const std::string& path) {
    return run_forked([&] {
      const auto report = confine_calling_thread(profile_);
      if (!report.ok()) return 99;
      if (report->landlock_abi == 0) return 77;
      ::execl("/bin/cat", "cat", path.c_str(), static_cast<char*>(nullptr));
      return 98;
    });
  };
  const Ending own = cat((dir_ / "read" / "file").string());
  if (own.value == 77) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_EQ(own.value, 0);
  EXPECT_EQ(cat(secret).value, 1);
}

TEST_F(ExternalTest, NoNewPrivilegesHoldAndMissingPathsAreNamed) {
  profile_.read.push_back("/nowhere/at/all");
  const Ending end = run_forked([&] {
    if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) return 1;
    const auto report = confine_calling_thread(profile_);
    if (!report.ok() || !report->no_new_privileges) return 2;
    if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return 3;
    if (report->landlock_abi > 0 && report->missing.size() != 1) return 4;
    return 0;
  });
  EXPECT_EQ(end.value, 0);
}

TEST_F(ExternalTest, LimitsAreThoseOfTheProcess) {
  const Ending end = run_forked([&] {
    ExternalProfile profile;
    profile.address_space_bytes = std::uint64_t{1} << 40;
    if (!limit_process(::getpid(), profile).ok()) return 1;
    rlimit limit{};
    ::getrlimit(RLIMIT_CORE, &limit);
    if (limit.rlim_max != 0) return 2;
    ::getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur != 1024) return 3;
    ::getrlimit(RLIMIT_AS, &limit);
    return limit.rlim_cur == profile.address_space_bytes ? 0 : 4;
  });
  EXPECT_EQ(end.value, 0);
}

}  // namespace
}  // namespace holdfast::jail
