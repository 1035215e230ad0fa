// Children: descriptors, exit, deadlines. Oracle: what /bin/sh inside the child says.
#include "holdfast/platform/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "holdfast/platform/signals.h"
#include "holdfast/platform/socket.h"

namespace holdfast::platform {
namespace {

struct Pipe {
  UniqueFd read, write;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
  std::string drain() {
    write.reset();
    std::string out;
    char c[256];
    for (ssize_t n; (n = ::read(read.get(), c, sizeof c)) > 0;)
      out.append(c, static_cast<std::size_t>(n));
    return out;
  }
};

SpawnOptions shell(const std::string& script) {
  SpawnOptions o;
  o.program = "/bin/sh";
  o.argv = {"sh", "-c", script};
  return o;
}

TEST(Process, ExitStatusAndSignal) {
  auto exits = Process::spawn(shell("exit 3"));
  ASSERT_TRUE(exits.ok());
  const auto status = exits->wait(Deadline::never());
  ASSERT_TRUE(status.ok() && status->has_value());
  EXPECT_FALSE((*status)->signalled);
  EXPECT_EQ((*status)->code, 3);
  EXPECT_EQ((*exits->wait(Deadline::never()))->code, 3);

  auto dies = Process::spawn(shell("kill -SEGV $$"));
  ASSERT_TRUE(dies.ok());
  const auto killed = dies->wait(Deadline::never());
  EXPECT_TRUE((*killed)->signalled);
  EXPECT_EQ((*killed)->describe(), "killed by signal 11 (SIGSEGV)");
}

TEST(Process, WaitEndsAtItsDeadline) {
  auto child = Process::spawn(shell("exec sleep 60"));
  ASSERT_TRUE(child.ok());
  const auto none = child->wait(Deadline::after(std::chrono::milliseconds(30)));
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());
  const auto ended = child->terminate(std::chrono::seconds(10));
  ASSERT_TRUE(ended.ok());
  EXPECT_EQ(ended->code, SIGTERM);
}

TEST(Process, StubbornChildIsKilled) {
  Pipe pipe;
  SpawnOptions o = shell("trap '' TERM; echo ready; while :; do sleep 1; done");
  o.fds = {{pipe.write.get(), 1}};
  auto child = Process::spawn(o);
  ASSERT_TRUE(child.ok());
  char c = 0;
  ASSERT_EQ(::read(pipe.read.get(), &c, 1), 1);
  const auto ended = child->terminate(std::chrono::milliseconds(50));
  ASSERT_TRUE(ended.ok());
  EXPECT_EQ(ended->code, SIGKILL);
}

TEST(Process, ChildHasListedDescriptorsAndNothingElse) {
  const int leaky =
      ::open("/dev/zero", O_RDONLY);  // without close-on-exec, as a careless library would
  ASSERT_GE(leaky, 0);
  Pipe pipe;
  SpawnOptions o = shell("ls -1 /proc/self/fd | tr '\\n' ' '; echo; read x <&5; echo $x; env");
  auto pair = make_socket_pair();
  ASSERT_TRUE(pair.ok());
  ASSERT_TRUE(send_all(pair->ours.get(), as_bytes_view("through five\n"), Deadline::never()).ok());
  o.environment = {"ONLY=this", "PATH=/usr/bin:/bin"};
  // 1 and 5 are crossed with descriptors that may have those very numbers in the parent.
  o.fds = {{pipe.write.get(), 1}, {pair->theirs.get(), 5}};
  auto child = Process::spawn(o);
  ASSERT_TRUE(child.ok());
  const std::string out = pipe.drain();
  EXPECT_TRUE(child->wait(Deadline::never()).ok());
  ::close(leaky);
  EXPECT_TRUE(out.starts_with("0 1 2 3 5 \n")) << out;  // 3 is ls reading the directory
  EXPECT_NE(out.find("through five"), std::string::npos);
  EXPECT_NE(out.find("ONLY=this"), std::string::npos);
  EXPECT_EQ(out.find("HOME="), std::string::npos);
}

TEST(Process, SwappedDescriptorsDoNotOverwriteEachOther) {
  Pipe a, b;
  const int low = std::min(a.write.get(), b.write.get());
  const int high = std::max(a.write.get(), b.write.get());
  SpawnOptions o = shell("echo L >&" + std::to_string(low) + "; echo H >&" + std::to_string(high));
  if (high > 9) GTEST_SKIP() << "the shell addresses one digit only";
  o.fds = {{low, high}, {high, low}};
  auto child = Process::spawn(o);
  ASSERT_TRUE(child.ok());
  EXPECT_TRUE(child->wait(Deadline::never()).ok());
  Pipe& was_low = a.write.get() == low ? a : b;
  Pipe& was_high = a.write.get() == low ? b : a;
  EXPECT_EQ(was_low.drain(), "H\n");
  EXPECT_EQ(was_high.drain(), "L\n");
}

TEST(Process, MissingProgramIsAnError) {
  SpawnOptions o;
  o.program = "/no/such/program";
  o.argv = {"x"};
  EXPECT_EQ(Process::spawn(o).error().code(), ErrorCode::kNotFound);
  o.program = "/etc/passwd";
  EXPECT_EQ(Process::spawn(o).error().code(), ErrorCode::kDenied);
}

TEST(Process, DestructionKillsAndReaps) {
  pid_t pid = 0;
  {
    auto child = Process::spawn(shell("exec sleep 60"));
    ASSERT_TRUE(child.ok());
    pid = child->pid();
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST(Process, SignalMaskIsNotInherited) {
  auto queue = SignalQueue::create({SIGTERM});
  ASSERT_TRUE(queue.ok());
  ignore_sigpipe();
  auto child = Process::spawn(shell("exec sleep 60"));
  ASSERT_TRUE(child.ok());
  const auto ended = child->terminate(std::chrono::seconds(10));
  EXPECT_EQ(ended->code, SIGTERM);
}

TEST(Process, DiesWithItsParentThread) {
  pid_t pid = 0;
  std::optional<Process> child;
  std::thread([&] {
    SpawnOptions o = shell("exec sleep 60");
    o.parent_death_signal = SIGKILL;
    child.emplace(std::move(Process::spawn(o)).value());
    pid = child->pid();
  }).join();
  const auto status = child->wait(Deadline::after(std::chrono::seconds(10)));
  ASSERT_TRUE(status.ok() && status->has_value());
  EXPECT_EQ((*status)->code, SIGKILL);
}

TEST(Process, OwnUsageIsPlausible) {
  const ProcessUsage u = read_own_usage();
  EXPECT_GT(u.resident_bytes, 100'000u);
  EXPECT_GE(u.virtual_bytes, u.resident_bytes);
  EXPECT_GE(u.open_fds, 3u);
  EXPECT_GE(u.threads, 1u);
  EXPECT_GT(u.start_unix_seconds, 1.7e9);
  EXPECT_TRUE(own_executable_path()->ends_with("platform_test"));
}

TEST(SignalQueue, DeliversInsteadOfKilling) {
  auto queue = SignalQueue::create({SIGTERM, SIGHUP});
  ASSERT_TRUE(queue.ok());
  EXPECT_FALSE((*queue->next(Deadline::after(std::chrono::milliseconds(1)))).has_value());
  ::kill(::getpid(), SIGHUP);
  EXPECT_EQ(**queue->next(Deadline::never()), SIGHUP);
}

}  // namespace
}  // namespace holdfast::platform
