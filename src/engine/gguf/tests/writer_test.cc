// Oracles: the parser, which is tested against other writers; and the golden files, which other
// programs wrote with the same layout, byte for byte.
#include "holdfast/gguf/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <limits>

#include "holdfast/platform/file.h"
#include "test_file.h"

namespace holdfast::gguf {
namespace {

using ::testing::HasSubstr;

class WriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/holdfast-writer-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    reset();
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  void reset() {
    out_ = std::make_unique<platform::File>(
        platform::File::create_or_replace(dir_ + "/out.gguf", 0600).value());
  }
  Bytes written() { return platform::read_all(*out_, 1u << 30).value(); }

  static GgufFile parsed(const Bytes& bytes) {
    const platform::MemorySource source{ByteView(bytes)};
    const platform::ByteSource* const parts[] = {&source};
    auto file = parse(parts);
    EXPECT_TRUE(file.ok()) << file.error().to_string();
    return *std::move(file);
  }
  static std::vector<MetadataEntry> entries(const GgufFile& file) {
    std::vector<MetadataEntry> out;
    for (std::size_t i = 0; i < file.metadata.size(); ++i) {
      out.push_back({file.metadata.key(i), file.metadata.find(file.metadata.key(i))});
    }
    return out;
  }
  static std::vector<PlannedTensor> tensors(const GgufFile& file) {
    std::vector<PlannedTensor> out;
    for (const TensorInfo& t : file.tensors) out.push_back({t.name, t.type, t.n_dims, t.dims});
    return out;
  }
  // Writes what was parsed from `bytes` once more, in pieces of `piece` bytes.
  Bytes rewritten(const Bytes& bytes, std::size_t piece) {
    reset();
    const GgufFile file = parsed(bytes);
    auto writer = Writer::begin(*out_, entries(file), tensors(file));
    EXPECT_TRUE(writer.ok()) << writer.error().to_string();
    for (const TensorInfo& t : file.tensors) {
      for (std::uint64_t at = 0; at < t.bytes; at += piece) {
        const std::uint64_t n = std::min<std::uint64_t>(piece, t.bytes - at);
        EXPECT_TRUE(writer->append(ByteView(bytes).subspan(t.offset + at, n)).ok());
      }
    }
    EXPECT_TRUE(writer->finish().ok());
    EXPECT_EQ(writer->bytes_written(), written().size());
    return written();
  }
  Status begin(const std::vector<MetadataEntry>& metadata, std::vector<PlannedTensor> planned) {
    reset();
    const auto writer = Writer::begin(*out_, metadata, std::move(planned));
    return writer.ok() ? ok_status() : Status(writer.error());
  }
  void expect_refused(const std::vector<MetadataEntry>& metadata,
                      std::vector<PlannedTensor> planned, std::string_view message) {
    const Status status = begin(metadata, std::move(planned));
    ASSERT_FALSE(status.ok()) << message;
    EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(status.error().client_message(), HasSubstr(std::string(message)));
    EXPECT_TRUE(written().empty());
  }

  std::string dir_;
  std::unique_ptr<platform::File> out_;
};

TEST_F(WriterTest, KeepsEveryValueType) {
  const Bytes source = testing::small_file().build();
  const Bytes copy = rewritten(source, 7);
  EXPECT_EQ(ByteView(copy).size() % 32, 0u);
  const GgufFile a = parsed(source);
  const GgufFile b = parsed(copy);
  ASSERT_EQ(a.metadata.size(), b.metadata.size());
  // Header and tensors are the same to the byte; what lies between tensors is zero now.
  ASSERT_GE(copy.size(), source.size());
  const auto same = [&](std::uint64_t at, std::uint64_t bytes) {
    return std::ranges::equal(ByteView(source).subspan(at, bytes),
                              ByteView(copy).subspan(at, bytes));
  };
  EXPECT_TRUE(same(0, a.tensors.front().offset));
  for (std::size_t i = 0; i < a.tensors.size(); ++i) {
    ASSERT_EQ(a.tensors[i].offset, b.tensors[i].offset);
    EXPECT_TRUE(same(a.tensors[i].offset, a.tensors[i].bytes)) << a.tensors[i].name;
  }
}

TEST_F(WriterTest, RewritesTheGoldenFilesByteForByte) {
  const std::string dir = HOLDFAST_SOURCE_DIR "/tests/golden/tiny";
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    if (entry.path().extension() != ".gguf") continue;
    const auto file = platform::File::open_read(entry.path());
    ASSERT_TRUE(file.ok());
    const Bytes source = *platform::read_all(*file, 1u << 30);
    Bytes copy = rewritten(source, 1u << 20);
    copy.resize(std::min(copy.size(), source.size()));
    EXPECT_EQ(copy, source) << entry.path();
    ++files;
  }
  EXPECT_GT(files, 10);
}

