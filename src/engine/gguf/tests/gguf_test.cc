// Oracles: the independent writer of test_file.h, the format's own arithmetic, and golden files
// made by other programs.
#include "holdfast/gguf/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <filesystem>
#include <limits>

#include "allocation_meter.h"
#include "holdfast/platform/file.h"
#include "test_file.h"

namespace holdfast::gguf {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::largest_allocation;
using testing::small_file;
using testing::TestFile;

Result<GgufFile> parse_bytes(const Bytes& bytes, const Limits& limits = {}) {
  const platform::MemorySource source{ByteView(bytes)};
  const platform::ByteSource* const parts[] = {&source};
  return parse(parts, limits);
}

Result<GgufFile> parse_parts(const std::vector<Bytes>& files) {
  std::vector<std::unique_ptr<platform::MemorySource>> sources;
  std::vector<const platform::ByteSource*> parts;
  for (const Bytes& f : files) {
    sources.push_back(std::make_unique<platform::MemorySource>(ByteView(f)));
    parts.push_back(sources.back().get());
  }
  return parse(parts);
}

void expect_error(const Result<GgufFile>& result, ErrorCode code, std::string_view message) {
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(error_code_name(result.error().code()), error_code_name(code))
      << result.error().to_string();
  EXPECT_THAT(result.error().client_message(), HasSubstr(std::string(message)));
}

TEST(Gguf, ReadsEveryValueType) {
  const auto file = parse_bytes(small_file().build());
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  const Metadata& m = file->metadata;
  EXPECT_EQ(file->version, 3u);
  EXPECT_EQ(*m.get_string("general.architecture"), "llama");
  EXPECT_EQ(*m.get_u32("t.u8"), 200u);
  EXPECT_EQ(*m.get_i32("t.i8"), -5);
  EXPECT_EQ(*m.get_u32("t.u16"), 60000u);
  EXPECT_EQ(*m.get_i64("t.i16"), -30000);
  EXPECT_EQ(*m.get_u32("t.u32"), 4000000000u);
  EXPECT_EQ(*m.get_i32("t.i32"), -7);
  EXPECT_EQ(*m.get_f32("t.f32"), 1.5f);
  EXPECT_TRUE(*m.get_bool("t.bool"));
  EXPECT_EQ(*m.get_u64("t.u64"), 1ull << 40);
  EXPECT_EQ(*m.get_i64("t.i64"), -(1ll << 40));
  EXPECT_EQ(*m.get_f32("t.f64"), 0.25f);
  EXPECT_THAT(*m.get_i32_array("t.i32s"), ElementsAre(1, -2, 3));
  EXPECT_THAT(*m.get_f32_array("t.f32s"), ElementsAre(0.5f, -1.0f));
  EXPECT_THAT(*m.get_bool_array("t.bools"), ElementsAre(false, true));
  EXPECT_THAT(**m.get_strings("t.texts"), ElementsAre("a", "", "\xff\xfe", std::string(300, 'x')));
  EXPECT_EQ(m.key(0), "general.architecture");
  EXPECT_EQ(m.array_size("t.texts"), 4u);
}

TEST(Gguf, PlacesTensors) {
  const TestFile f = small_file();
  const auto file = parse_bytes(f.build());
  ASSERT_TRUE(file.ok());
  const std::uint64_t data = (f.header().size() + 31) / 32 * 32;
  const TensorInfo* a = file->find_tensor("a.weight");
  const TensorInfo* b = file->find_tensor("b.weight");
  ASSERT_TRUE(a != nullptr && b != nullptr);
  EXPECT_EQ(a->offset, data);
  EXPECT_EQ(a->bytes, 3u * 2 * 18);
  EXPECT_EQ(a->rows(), 3u);
  EXPECT_EQ(a->columns(), 64u);
  EXPECT_EQ(b->offset, data + 128);
  EXPECT_EQ(b->bytes, 20u);
  EXPECT_EQ(b->n_dims, 1);
  EXPECT_EQ(file->find_tensor("c.weight"), nullptr);
}

TEST(Gguf, TellsMissingFromWrongTypeFromOutOfRange) {
  const auto file = parse_bytes(small_file().build());
  ASSERT_TRUE(file.ok());
  const Metadata& m = file->metadata;
  EXPECT_THAT(m.get_u32("nope").error().client_message(), HasSubstr("lacks the key nope"));
  EXPECT_FALSE(m.find_u32("nope")->has_value());
  EXPECT_EQ(*m.find_strings("nope"), nullptr);
  EXPECT_THAT(m.get_u32("t.f32").error().client_message(), HasSubstr("of type f32, expected u32"));
  EXPECT_THAT(m.find_u32("t.bool").error().client_message(), HasSubstr("of type bool"));
  EXPECT_THAT(m.get_f32("t.u32").error().client_message(), HasSubstr("expected float"));
  EXPECT_THAT(m.get_string("t.texts").error().client_message(), HasSubstr("of type array"));
  EXPECT_THAT(m.get_strings("t.i32s").error().client_message(), HasSubstr("array of string"));
  EXPECT_THAT(m.get_i32_array("t.bools").error().client_message(), HasSubstr("array of i32"));
  EXPECT_THAT(m.get_u32("t.i32").error().client_message(), HasSubstr("out of range for u32"));
  EXPECT_THAT(m.get_i32("t.u32").error().client_message(), HasSubstr("out of range for i32"));
  EXPECT_THAT(m.get_u32_array("t.i32s").error().client_message(), HasSubstr("out of range"));
}

TEST(Gguf, RefusesNonFiniteScalars) {
  TestFile f;
  f.scalar<float>("x", 6, std::numeric_limits<float>::quiet_NaN());
  f.scalar<double>("y", 12, 1e300);
  const auto file = parse_bytes(f.build());
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->metadata.get_f32("x").error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(file->metadata.get_f32("y").error().code(), ErrorCode::kCorrupt);
}

TEST(Gguf, ReadsVersion2) {
  TestFile f = small_file();
  f.version = 2;
  EXPECT_EQ(parse_bytes(f.build())->version, 2u);
}

TEST(Gguf, RefusesOtherFiles) {
  TestFile f = small_file();
  for (const std::uint32_t version : {0u, 1u, 4u, 0xffffffffu}) {
    f.version = version;
    expect_error(parse_bytes(f.build()), ErrorCode::kUnsupported,
                 "GGUF version " + std::to_string(version));
  }
  f.version = 0x03000000;
  expect_error(parse_bytes(f.build()), ErrorCode::kUnsupported, "big-endian");
  f.version = 3;
  f.magic = 0x04034b50;
  expect_error(parse_bytes(f.build()), ErrorCode::kInvalidArgument, "not a GGUF file");
  expect_error(parse_bytes({}), ErrorCode::kInvalidArgument, "not a GGUF file");
}

TEST(Gguf, RefusesEveryTruncation) {
  const Bytes whole = small_file().build();
  ASSERT_TRUE(parse_bytes(whole).ok());
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const auto file = parse_bytes(Bytes(whole.begin(), whole.begin() + static_cast<long>(n)));
    ASSERT_FALSE(file.ok()) << "truncated at " << n;
    ASSERT_EQ(file.error().code(), n < 4 ? ErrorCode::kInvalidArgument : ErrorCode::kCorrupt) << n;
  }
}

