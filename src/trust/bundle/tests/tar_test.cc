// Oracle: the format (POSIX.1-2017, ustar); Python's tarfile reads the same archives in
// tests/bundle.
#include "holdfast/bundle/tar.h"

#include "archive_files.h"

namespace holdfast::bundle {
namespace {

using testing::bytes_of;
using testing::tar_of;

bool any(std::string_view name) { return name == "a" || name == "b" || name == "dir/"; }

ErrorCode code_of(const Bytes& archive) {
  const platform::MemorySource source{ByteView(archive)};
  const auto entries = read_tar(source, any, 8);
  return entries.ok() ? ErrorCode::kInternal : entries.error().code();
}

bool opens(const Bytes& archive) {
  const platform::MemorySource source{ByteView(archive)};
  return read_tar(source, any, 8).ok();
}

// Sets a field of the first header and its checksum.
Bytes with_field(Bytes archive, std::size_t at, std::string_view text) {
  std::ranges::copy(as_bytes_view(text), archive.begin() + static_cast<std::ptrdiff_t>(at));
  for (std::size_t i = 148; i < 156; ++i) archive[i] = std::byte{' '};
  unsigned sum = 0;
  for (std::size_t i = 0; i < kTarBlockBytes; ++i) sum += std::to_integer<unsigned>(archive[i]);
  for (std::size_t i = 6; i-- > 0; sum /= 8)
    archive[148 + i] = static_cast<std::byte>('0' + sum % 8);
  archive[154] = std::byte{0};
  return archive;
}

TEST(Tar, FindsWhatWasWritten) {
  const Bytes archive = tar_of({{"a", bytes_of("one")}, {"b", Bytes(1024, std::byte{7})}});
  const platform::MemorySource source{ByteView(archive)};
  const auto entries = read_tar(source, any, 2);
  ASSERT_TRUE(entries.ok()) << entries.error().to_string();
  ASSERT_EQ(entries->size(), 2u);
  EXPECT_EQ((*entries)[0].offset, 512u);
  EXPECT_EQ((*entries)[0].size, 3u);
  EXPECT_EQ((*entries)[1].offset, 1536u);
  EXPECT_EQ(archive.size(), 512u + 512 + 512 + 1024 + 1024);
  EXPECT_TRUE(looks_like_tar(source));
  EXPECT_EQ(tar_of({{"a", bytes_of("one")}, {"b", Bytes(1024, std::byte{7})}}), archive);
}

TEST(Tar, EveryChangedBitOfAHeaderOrOfPaddingIsSeen) {
  const Bytes archive = tar_of({{"a", bytes_of("one")}});
  for (std::size_t at = 0; at < archive.size(); ++at) {
    if (at >= 512 && at < 515) continue;  // content: its digest is the caller's business
    for (int bit = 0; bit < 8; ++bit) {
      Bytes changed = archive;
      changed[at] ^= static_cast<std::byte>(1 << bit);
      EXPECT_FALSE(opens(changed)) << "byte " << at << " bit " << bit;
    }
  }
}

TEST(Tar, EveryTruncationIsSeen) {
  const Bytes archive = tar_of({{"a", bytes_of("one")}, {"b", Bytes(700)}});
  for (std::size_t n = 0; n < archive.size(); ++n)
    EXPECT_FALSE(opens(Bytes(archive.begin(), archive.begin() + static_cast<std::ptrdiff_t>(n))))
        << n;
}

TEST(Tar, RefusesWhatIsNoFile) {
  const Bytes good = tar_of({{"a", bytes_of("one")}});
  ASSERT_TRUE(opens(with_field(good, 100, "0000600")));
  for (const char* type : {"1", "2", "3", "4", "6", "7", "x", "g", "L", "K", "S"})
    EXPECT_EQ(code_of(with_field(good, 156, type)), ErrorCode::kUnsupported) << type;
  EXPECT_EQ(code_of(with_field(good, 157, "b")), ErrorCode::kCorrupt) << "a link's target";
  EXPECT_EQ(code_of(with_field(good, 345, "b")), ErrorCode::kCorrupt) << "a name's prefix";
  EXPECT_EQ(code_of(with_field(good, 0, "c")), ErrorCode::kCorrupt) << "another name";
  EXPECT_EQ(code_of(with_field(good, 124, "77777777777")), ErrorCode::kCorrupt) << "beyond the end";
  const std::string huge{"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 12};
  EXPECT_EQ(code_of(with_field(good, 124, huge)), ErrorCode::kCorrupt) << "beyond 64 bits";
  EXPECT_EQ(code_of(tar_of({{"a", {}}, {"a", {}}})), ErrorCode::kCorrupt) << "twice";
}

TEST(Tar, FoldersOfAllowedNamesArePassedOver) {
  Bytes archive = tar_of({{"dir/", {}}, {"a", bytes_of("x")}});
  EXPECT_FALSE(opens(archive)) << "a file with a folder's name";
  archive = with_field(tar_of({{"dir", {}}, {"a", bytes_of("x")}}), 156, "5");
  EXPECT_TRUE(opens(archive));
  EXPECT_FALSE(opens(with_field(tar_of({{"etc", {}}, {"a", bytes_of("x")}}), 156, "5")));
}

TEST(Tar, TooManyEntriesAreRefused) {
  std::vector<std::pair<std::string, Bytes>> entries;
  for (int i = 0; i < 9; ++i) entries.emplace_back("n" + std::to_string(i), Bytes());
  const Bytes archive = tar_of(entries);
  const platform::MemorySource source{ByteView(archive)};
  const auto all = [](std::string_view) { return true; };
  EXPECT_TRUE(read_tar(source, all, 9).ok());
  EXPECT_EQ(read_tar(source, all, 8).error().code(), ErrorCode::kExhausted);
}

}  // namespace
}  // namespace holdfast::bundle
