// Files and the real file system. Oracle: what std::filesystem and plain streams see.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "holdfast/platform/filesystem.h"
#include "holdfast/platform/mapped_file.h"
#include "temporary_directory.h"

namespace holdfast::platform {
namespace {

std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(ByteSource, RangesThatOverflowAreRefused) {
  MemorySource source(as_bytes_view("abcdef"));
  Bytes out(3);
  ASSERT_TRUE(source.read_at(3, out).ok());
  EXPECT_EQ(as_string_view(out), "def");
  EXPECT_TRUE(source.read_at(6, MutableBytes()).ok());
  EXPECT_EQ(source.read_at(4, out).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(source.read_at(7, MutableBytes()).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(source.read_at(UINT64_MAX, out).error().code(), ErrorCode::kCorrupt);
}

TEST(File, WritesReadsAndTruncates) {
  const TemporaryDirectory dir;
  const std::string path = dir.path() + "/f";
  auto file = File::create(path, 0640);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->write_all(as_bytes_view("hello ")).ok());
  ASSERT_TRUE(file->write_all(as_bytes_view("world")).ok());
  ASSERT_TRUE(file->write_at(0, as_bytes_view("J")).ok());
  EXPECT_EQ(file->size(), 11u);
  ASSERT_TRUE(file->sync().ok());
  EXPECT_EQ(content_of(path), "Jello world");
  ASSERT_TRUE(file->truncate(5).ok());
  EXPECT_EQ(content_of(path), "Jello");
  Bytes six(6);
  EXPECT_EQ(file->read_at(0, six).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(File::create(path, 0600).error().code(), ErrorCode::kConflict);
  EXPECT_EQ(file->write_at(UINT64_MAX, as_bytes_view("x")).error().code(),
            ErrorCode::kInvalidArgument);
}

TEST(MappedFile, ShowsTheFileFromAnyOffset) {
  const TemporaryDirectory dir;
  std::string text(10'000, 'x');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 23);
  const std::string path = dir.write("f", text);
  auto file = File::open_read(path);
  ASSERT_TRUE(file.ok());
  for (const std::size_t offset : {0u, 1u, 4095u, 4096u, 8192u, 9999u}) {
    const auto mapped = MappedFile::map(*file, offset, text.size() - offset);
    ASSERT_TRUE(mapped.ok()) << mapped.error().to_string();
    EXPECT_EQ(as_string_view(mapped->view()), std::string_view(text).substr(offset));
    if (offset % 4096 == 0) {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(mapped->view().data()) % 4096, 0u);
    }
  }
  // It outlives the descriptor, and moves.
  auto mapped = MappedFile::map(*file, 4096, 100);
  ASSERT_TRUE(mapped.ok());
  file = File::open_read(path);
  const MappedFile moved = std::move(*mapped);
  EXPECT_EQ(as_string_view(moved.view()), std::string_view(text).substr(4096, 100));
  EXPECT_TRUE(mapped->view().empty());
}

TEST(MappedFile, RefusesWhatIsNotThere) {
  const TemporaryDirectory dir;
  auto file = File::open_read(dir.write("f", "abc"));
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(MappedFile::map(*file, 3, 0).ok());
  EXPECT_EQ(MappedFile::map(*file, 0, 4).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(MappedFile::map(*file, UINT64_MAX, 2).error().code(), ErrorCode::kCorrupt);
}

TEST(File, OnlyRegularFilesOpen) {
  const TemporaryDirectory dir;
  const std::string fifo = dir.path() + "/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(File::open_read(fifo).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(File::open_read(dir.path()).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(File::open_read("/dev/zero").error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(File::open_read(dir.path() + "/absent").error().code(), ErrorCode::kNotFound);
  EXPECT_TRUE(File::open_read(dir.write("plain", "x")).ok());
}

TEST(File, DescriptorsCloseOnExec) {
  const TemporaryDirectory dir;
  auto file = File::open_read(dir.write("f", "x"));
  ASSERT_TRUE(file.ok());
  EXPECT_NE(::fcntl(file->fd(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(File, FileThatShrinksWhileReadIsCorrupt) {
  const TemporaryDirectory dir;
  const std::string path = dir.write("f", "0123456789");
  auto file = File::open_read(path);
  ASSERT_TRUE(file.ok());
  ASSERT_EQ(::truncate(path.c_str(), 3), 0);
  Bytes out(8);
  EXPECT_EQ(file->read_at(0, out).error().code(), ErrorCode::kCorrupt);
}

TEST(File, SizeLimitOfTheProcessIsAnError) {
  const TemporaryDirectory dir;
  auto file = File::create(dir.path() + "/f", 0600);
  ASSERT_TRUE(file.ok());
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit limit{1000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  // The kernel writes the first 1000 bytes and then refuses: a short write, then EFBIG.
  const Status written = file->write_all(Bytes(1500));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(file->size(), 1000u);
}

TEST(PosixFileSystem, AtomicWriteReplacesAndLeavesNothingBehind) {
  const TemporaryDirectory dir;
  PosixFileSystem fs;
  const std::string path = dir.write("f", "old");
  dir.write("f.tmp", "left by a crash");
  ASSERT_TRUE(write_file_atomic(fs, path, as_bytes_view("new"), 0600).ok());
  EXPECT_EQ(content_of(path), "new");
  EXPECT_EQ(fs.list(dir.path())->size(), 1u);
  EXPECT_EQ(fs.stat(path)->mode, 0600u);
  EXPECT_EQ(write_file_atomic(fs, dir.path() + "/no/such", {}, 0600).error().code(),
            ErrorCode::kNotFound);
}

TEST(PosixFileSystem, DirectoriesListsAndRemoval) {
  const TemporaryDirectory dir;
  PosixFileSystem fs;
  ASSERT_TRUE(fs.make_dirs(dir.path() + "/a/b/c", 0700).ok());
  ASSERT_TRUE(fs.make_dirs(dir.path() + "/a/b/c", 0700).ok());
  dir.write("a/z", "");
  const auto entries = fs.list(dir.path() + "/a");
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), 2u);
  EXPECT_EQ((*entries)[0].name, "b");
  EXPECT_EQ((*entries)[0].kind, FileKind::kDirectory);
  EXPECT_EQ((*entries)[1].kind, FileKind::kRegular);
  EXPECT_EQ(fs.make_dirs(dir.path() + "/a/z", 0700).error().code(), ErrorCode::kConflict);
  EXPECT_FALSE(fs.remove_dir(dir.path() + "/a").ok());
  EXPECT_TRUE(fs.remove_dir(dir.path() + "/a/b/c").ok());
  EXPECT_TRUE(fs.remove(dir.path() + "/a/z").ok());
  EXPECT_TRUE(fs.sync_dir(dir.path()).ok());
  EXPECT_GT(fs.free_bytes(dir.path()).value_or(0), 0u);
}

TEST(PosixFileSystem, BeneathRefusesEveryWayOut) {
  const TemporaryDirectory dir;
  PosixFileSystem fs;
  dir.write("root/sub/in", "inside");
  const std::string outside = dir.write("outside", "secret");
  std::filesystem::create_symlink(outside, dir.path() + "/root/link");
  std::filesystem::create_directory_symlink(dir.path(), dir.path() + "/root/up");
  const std::string root = dir.path() + "/root";
  EXPECT_TRUE(fs.open_beneath(root, "sub/in").ok());
  for (const std::string name : {"../outside", "sub/../../outside", "/etc/passwd", "", ".",
                                 "sub//in", "link", "up/outside"}) {
    const auto opened = fs.open_beneath(root, name);
    ASSERT_FALSE(opened.ok()) << name;
    EXPECT_EQ(opened.error().code(), ErrorCode::kDenied) << name;
  }
  EXPECT_EQ(fs.open_beneath(root, "absent").error().code(), ErrorCode::kNotFound);
}

TEST(PosixFileSystem, LockIsHeldOnce) {
  const TemporaryDirectory dir;
  PosixFileSystem fs;
  auto first = fs.try_lock(dir.path() + "/lock");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(fs.try_lock(dir.path() + "/lock").error().code(), ErrorCode::kUnavailable);
  first->reset();
  EXPECT_TRUE(fs.try_lock(dir.path() + "/lock").ok());
}

TEST(Paths, Parts) {
  EXPECT_EQ(parent_path("a/b/c"), "a/b");
  EXPECT_EQ(parent_path("/a"), "/");
  EXPECT_EQ(parent_path("a"), ".");
  EXPECT_EQ(base_name("/a/b/"), "b");
  EXPECT_EQ(join_path("/a/", "b"), "/a/b");
  EXPECT_EQ(join_path("/a", "/b"), "/b");
}

}  // namespace
}  // namespace holdfast::platform