// A flipped byte may leave a valid file (another name, another value); it must never do more than
// that.
TEST(Gguf, SurvivesEveryFlippedHeaderByte) {
  const TestFile f = small_file();
  Bytes bytes = f.build();
  const std::size_t header = f.header().size();
  for (std::size_t at = 0; at < header; ++at) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      bytes[at] ^= static_cast<std::byte>(flip);
      const auto file = parse_bytes(bytes);
      bytes[at] ^= static_cast<std::byte>(flip);
      if (!file.ok()) continue;
      for (const TensorInfo& t : file->tensors) ASSERT_LE(t.offset + t.bytes, bytes.size());
    }
  }
}

// The first bytes are all structure: each of these flips is noticed.
TEST(Gguf, NoticesEveryFlipInTheFixedHeader) {
  Bytes bytes = small_file().build();
  for (std::size_t at = 0; at < 24; ++at) {
    bytes[at] ^= std::byte{0x40};
    EXPECT_FALSE(parse_bytes(bytes).ok()) << at;
    bytes[at] ^= std::byte{0x40};
  }
}

class HostileCount : public ::testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Gguf, HostileCount,
                         ::testing::Values(2048, 65537, 1ull << 24, 1ull << 32, 1ull << 34,
                                           1ull << 60, 1ull << 61, 1ull << 63, ~0ull, ~0ull / 4,
                                           ~0ull - 7));

TEST_P(HostileCount, AllocatesNothing) {
  const std::uint64_t count = GetParam();
  std::vector<TestFile> files(6);
  files[0].n_metadata_extra = count;
  files[1].n_tensors_extra = count;
  files[2].claim("x", 8, count);
  files[3].claim("x", 0, count);
  files[4].claim("x", 12, count);
  files[5].raw("x", 8, std::move(ByteWriter().le<std::uint64_t>(count)).take());
  for (const TestFile& f : files) {
    Bytes bytes = f.build();
    bytes.resize(1024);
    largest_allocation = 0;
    const auto file = parse_bytes(bytes);
    EXPECT_LE(largest_allocation, bytes.size());
    ASSERT_FALSE(file.ok());
    EXPECT_EQ(file.error().code(), ErrorCode::kCorrupt);
  }
}