TEST_F(WriterTest, HonoursTheAlignment) {
  testing::TestFile f;
  f.u32("general.alignment", 512);
  f.alignment = 512;
  f.tensors = {{"a", {1}, 0, 0}, {"b", {1}, 0, 512}};
  f.data_bytes = 1024;
  const GgufFile b = parsed(rewritten(f.build(), 4));
  EXPECT_EQ(b.tensors[1].offset - b.tensors[0].offset, 512u);
}

TEST_F(WriterTest, RefusesWhatTheParserWould) {
  const Value one = make_u32(1);
  const Value three = make_u32(3);
  const PlannedTensor fine{"a", quant::TensorType::kF32, 1, {4, 1, 1, 1}};
  EXPECT_TRUE(begin({{"k", &one}}, {fine}).ok());
  EXPECT_TRUE(begin({}, {}).ok());
  expect_refused({{"k", &one}, {"k", &one}}, {}, "key k twice");
  expect_refused({{"", &one}}, {}, "a metadata key");
  expect_refused({{"a\nb", &one}}, {}, "a metadata key");
  expect_refused({{"\xff", &one}}, {}, "a metadata key");
  const std::string long_key(65536, 'k');
  expect_refused({{long_key, &one}}, {}, "a metadata key");
  expect_refused({{"general.alignment", &three}}, {}, "alignment");
  expect_refused({}, {fine, fine}, "name a");
  const auto with = [&](auto change) {
    PlannedTensor t = fine;
    change(t);
    return std::vector<PlannedTensor>{t};
  };
  expect_refused({}, with([](auto& t) { t.name = ""; }), "a tensor name");
  expect_refused({}, with([](auto& t) { t.name = std::string(256, 'a'); }), "a tensor name");
  expect_refused({}, with([](auto& t) { t.n_dims = 0; }), "no shape");
  expect_refused({}, with([](auto& t) { t.n_dims = 5; }), "no shape");
  expect_refused({}, with([](auto& t) { t.dims[0] = 0; }), "size");
  expect_refused({}, with([](auto& t) { t.type = quant::TensorType::kQ4_0; }), "");
  expect_refused({}, with([](auto& t) {
                   t.n_dims = 3;
                   t.dims = {4, 1ull << 40, 1ull << 40, 1};
                 }),
                 "too large");
  expect_refused({}, with([](auto& t) { t.dims[0] = 1ull << 61; }), "too large");
  const std::vector<PlannedTensor> many(65537, fine);
  expect_refused({}, many, "too many tensors");
}

TEST_F(WriterTest, KnowsThatATensorIsMissing) {
  const PlannedTensor t{"a", quant::TensorType::kF32, 1, {4, 1, 1, 1}};
  auto writer = Writer::begin(*out_, {}, {t});
  ASSERT_TRUE(writer.ok());
  EXPECT_EQ(writer->tensor_bytes(0), 16u);
  EXPECT_EQ(writer->finish().error().code(), ErrorCode::kInternal);
  ASSERT_TRUE(writer->append(Bytes(15)).ok());
  EXPECT_EQ(writer->finish().error().code(), ErrorCode::kInternal);
  ASSERT_TRUE(writer->append(Bytes(1)).ok());
  EXPECT_TRUE(writer->finish().ok());
}

TEST_F(WriterTest, ReportsAFullDisk) {
  auto full = platform::File::from_fd(platform::UniqueFd(-1));
  ASSERT_FALSE(full.ok());
  // A read-only descriptor refuses every write.
  auto readonly = platform::File::open_read(dir_ + "/out.gguf");
  ASSERT_TRUE(readonly.ok());
  EXPECT_FALSE(Writer::begin(*readonly, {}, {}).ok());
}

}  // namespace
}  // namespace holdfast::gguf
