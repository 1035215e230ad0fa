#include "holdfast/platform/disk_probe.h"

#include <gtest/gtest.h>

#include "temporary_directory.h"

namespace holdfast::platform {
namespace {

class DiskProbe : public ::testing::Test {
 protected:
  File file_of(std::uint64_t bytes) {
    auto file = File::create(directory_.path() + "/file", 0600);
    EXPECT_TRUE(file.ok());
    const Bytes piece(std::size_t{1} << 20, std::byte{7});
    for (std::uint64_t at = 0; at < bytes; at += piece.size())
      EXPECT_TRUE(
          file->write_all(ByteView(piece).first(std::min<std::uint64_t>(piece.size(), bytes - at)))
              .ok());
    EXPECT_TRUE(file->sync().ok());
    return std::move(*file);
  }
  TemporaryDirectory directory_;
};

TEST_F(DiskProbe, ReadsAFile) {
  const auto rate = measure_disk_read(file_of(kDiskProbeBytesMin));
  ASSERT_TRUE(rate.ok()) << rate.error().to_string();
  ASSERT_TRUE(*rate);
  EXPECT_GT(**rate, 0.0);
}

TEST_F(DiskProbe, SmallFilesSayNothing) {
  const auto rate = measure_disk_read(file_of(kDiskProbeBytesMin - 1));
  ASSERT_TRUE(rate.ok());
  EXPECT_FALSE(*rate);
}

}  // namespace
}  // namespace holdfast::platform