TEST(Gguf, KeepsItsLimits) {
  Limits limits;
  limits.metadata_count_max = 2;
  limits.tensors_max = 1;
  limits.string_bytes_max = 4;
  limits.array_elements_max = 3;
  limits.key_bytes_max = 8;
  TestFile at;
  at.text("12345678", "1234").numbers<float>("n", 6, {1, 2, 3});
  at.tensors = {{"a", {1}, 0, 0}};
  at.data_bytes = 4;
  EXPECT_TRUE(parse_bytes(at.build(), limits).ok());
  TestFile over = at;
  over.u32("k", 1);
  expect_error(parse_bytes(over.build(), limits), ErrorCode::kCorrupt, "3 metadata entries");
  over = at;
  over.tensors.push_back({"b", {1}, 0, 32});
  expect_error(parse_bytes(over.build(), limits), ErrorCode::kCorrupt, "2 tensors");
  over = TestFile();
  over.text("k", "12345");
  expect_error(parse_bytes(over.build(), limits), ErrorCode::kCorrupt, "5 bytes");
  over = TestFile();
  over.numbers<float>("k", 6, {1, 2, 3, 4});
  expect_error(parse_bytes(over.build(), limits), ErrorCode::kCorrupt, "4 elements");
  over = TestFile();
  over.u32("123456789", 1);
  expect_error(parse_bytes(over.build(), limits), ErrorCode::kCorrupt, "key of 9 bytes");
  limits.metadata_bytes_max = 60;
  expect_error(parse_bytes(at.build(), limits), ErrorCode::kCorrupt, "larger than the limit");
}

TEST(Gguf, RefusesBadMetadata) {
  expect_error(parse_bytes(TestFile().u32("k", 1).u32("k", 1).build()), ErrorCode::kCorrupt,
               "key k appears twice");
  expect_error(parse_bytes(TestFile().u32("", 1).build()), ErrorCode::kCorrupt, "key of 0 bytes");
  expect_error(parse_bytes(TestFile().u32("a\nb", 1).build()), ErrorCode::kCorrupt, "printable");
  expect_error(parse_bytes(TestFile().u32("\xff", 1).build()), ErrorCode::kCorrupt, "printable");
  expect_error(parse_bytes(TestFile().scalar<std::uint8_t>("k", 7, 2).build()), ErrorCode::kCorrupt,
               "boolean");
  expect_error(parse_bytes(TestFile().numbers<std::uint8_t>("k", 7, {1, 2}).build()),
               ErrorCode::kCorrupt, "boolean");
  expect_error(parse_bytes(TestFile().u32("k", 1).scalar<std::uint32_t>("j", 13, 0).build()),
               ErrorCode::kCorrupt, "value type 13");
  expect_error(parse_bytes(TestFile().claim("k", 9, 1).build()), ErrorCode::kCorrupt,
               "array of arrays");
  for (const std::uint32_t alignment : {0u, 3u, 48u, (1u << 20) + 1, 1u << 21, 1u << 31}) {
    expect_error(parse_bytes(TestFile().u32("general.alignment", alignment).build()),
                 ErrorCode::kCorrupt, "alignment");
  }
}

TEST(Gguf, HonoursAlignment) {
  TestFile f;
  f.u32("general.alignment", 512);
  f.alignment = 512;
  f.tensors = {{"a", {1}, 0, 0}, {"b", {1}, 0, 512}};
  f.data_bytes = 516;
  const auto file = parse_bytes(f.build());
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->tensors[1].offset, 1024u);
  f.tensors[1].offset = 32;
  expect_error(parse_bytes(f.build()), ErrorCode::kCorrupt, "not a multiple of 512");
}

