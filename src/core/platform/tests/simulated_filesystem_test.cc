// The simulated disk: it must lose what a real one may lose, and nothing that was synced.
#include "holdfast/platform/testing/simulated_filesystem.h"

#include <gtest/gtest.h>

namespace holdfast::platform::testing {
namespace {

std::string read_text(FileSystem& fs, const std::string& path) {
  const auto bytes = read_file(fs, path, 1 << 20);
  return bytes.ok() ? std::string(as_string_view(*bytes)) : "(" + bytes.error().to_string() + ")";
}

TEST(SimulatedFileSystem, UnsyncedDataAndNamesAreLost) {
  SimulatedFileSystem fs;
  {
    auto kept = fs.create_exclusive("/kept", 0600);
    ASSERT_TRUE(kept.ok());
    ASSERT_TRUE((*kept)->write_all(as_bytes_view("synced")).ok());
    ASSERT_TRUE((*kept)->sync().ok());
    ASSERT_TRUE(fs.sync_dir("/").ok());
    ASSERT_TRUE((*kept)->write_all(as_bytes_view(" and not")).ok());
    auto unnamed = fs.create_exclusive("/unnamed", 0600);
    ASSERT_TRUE(unnamed.ok());
    ASSERT_TRUE((*unnamed)->write_all(as_bytes_view("x")).ok());
    ASSERT_TRUE((*unnamed)->sync().ok());
    EXPECT_EQ(read_text(fs, "/kept"), "synced and not");
    fs.restart(CrashPolicy::kDropUnsynced);
    EXPECT_EQ((*kept)->write_all(as_bytes_view("z")).error().code(), ErrorCode::kIo);
  }
  EXPECT_EQ(read_text(fs, "/kept"), "synced");
  EXPECT_FALSE(fs.exists("/unnamed"));
}

TEST(SimulatedFileSystem, KeepAllIsKillMinusNine) {
  SimulatedFileSystem fs;
  ASSERT_TRUE(fs.make_dirs("/d", 0700).ok());
  auto f = fs.create_exclusive("/d/f", 0600);
  ASSERT_TRUE((*f)->write_all(as_bytes_view("abc")).ok());
  fs.restart(CrashPolicy::kKeepAll);
  EXPECT_EQ(read_text(fs, "/d/f"), "abc");
}

TEST(SimulatedFileSystem, FullDiskLeavesWhatFits) {
  SimulatedFileSystem fs;
  fs.set_capacity_bytes(10);
  auto f = fs.create_exclusive("/f", 0600);
  EXPECT_EQ((*f)->write_all(Bytes(16)).error().code(), ErrorCode::kExhausted);
  EXPECT_EQ((*f)->size(), 10u);
  EXPECT_EQ(*fs.free_bytes("/"), 0u);
}

TEST(SimulatedFileSystem, OneOperationFails) {
  SimulatedFileSystem fs;
  fs.fail_operation(1, ErrorCode::kIo);
  auto f = fs.create_exclusive("/f", 0600);
  ASSERT_TRUE(f.ok());
  EXPECT_EQ((*f)->write_all(Bytes(1)).error().code(), ErrorCode::kIo);
  EXPECT_TRUE((*f)->write_all(Bytes(1)).ok());
}

TEST(SimulatedFileSystem, RenamedDirectoryTakesItsFilesAlong) {
  SimulatedFileSystem fs;
  ASSERT_TRUE(fs.make_dirs("/a/b", 0700).ok());
  ASSERT_TRUE(fs.create_exclusive("/a/b/f", 0600).ok());
  ASSERT_TRUE(fs.rename("/a", "/z").ok());
  EXPECT_TRUE(fs.exists("/z/b/f"));
  EXPECT_FALSE(fs.exists("/a/b/f"));
}

TEST(SimulatedFileSystem, LockDiesWithTheMachine) {
  SimulatedFileSystem fs;
  auto lock = fs.try_lock("/lock");
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(fs.try_lock("/lock").error().code(), ErrorCode::kUnavailable);
  fs.restart(CrashPolicy::kDropUnsynced);
  auto again = fs.try_lock("/lock");
  EXPECT_TRUE(again.ok());
  lock->reset();
  EXPECT_FALSE(fs.try_lock("/lock").ok()) << "a dead lock must not release a live one";
}

// Runs `replace` against a crash at every operation under every policy; the file must hold old or
// new, whole.
template <typename Replace>
int count_bad_states(Replace replace) {
  int bad = 0;
  const std::string old_text(3000, 'o');
  const std::string new_text(5000, 'n');
  for (std::uint64_t crash_at = 0; crash_at < 8; ++crash_at) {
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
      SimulatedFileSystem fs;
      EXPECT_TRUE(write_file_atomic(fs, "/f", as_bytes_view(old_text), 0600).ok());
      fs.crash_after(crash_at);
      const bool acknowledged = replace(fs, as_bytes_view(new_text)).ok();
      fs.restart(seed == 0   ? CrashPolicy::kDropUnsynced
                 : seed == 1 ? CrashPolicy::kKeepAll
                             : CrashPolicy::kRandom,
                 seed);
      const std::string now = read_text(fs, "/f");
      if (now != new_text && (acknowledged || now != old_text)) ++bad;
    }
  }
  return bad;
}

TEST(WriteFileAtomic, SurvivesACrashAtEveryOperation) {
  EXPECT_EQ(count_bad_states([](FileSystem& fs, ByteView bytes) {
              return write_file_atomic(fs, "/f", bytes, 0600);
            }),
            0);
}

// The harness itself: writers with one step left out must be caught.
TEST(WriteFileAtomic, MutantsWithoutSyncAreCaught) {
  EXPECT_GT(count_bad_states([](FileSystem& fs, ByteView bytes) -> Status {
              HF_TRY_ASSIGN(auto file, fs.create_exclusive("/f.tmp", 0600));
              HF_TRY(file->write_all(bytes));
              HF_TRY(fs.rename("/f.tmp", "/f"));
              return fs.sync_dir("/");
            }),
            0);
  EXPECT_GT(count_bad_states([](FileSystem& fs, ByteView bytes) -> Status {
              HF_TRY_ASSIGN(auto file, fs.create_exclusive("/f.tmp", 0600));
              HF_TRY(file->write_all(bytes));
              HF_TRY(file->sync());
              return fs.rename("/f.tmp", "/f");
            }),
            0);
  EXPECT_GT(count_bad_states([](FileSystem& fs, ByteView bytes) -> Status {
              HF_TRY(fs.remove("/f"));
              HF_TRY_ASSIGN(auto file, fs.create_exclusive("/f", 0600));
              HF_TRY(file->write_all(bytes));
              HF_TRY(file->sync());
              return fs.sync_dir("/");
            }),
            0);
}

TEST(SimulatedFileSystem, FlippedByte) {
  SimulatedFileSystem fs;
  ASSERT_TRUE(write_file_atomic(fs, "/f", as_bytes_view("AB"), 0600).ok());
  ASSERT_TRUE(fs.corrupt_byte("/f", 1, 0x01).ok());
  EXPECT_EQ(read_text(fs, "/f"), "AC");
  fs.restart(CrashPolicy::kDropUnsynced);
  EXPECT_EQ(read_text(fs, "/f"), "AC");
  EXPECT_FALSE(fs.corrupt_byte("/f", 2, 1).ok());
}

}  // namespace
}  // namespace holdfast::platform::testing
