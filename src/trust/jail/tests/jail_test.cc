// What must still work inside the jail, what the report says, and how a child is started.
#include "holdfast/jail/jail.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "forked.h"
#include "holdfast/jail/child.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/entropy.h"
#include "holdfast/platform/file.h"
#include "holdfast/platform/huge_memory.h"
#include "holdfast/platform/secret_memory.h"
#include "holdfast/platform/socket.h"
#include "holdfast/platform/thread.h"

namespace holdfast::jail {
namespace {

#define INSIDE_CHECK(condition)                                                              \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      std::fprintf(stderr, "inside: line %d: %s (errno %d)\n", __LINE__, #condition, errno); \
      return 1;                                                                              \
    }                                                                                        \
  } while (false)

int unlinked_file() {
  char name[] = "/tmp/holdfast_jail_XXXXXX";
  const int fd = ::mkostemp(name, O_CLOEXEC);
  ::unlink(name);
  return fd;
}

int use_threads() {
  std::atomic<int> sum = 0;
  std::mutex mutex;
  std::condition_variable changed;
  bool go = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    auto started = platform::start_thread("worker", [&, i] {
      ignore_error(platform::pin_current_thread(0), "another processor may be the allowed one");
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return go; });
      std::vector<char> memory(1 << 20, static_cast<char>(i));  // an arena of its own
      sum += memory[12345];
    });
    INSIDE_CHECK(started.ok());
    threads.push_back(std::move(*started));
  }
  {
    const std::lock_guard lock(mutex);
    go = true;
  }
  changed.notify_all();
  for (std::thread& t : threads) t.join();
  INSIDE_CHECK(sum == 28);
  return 0;
}