TEST(Gguf, RefusesBadTensors) {
  const auto with = [](std::vector<TestFile::Tensor> tensors, std::uint64_t data_bytes = 4096) {
    TestFile f;
    f.tensors = std::move(tensors);
    f.data_bytes = data_bytes;
    return parse_bytes(f.build());
  };
  EXPECT_TRUE(with({{"a", {2, 2, 2, 2}, 0, 0}}).ok());
  expect_error(with({{"a", {}, 0, 0}}), ErrorCode::kCorrupt, "0 dimensions");
  expect_error(with({{"a", {1, 1, 1, 1, 1}, 0, 0}}), ErrorCode::kCorrupt, "5 dimensions");
  expect_error(with({{"a", {4, 0}, 0, 0}}), ErrorCode::kCorrupt, "empty dimension");
  for (const std::uint32_t type :
       {4u, 5u, 31u, 33u, 36u, 41u, 0x7fffu, 0x8000u, 0x8001u, 0x10000u}) {
    expect_error(with({{"a", {256}, type, 0}}), ErrorCode::kUnsupported,
                 "unsupported tensor type " + std::to_string(type));
  }
  expect_error(with({{"a", {33}, 2, 0}}), ErrorCode::kCorrupt, "blocks of 32");
  expect_error(with({{"a", {128}, 12, 0}}), ErrorCode::kCorrupt, "blocks of 256");
  expect_error(with({{"a", {1ull << 32, 1ull << 31}, 0, 0}}), ErrorCode::kCorrupt, "too large");
  expect_error(with({{"a", {1ull << 32, 1ull << 32}, 0, 0}}), ErrorCode::kCorrupt, "too large");
  expect_error(with({{"a", {1ull << 61}, 0, 0}}), ErrorCode::kCorrupt, "beyond its end");
  expect_error(with({{"a", {1ull << 62}, 0, 0}}), ErrorCode::kCorrupt, "too large");
  expect_error(with({{"a", {1025}, 0, 0}}), ErrorCode::kCorrupt, "tensor a lies beyond its end");
  expect_error(with({{"a", {1}, 0, 4096}}), ErrorCode::kCorrupt, "beyond its end");
  expect_error(with({{"a", {1}, 0, ~0ull - 31}}), ErrorCode::kCorrupt, "beyond its end");
  expect_error(with({{"a", {1}, 0, 4}}), ErrorCode::kCorrupt, "multiple of 32");
  expect_error(with({{"a", {9}, 0, 0}, {"b", {1}, 0, 32}}), ErrorCode::kCorrupt, "a and b overlap");
  expect_error(with({{"a", {1}, 0, 32}, {"b", {9}, 0, 0}}), ErrorCode::kCorrupt, "overlap");
  expect_error(with({{"a", {1}, 0, 0}, {"a", {1}, 0, 32}}), ErrorCode::kCorrupt, "name a");
  expect_error(with({{std::string(256, 'a'), {1}, 0, 0}}), ErrorCode::kCorrupt, "256 bytes");
  expect_error(with({{"", {1}, 0, 0}}), ErrorCode::kCorrupt, "0 bytes");
}

TestFile split_part(std::uint16_t number, std::uint16_t count, std::int32_t n_tensors) {
  TestFile f;
  if (number == 0) f.text("general.architecture", "llama");
  f.scalar<std::uint16_t>("split.no", 2, number).scalar<std::uint16_t>("split.count", 2, count);
  f.scalar<std::int32_t>("split.tensors.count", 5, n_tensors);
  f.tensors = {{"t" + std::to_string(number), {4}, 0, 0}};
  f.data_bytes = 16;
  return f;
}

TEST(Gguf, JoinsSplitFiles) {
  const std::vector<Bytes> files = {split_part(0, 3, 3).build(), split_part(1, 3, 3).build(),
                                    split_part(2, 3, 3).build()};
  const auto file = parse_parts(files);
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  ASSERT_EQ(file->tensors.size(), 3u);
  EXPECT_EQ(file->find_tensor("t2")->part, 2u);
  EXPECT_EQ(*file->metadata.get_string("general.architecture"), "llama");
  expect_error(parse_parts({files[0]}), ErrorCode::kInvalidArgument, "into 3 files, but 1");
  expect_error(parse_parts({files[0], files[2], files[1]}), ErrorCode::kInvalidArgument, "number");
  expect_error(parse_parts({files[0], files[1]}), ErrorCode::kInvalidArgument, "2 were given");
  expect_error(parse_parts({small_file().build(), small_file().build()}),
               ErrorCode::kInvalidArgument, "split into 0");
  expect_error(parse_parts({}), ErrorCode::kInvalidArgument, "0 files");
  expect_error(parse_parts({split_part(0, 2, 5).build(), split_part(1, 2, 5).build()}),
               ErrorCode::kCorrupt, "claims 5 tensors and holds 2");
  TestFile twin = split_part(1, 2, 2);
  twin.tensors[0].name = "t0";
  expect_error(parse_parts({split_part(0, 2, 2).build(), twin.build()}), ErrorCode::kCorrupt,
               "name t0");
}

TEST(Gguf, ReadsGoldenFiles) {
  const std::filesystem::path folder = HOLDFAST_SOURCE_DIR "/tests/golden/tiny";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no golden files";
  std::size_t read = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".gguf") continue;
    const auto source = platform::File::open_read(entry.path());
    ASSERT_TRUE(source.ok());
    const platform::ByteSource* const parts[] = {&*source};
    const auto file = parse(parts);
    ASSERT_TRUE(file.ok()) << entry.path() << ": " << file.error().to_string();
    EXPECT_GT(file->tensors.size(), 2u);
    EXPECT_NE(file->find_tensor("token_embd.weight"), nullptr);
    EXPECT_TRUE(file->metadata.get_string("general.architecture").ok());
    ++read;
  }
  EXPECT_GT(read, 0u);
}

}  // namespace
}  // namespace holdfast::gguf
