// Oracle: a journal that is cut or damaged anywhere says less than it did, never anything else.
#include "holdfast/fetch/journal.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace holdfast::fetch {
namespace {

class JournalTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = testing::TempDir() + "/journal-" +
           testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string path() const { return dir_ + "/j"; }
  Journal open(const JournalHead& head) {
    return std::move(Journal::open(fs_, path(), head)).value();
  }
  Bytes content() { return *platform::read_file(fs_, path(), 1 << 20); }
  void write(ByteView bytes) {
    ASSERT_TRUE(platform::write_file_atomic(fs_, path(), bytes, 0600).ok());
  }
  static crypto::Sha256Digest digest(int i) {
    return crypto::sha256(as_bytes_view(std::to_string(i)));
  }

  platform::PosixFileSystem fs_;
  std::string dir_;
  JournalHead head_{"what", 5 * kPieceBytesMin + 1, kPieceBytesMin, ""};
};

TEST_F(JournalTest, KeepsWhatWasAdded) {
  {
    Journal j = open(head_);
    ASSERT_EQ(j.pieces().size(), 6u);
    EXPECT_EQ(j.piece_size(5), 1u);
    ASSERT_TRUE(j.add(0, digest(0)).ok());
    ASSERT_TRUE(j.add(5, digest(5)).ok());
    ASSERT_TRUE(j.add(2, digest(2)).ok());
    ASSERT_TRUE(j.drop(0).ok());
    ASSERT_TRUE(j.set_etag("\"e\"").ok());
    ASSERT_TRUE(j.add(3, digest(3)).ok());
  }
  const Journal again = open(head_);
  EXPECT_EQ(again.head().etag, "\"e\"");
  EXPECT_FALSE(again.pieces()[0]);
  EXPECT_EQ(again.pieces()[2], digest(2));
  EXPECT_EQ(again.pieces()[3], digest(3));
  EXPECT_EQ(again.pieces()[5], digest(5));
}

TEST_F(JournalTest, OfAnotherDownloadIsNew) {
  {
    Journal j = open(head_);
    ASSERT_TRUE(j.add(1, digest(1)).ok());
  }
  JournalHead other = head_;
  other.identity = "else";
  EXPECT_FALSE(open(other).pieces()[1]);
  {
    Journal j = open(head_);
    ASSERT_TRUE(j.add(1, digest(1)).ok());
  }
  other = head_;
  other.size_bytes -= 1;
  EXPECT_FALSE(open(other).pieces()[1]);
}

TEST_F(JournalTest, CutAndDamagedAnywhere) {
  Bytes whole;
  {
    Journal j = open(head_);
    for (std::size_t i = 0; i < 6; ++i) ASSERT_TRUE(j.add(i, digest(static_cast<int>(i))).ok());
    whole = content();
  }
  const auto check = [&](std::size_t at) {
    const Journal j = open(head_);
    for (std::size_t i = 0; i < 6; ++i) {
      if (j.pieces()[i]) {
        EXPECT_EQ(j.pieces()[i], digest(static_cast<int>(i))) << at;
      }
    }
    return static_cast<std::size_t>(std::count_if(j.pieces().begin(), j.pieces().end(),
                                                  [](const auto& p) { return p.has_value(); }));
  };
  std::size_t most = 0;
  for (std::size_t n = 0; n < whole.size(); ++n) {
    write(ByteView(whole).first(n));
    const std::size_t there = check(n);
    EXPECT_LT(there, 6u);
    most = std::max(most, there);
  }
  EXPECT_EQ(most, 5u);
  for (std::size_t n = 0; n < whole.size(); n += 3) {
    Bytes damaged = whole;
    damaged[n] ^= std::byte{1};
    write(damaged);
    EXPECT_LT(check(n), 6u) << n;
  }
}

// P-13: all connections together have at most one shard on the way.
TEST(JournalPieces, FitIntoAShard) {
  for (unsigned parts = 1; parts <= 64; ++parts) {
    const std::uint32_t piece = piece_bytes_for(parts);
    EXPECT_LE(std::uint64_t{parts} * piece, kShardBytes) << parts;
    EXPECT_EQ(kShardBytes % piece, 0u);
    EXPECT_EQ(parts_for(piece, parts), parts);
  }
  EXPECT_EQ(parts_for(kPieceBytesMax, 64), 8u);
}

}  // namespace
}  // namespace holdfast::fetch