int use_memory_and_time() {
  auto buffer = platform::LargeBuffer::allocate(64 << 20, nullptr);
  INSIDE_CHECK(buffer.ok());
  std::memset(buffer->data(), 1, buffer->size());
  buffer->discard();
  ::mlock(buffer->data(), 4096);  // may be refused by its limit, but not by the jail
  void* big = std::malloc(30 << 20);
  big = std::realloc(big, 50 << 20);
  INSIDE_CHECK(big != nullptr);
  std::free(big);
  INSIDE_CHECK(platform::system_clock().monotonic_ns() > 0);
  INSIDE_CHECK(platform::system_clock().wall_time() > platform::WallTime());
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  Bytes random(16);
  INSIDE_CHECK(platform::fill_random(random).ok());
  INSIDE_CHECK(std::thread::hardware_concurrency() < 1'000'000);
  INSIDE_CHECK(platform::system_clock().utc_offset_seconds(1'700'000'000) < 1'000'000);
  try {
    throw std::runtime_error("unwinding needs no file");
  } catch (const std::exception&) {
  }
  return 0;
}

TEST(Jail, EngineCanDoItsWork) {
  const int file = unlinked_file();
  ASSERT_EQ(::write(file, "weights", 7), 7);
  auto pair = platform::make_socket_pair();
  ASSERT_TRUE(pair.ok());
  ASSERT_TRUE(
      platform::send_all(pair->ours.get(), as_bytes_view("ok?"), platform::Deadline::never()).ok());
  const Ending ending = run_forked([&] {
    Profile profile;
    profile.keep_fds = {file, pair->theirs.get()};
    profile.address_space_bytes = std::uint64_t{4} << 30;
    INSIDE_CHECK(enter_jail(profile).ok());
    auto weights = platform::File::from_fd(platform::UniqueFd(file));
    INSIDE_CHECK(weights.ok());
    Bytes bytes(7);
    INSIDE_CHECK(weights->read_at(0, bytes).ok() && as_string_view(bytes) == "weights");
    INSIDE_CHECK(use_threads() == 0);
    INSIDE_CHECK(use_memory_and_time() == 0);
    Bytes question(3);
    INSIDE_CHECK(
        platform::receive_exact(pair->theirs.get(), question, platform::Deadline::never()).ok());
    INSIDE_CHECK(
        platform::send_all(pair->theirs.get(), as_bytes_view("yes"), platform::Deadline::never())
            .ok());
    std::fflush(stderr);
    return 0;
  });
  EXPECT_FALSE(ending.killed) << "signal " << ending.value;
  EXPECT_EQ(ending.value, 0);
  pair->theirs.reset();
  Bytes answer(3);
  ASSERT_TRUE(platform::receive_exact(pair->ours.get(), answer, platform::Deadline::never()).ok());
  EXPECT_EQ(as_string_view(answer), "yes");
}

TEST(Jail, ImporterWritesItsOutputUpToTheLimit) {
  const int output = unlinked_file();
  const Ending ending = run_forked([&] {
    Profile profile;
    profile.kind = ProfileKind::kImporter;
    profile.keep_fds = {output};
    profile.file_bytes_max = 1000;
    profile.cpu_time = std::chrono::seconds(60);
    INSIDE_CHECK(enter_jail(profile).ok());
    auto file = platform::File::from_fd(platform::UniqueFd(output));
    INSIDE_CHECK(file.ok());
    INSIDE_CHECK(file->write_all(Bytes(900)).ok());
    INSIDE_CHECK(file->sync().ok());
    INSIDE_CHECK(file->truncate(800).ok());
    INSIDE_CHECK(!file->write_at(0, Bytes(1001)).ok());
    return 0;
  });
  EXPECT_FALSE(ending.killed) << "signal " << ending.value;
  EXPECT_EQ(ending.value, 0);
  struct stat st {};
  ASSERT_EQ(::fstat(output, &st), 0);
  EXPECT_EQ(st.st_size, 1000);
}

TEST(Jail, UnlistedDescriptorsAreClosed) {
  const int kept = unlinked_file();
  const int lost = unlinked_file();
  const Ending ending = run_forked([&] {
    Profile profile;
    profile.keep_fds = {kept};
    INSIDE_CHECK(::fcntl(lost, F_GETFD) >= 0);
    INSIDE_CHECK(enter_jail(profile).ok());
    INSIDE_CHECK(::fcntl(kept, F_GETFD) >= 0);
    INSIDE_CHECK(::fcntl(lost, F_GETFD) < 0 && errno == EBADF);
    return 0;
  });
  EXPECT_EQ(ending.value, 0);
}

TEST(Jail, LimitsHold) {
  const Ending ending = run_forked([] {
    Profile profile;
    profile.threads_max = 64;
    INSIDE_CHECK(enter_jail(profile).ok());
    rlimit limit{};
    INSIDE_CHECK(::getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0);
    INSIDE_CHECK(::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max == 32);
    return 0;
  });
  EXPECT_EQ(ending.value, 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(Jail, AddressSpaceIsBounded) {
  const Ending ending = run_forked([] {
    Profile profile;
    profile.address_space_bytes = 256 << 20;
    INSIDE_CHECK(enter_jail(profile).ok());
    INSIDE_CHECK(!platform::LargeBuffer::allocate(512 << 20, nullptr).ok());
    INSIDE_CHECK(platform::LargeBuffer::allocate(32 << 20, nullptr).ok());
    return 0;
  });
  EXPECT_EQ(ending.value, 0);
}
#endif

TEST(Jail, AbortIsSeenAsAbort) {
  const Ending ending = run_forked([]() -> int {
    if (!enter_jail(Profile{}).ok()) return 1;
    std::abort();
  });
  EXPECT_TRUE(ending.killed);
  EXPECT_EQ(ending.value, SIGABRT);
}

// The layers that need no luck with the container must be there on every machine that runs the
// tests.
TEST(Jail, ReportNamesEveryLayerOnce) {
  const auto report = probe_jail(Profile{});
  ASSERT_TRUE(report.ok()) << report.error().to_string();
  std::size_t index = 0;
  for (const LayerState& s : report->layers) {
    EXPECT_EQ(static_cast<std::size_t>(s.layer), index++);
    EXPECT_FALSE(layer_name(s.layer).empty());
    EXPECT_FALSE(layer_description(s.layer).empty());
    EXPECT_TRUE(s.applied || !s.reason.empty()) << layer_name(s.layer);
    const bool indispensable = s.layer == Layer::k_descriptors ||
                               s.layer == Layer::k_no_new_privileges ||
                               s.layer == Layer::k_resource_limits || s.layer == Layer::k_seccomp ||
                               s.layer == Layer::k_not_dumpable;
    EXPECT_TRUE(s.applied || !indispensable) << s.reason;
  }
  EXPECT_EQ(report->complete(), report->describe_missing().empty());
  RecordProperty("missing", report->describe_missing());
}

// What the kernel itself shows of a jailed process, where /proc is mounted: the report must not be
// our word alone.
TEST(Jail, KernelConfirmsTheReport) {
  auto pair = platform::make_socket_pair();
  ASSERT_TRUE(pair.ok());
  const pid_t pid = ::fork();
  if (pid == 0) {
    Profile profile;
    profile.keep_fds = {pair->theirs.get()};
    const auto report = enter_jail(profile);
    const char answer[2] = {report.ok() ? 'k' : 'x',
                            report.ok() && report->layers[2].applied ? 'n' : '-'};
    if (::write(pair->theirs.get(), answer, 2) != 2) ::_exit(1);
    char wait = 0;
    if (::read(pair->theirs.get(), &wait, 1) < 0) ::_exit(1);
    ::_exit(0);
  }
  pair->theirs.reset();
  Bytes answer(2);
  ASSERT_TRUE(platform::receive_exact(pair->ours.get(), answer, platform::Deadline::never()).ok());
  EXPECT_EQ(static_cast<char>(answer[0]), 'k');
  const std::string proc = "/proc/" + std::to_string(pid);
  std::ifstream in(proc + "/status");
  const std::string status{std::istreambuf_iterator<char>(in), {}};
  EXPECT_NE(status.find("NoNewPrivs:\t1"), std::string::npos) << status;
  EXPECT_NE(status.find("Seccomp:\t2"), std::string::npos);
  EXPECT_NE(status.find("CapEff:\t0000000000000000"), std::string::npos);
  EXPECT_NE(status.find("CapBnd:\t0000000000000000"), std::string::npos);
  if (static_cast<char>(answer[1]) == 'n') {
    char ours[64] = {}, theirs[64] = {};
    if (::readlink("/proc/self/ns/net", ours, 63) > 0 &&
        ::readlink((proc + "/ns/net").c_str(), theirs, 63) > 0) {
      EXPECT_STRNE(ours, theirs);
    }
  }
  pair->ours.reset();
  int wait_status = 0;
  ::waitpid(pid, &wait_status, 0);
}

TEST(Child, HasControlSocketAndListedDescriptors) {
  const int file = unlinked_file();
  ASSERT_EQ(::write(file, "listed\n", 7), 7);
  ::lseek(file, 0, SEEK_SET);
  ChildOptions options;
  options.program = "/bin/sh";
  options.arguments = {"-c", "read line <&4; echo got $line >&3"};
  options.listed_fds = {file};
  auto child = start_child(options);
  ASSERT_TRUE(child.ok());
  Bytes answer(11);
  ASSERT_TRUE(platform::receive_exact(child->control.get(), answer,
                                      platform::Deadline::after(std::chrono::seconds(10)))
                  .ok());
  EXPECT_EQ(as_string_view(answer), "got listed\n");
  const auto status = child->process.wait(platform::Deadline::never());
  ASSERT_TRUE(status.ok());
  EXPECT_TRUE((*status)->success());
}

// Keys of an engine lie where not even the kernel maps them, although its jail cannot make such
// memory: it was made before.
TEST(Jail, SecretMemoryThatWasReserved) {
  const auto outside = platform::SecretMemory::allocate(32);
  ASSERT_TRUE(outside.ok());
  const Ending end = run_forked([&] {
    platform::reserve_secret_memory(2);
    if (!enter_jail(Profile{}).ok()) return 90;
    for (int i = 0; i < 2; ++i) {
      auto memory = platform::SecretMemory::allocate(32);
      if (!memory.ok() || memory->kind() != outside->kind() || memory->size() != 32) return 91;
      memory->bytes()[31] = std::byte{1};
    }
    const auto later = platform::SecretMemory::allocate(32);
    return later.ok() && later->kind() != platform::SecretMemoryKind::kSecretFile ? 0 : 92;
  });
  EXPECT_FALSE(end.killed);
  EXPECT_EQ(end.value, 0);
}

}  // namespace
}  // namespace holdfast::jail
