// An import child that a hostile file has taken over: in the importer's real jail it greets as
// usual, then tries to get out instead of converting. Which way, the last byte of its input says.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "child_side.h"
#include "escapes.h"
#include "holdfast/wire/wire.h"

namespace {

using namespace holdfast;

constexpr int kInputFd = 4;
constexpr int kOutputFd = 5;
constexpr int kFirstOtherFd = 7;  // 6: where a key comes from
constexpr int kOtherFds = 200;

pid_t g_parent = 0;  // known from before

int error_of(long result) { return result < 0 ? errno : 0; }

int read_other_memory() {
  char byte = 0;
  iovec here{&byte, 1}, there{&byte, 1};
  return error_of(::process_vm_readv(g_parent, &here, 1, &there, 1, 0));
}

// A descriptor that nobody handed over.
int use_other_descriptor() {
  char byte = 0;
  for (int fd = kFirstOtherFd; fd < kOtherFds; ++fd) {
    if (::read(fd, &byte, 1) >= 0 || errno != EBADF) return 0;
  }
  return EBADF;
}

int run_program() {
  char name[] = "/bin/true";
  char* arguments[] = {name, nullptr};
  return error_of(::execve(name, arguments, nullptr));
}

int write_and_execute() {
  void* page =
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return page == MAP_FAILED ? errno : 0;
}

// Fills the disk: the limit of file sizes follows from the input's.
int grow_output() { return error_of(::pwrite(kOutputFd, "x", 1, off_t{1} << 50)); }

int escape(Escape way) {
  switch (way) {
    case Escape::kOpenFile:
      return error_of(::open("/etc/passwd", O_RDONLY));
    case Escape::kOpenOwnMemory:
      return error_of(::open("/proc/self/mem", O_RDWR));
    case Escape::kChangeInput:
      return error_of(::pwrite(kInputFd, "x", 1, 0));
    case Escape::kOtherDescriptor:
      return use_other_descriptor();
    case Escape::kGrowOutput:
      return grow_output();
    case Escape::kSocket:
      return error_of(::socket(AF_INET, SOCK_STREAM, 0));
    case Escape::kUnixSocket:
      return error_of(::socket(AF_UNIX, SOCK_STREAM, 0));
    case Escape::kExecute:
      return run_program();
    case Escape::kFork:
      return error_of(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    case Escape::kSignalParent:
      return error_of(::kill(g_parent, 0));
    case Escape::kParentMemory:
      return read_other_memory();
    case Escape::kTrace:
      return error_of(::ptrace(PTRACE_ATTACH, g_parent, 0, 0));
    case Escape::kNewCode:
      return write_and_execute();
    case Escape::kRing:
      return error_of(::syscall(SYS_io_uring_setup, 4, nullptr));
    case Escape::kEnd:
      break;
  }
  return 0;
}

}  // namespace

int main() {
  g_parent = ::getppid();
  struct stat info {};
  unsigned char way = 0;
  if (::fstat(kInputFd, &info) != 0 || ::pread(kInputFd, &way, 1, info.st_size - 1) != 1) return 2;
  if (!jail::enter_jail(importer::import_profile(1)).ok()) return 2;
  auto channel = wire::Channel::open(platform::UniqueFd(3));
  if (!channel.ok() || !(*channel)->send(wire::Hello{wire::kProtocolVersion, "importer"}).ok() ||
      !(*channel)->flush(platform::Deadline::after(std::chrono::seconds(10))).ok())
    return 2;
  const int error = escape(static_cast<Escape>(way));
  ::_exit(error == 0 ? kEscaped : kHeld);
}
