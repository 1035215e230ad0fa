// Oracle: the simulated disk, which loses what was not synced and runs full on command.
#include "holdfast/platform/atomic_file.h"

#include <gtest/gtest.h>

#include "holdfast/platform/testing/simulated_filesystem.h"

namespace holdfast::platform {
namespace {

using testing::CrashPolicy;
using testing::SimulatedFileSystem;
using Existing = AtomicFile::Existing;

class AtomicFileTest : public ::testing::Test {
 protected:
  Result<AtomicFile> create(Existing existing = Existing::kRefuse) {
    return AtomicFile::create(fs_, "/out", existing, 0600);
  }
  Status write(std::string_view text, Existing existing = Existing::kRefuse) {
    HF_TRY_ASSIGN(AtomicFile file, create(existing));
    HF_TRY(file.file().write_all(as_bytes_view(text)));
    return file.commit();
  }
  std::string content() {
    const auto bytes = read_file(fs_, "/out", 1 << 20);
    return bytes.ok() ? std::string(as_string_view(*bytes)) : "(none)";
  }
  std::size_t files() { return fs_.list("/")->size(); }

  SimulatedFileSystem fs_;
};

TEST_F(AtomicFileTest, AppearsWholeAndDurable) {
  ASSERT_TRUE(write("content").ok());
  EXPECT_EQ(files(), 1u);
  fs_.restart(CrashPolicy::kDropUnsynced);
  EXPECT_EQ(content(), "content");
}

TEST_F(AtomicFileTest, LeavesNothingWithoutCommit) {
  {
    auto file = create();
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->file().write_all(as_bytes_view("x")).ok());
    EXPECT_EQ(content(), "(none)");
    EXPECT_EQ(files(), 1u);
    const AtomicFile moved = std::move(*file);
    EXPECT_EQ(files(), 1u);
  }
  EXPECT_EQ(files(), 0u);
}

TEST_F(AtomicFileTest, ReplacesOnlyWhenAsked) {
  ASSERT_TRUE(write("old").ok());
  EXPECT_EQ(create().error().code(), ErrorCode::kConflict);
  EXPECT_EQ(content(), "old");
  ASSERT_TRUE(write("new", Existing::kReplace).ok());
  EXPECT_EQ(content(), "new");
  // A name that was taken in the meantime is not overwritten.
  ASSERT_TRUE(fs_.remove("/out").ok());
  auto slow = create();
  ASSERT_TRUE(slow.ok());
  ASSERT_TRUE(write("fast").ok());
  EXPECT_EQ(slow->commit().error().code(), ErrorCode::kConflict);
  EXPECT_EQ(content(), "fast");
  ASSERT_TRUE(fs_.make_dirs("/folder", 0700).ok());
  EXPECT_EQ(AtomicFile::create(fs_, "/folder", Existing::kReplace, 0600).error().code(),
            ErrorCode::kInvalidArgument);
}

TEST_F(AtomicFileTest, FullDiskKeepsWhatWasThere) {
  ASSERT_TRUE(write("old").ok());
  fs_.set_capacity_bytes(8);
  EXPECT_EQ(write("much too long", Existing::kReplace).error().code(), ErrorCode::kExhausted);
  EXPECT_EQ(content(), "old");
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, CrashBeforeTheEndKeepsWhatWasThere) {
  ASSERT_TRUE(write("old").ok());
  {
    auto file = create(Existing::kReplace);
    ASSERT_TRUE(file->file().write_all(as_bytes_view("new")).ok());
    fs_.restart(CrashPolicy::kDropUnsynced);
  }
  EXPECT_EQ(content(), "old");
}

}  // namespace
}  // namespace holdfast::platform
