// Oracles: the worked example of docs/formats/pack.md, which was computed by another
// implementation; round trips; and damage, which must always be noticed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "holdfast/platform/testing/simulated_filesystem.h"
#include "holdfast/vault/pack_reader.h"
#include "holdfast/vault/pack_writer.h"
#include "pack_content.h"

namespace holdfast::vault {
namespace {

using platform::MemorySource;
using platform::testing::SimulatedFileSystem;
using testing::bytes_of;
using testing::check_pack;
using testing::Content;
using testing::example;
using testing::f32_bytes;
using ::testing::HasSubstr;
using testing::large;
using testing::write_pack;

TEST(Pack, EqualsTheWorkedExample) {
  const auto bytes = write_pack(example());
  ASSERT_TRUE(bytes.ok()) << bytes.error().to_string();
  EXPECT_EQ(bytes->size(), 270436u);
  EXPECT_EQ(to_hex(crypto::sha256(*bytes)),
            "fa72932ecc59fbac0ef21b3c6c9559a9b9d2bc6d114a655d78677739f0d9d39c");
  EXPECT_EQ(to_hex(header_digest(*bytes)),
            "398ad05874267cdbf2ce165a2dc7822e6d420604d4bb3dc13df000f5082bf75b");
}

TEST(Pack, RoundTrips) {
  const Content content = large();
  const auto bytes = write_pack(content);
  ASSERT_TRUE(bytes.ok());
  const MemorySource source{ByteView(*bytes)};
  const auto reader = PackReader::open(source, f32_bytes);
  ASSERT_TRUE(reader.ok()) << reader.error().to_string();
  EXPECT_TRUE(reader->verify_all().ok());
  EXPECT_EQ(*reader->read_object(ObjectKind::kTemplate), bytes_of("{{ messages }}"));
  EXPECT_EQ(reader->read_object(ObjectKind::kConfig).error().code(), ErrorCode::kNotFound);
  Bytes payload(reader->payload_bytes());
  const std::uint64_t half = reader->payload_chunks() / 2;
  ASSERT_GT(half, 1u);
  EXPECT_TRUE(reader->read_chunks(0, MutableBytes(payload).first(half * kChunkBytes)).ok());
  EXPECT_TRUE(reader->read_chunks(half, MutableBytes(payload).subspan(half * kChunkBytes)).ok());
  for (std::size_t i = 0; i < content.tensors.size(); ++i) {
    const TensorEntry* entry = reader->tensor(content.plan.tensors[i].name);
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->offset % 64, 0u);
    EXPECT_TRUE(std::ranges::equal(content.tensors[i],
                                   ByteView(payload).subspan(entry->offset, entry->length)));
    Bytes ranged(entry->length);
    EXPECT_TRUE(reader->read_range(entry->offset, ranged).ok());
    EXPECT_EQ(ranged, content.tensors[i]);
  }
  EXPECT_EQ(reader->tensor("d"), nullptr);
}

TEST(Pack, VerifiesChunksInMemory) {
  const Bytes bytes = *write_pack(large());
  const MemorySource source{ByteView(bytes)};
  const auto reader = PackReader::open(source, f32_bytes);
  ASSERT_TRUE(reader.ok());
  Bytes payload(reader->payload_bytes());
  ASSERT_TRUE(reader->read_range(0, payload).ok());
  EXPECT_TRUE(reader->verify_chunks(0, payload).ok());
  EXPECT_TRUE(reader->verify_chunks(1, ByteView(payload).subspan(kChunkBytes, kChunkBytes)).ok());
  // A chunk in another's place is as wrong as a changed one.
  EXPECT_EQ(
      reader->verify_chunks(0, ByteView(payload).subspan(kChunkBytes, kChunkBytes)).error().code(),
      ErrorCode::kCorrupt);
  for (const std::size_t at : {std::size_t{0}, payload.size() / 2, payload.size() - 1}) {
    Bytes changed = payload;
    changed[at] ^= std::byte{1};
    EXPECT_EQ(reader->verify_chunks(0, changed).error().code(), ErrorCode::kCorrupt) << at;
  }
}

TEST(Pack, DoesNotDependOnThePieces) {
  EXPECT_EQ(*write_pack(large(), 1), *write_pack(large(), 1u << 30));
}

TEST(Pack, NoticesEveryFlippedByte) {
  Bytes bytes = *write_pack(example());
  ASSERT_TRUE(check_pack(bytes).ok());
  // Every byte of header, tags, padding and index; of the data a sample, since it is mostly zeros.
  for (std::size_t at = 0; at<bytes.size(); at += at> 8400 && at < 270000 ? 997 : 1) {
    bytes[at] ^= std::byte{0x10};
    const Status status = check_pack(bytes);
    bytes[at] ^= std::byte{0x10};
    ASSERT_FALSE(status.ok()) << "offset " << at;
    const bool version = at == 4 || at == 5;
    ASSERT_EQ(status.error().code(), version ? ErrorCode::kUnsupported : ErrorCode::kCorrupt) << at;
  }
}

TEST(Pack, NamesTheDamagedChunk) {
  Bytes bytes = *write_pack(large());
  const MemorySource source{ByteView(bytes)};
  const auto reader = PackReader::open(source);
  ASSERT_TRUE(reader.ok());
  bytes[reader->header().data_off() + 2 * kChunkBytes + 5] ^= std::byte{1};
  Bytes out(2 * kChunkBytes, std::byte{9});
  EXPECT_TRUE(reader->read_chunks(0, out).ok());
  const Status status = reader->read_chunks(1, out);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().client_message(), HasSubstr("chunk 2"));
  // What failed is not left in the caller's memory.
  EXPECT_TRUE(std::all_of(out.begin() + kChunkBytes, out.end(),
                          [](std::byte b) { return b == std::byte{0}; }));
}

TEST(Pack, NoticesEveryTruncation) {
  const Bytes whole = *write_pack(example());
  for (std::size_t n = 0; n<whole.size(); n += n> 8400 && n < 270000 ? 997 : 1) {
    const Status status = check_pack(Bytes(whole.begin(), whole.begin() + static_cast<long>(n)));
    ASSERT_FALSE(status.ok()) << n;
    ASSERT_EQ(status.error().code(), ErrorCode::kCorrupt) << n;
  }
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(check_pack(longer).ok());
}

// A pack whose tags are right and whose index lies.
PackIndex valid_index() {
  PackIndex index;
  index.objects = {{ObjectKind::kConfig, "", 0, 10, {}}, {ObjectKind::kMetadata, "", 64, 10, {}}};
  index.tensors = {{"a", 0, 1, {4, 1, 1, 1}, 128, 16}, {"b", 0, 1, {4, 1, 1, 1}, 192, 16}};
  return index;
}

template <typename Change>
void expect_refused(Change change, std::string_view message) {
  PackIndex index = valid_index();
  change(index);
  const auto decoded = decode_index(encode_index(index), 4096, f32_bytes);
  ASSERT_FALSE(decoded.ok()) << message;
  EXPECT_THAT(decoded.error().client_message(), HasSubstr(std::string(message)));
}

TEST(PackIndex, RefusesLies) {
  ASSERT_TRUE(decode_index(encode_index(valid_index()), 4096, f32_bytes).ok());
  expect_refused([](PackIndex& i) { i.tensors[0].name = "b"; }, "tensor b is out of order");
  expect_refused([](PackIndex& i) { i.tensors[0].name = "c"; }, "tensor b is out of order");
  expect_refused([](PackIndex& i) { i.tensors[0].name = ""; }, "damaged");
  expect_refused([](PackIndex& i) { i.tensors[0].name = "\xff"; }, "UTF-8");
  expect_refused([](PackIndex& i) { i.tensors[0].name.assign(256, 'a'); }, "256 bytes");
  expect_refused([](PackIndex& i) { i.tensors[1].length = 12; }, "length of tensor b");
  expect_refused([](PackIndex& i) { i.tensors[1].type = 3; }, "length of tensor b");
  expect_refused([](PackIndex& i) { i.tensors[1].dims[0] = 0; }, "empty dimension");
  expect_refused([](PackIndex& i) { i.tensors[1].n_dims = 0; }, "damaged");
  expect_refused([](PackIndex& i) { i.tensors[1].offset = 128; }, "overlaps");
  expect_refused([](PackIndex& i) { i.tensors[1].offset = 0; }, "overlaps");
  expect_refused([](PackIndex& i) { i.tensors[1].offset = 200; }, "not aligned");
  expect_refused([](PackIndex& i) { i.tensors[1].offset = 4096; }, "tensor b lies outside");
  expect_refused([](PackIndex& i) { i.tensors[1].offset = ~63ull; }, "tensor b lies outside");
  expect_refused([](PackIndex& i) { i.objects[0].length = 0; }, "config lies outside");
  expect_refused([](PackIndex& i) { i.objects[0].length = 5000; }, "config lies outside");
  expect_refused([](PackIndex& i) { i.objects[0].length = 1ull << 40; }, "config of");
  expect_refused([](PackIndex& i) { i.objects[1].kind = ObjectKind::kConfig; }, "two objects");
  expect_refused([](PackIndex& i) { i.objects[1].kind = ObjectKind{0}; }, "kind 0");
  expect_refused([](PackIndex& i) { i.objects[1].kind = ObjectKind{8}; }, "kind 8");
}

TEST(PackIndex, SkipsOptionalKinds) {
  PackIndex index = valid_index();
  index.objects[1].kind = ObjectKind{200};
  EXPECT_TRUE(decode_index(encode_index(index), 4096, f32_bytes).ok());
}

TEST(PackIndex, RefusesTruncationAndHostileCounts) {
  const Bytes whole = encode_index(valid_index());
  for (std::size_t n = 0; n < whole.size(); ++n) {
    EXPECT_FALSE(decode_index(ByteView(whole).first(n), 4096, nullptr).ok()) << n;
  }
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode_index(longer, 4096, nullptr).ok());
  for (const std::size_t at : {8u, 12u}) {
    for (const std::uint32_t count : {0u, 1u, 3u, 65u, 65537u, 0x7fffffffu, 0xffffffffu}) {
      Bytes lying = whole;
      store_be(lying.data() + at, count);
      EXPECT_FALSE(decode_index(lying, 4096, nullptr).ok()) << at << " " << count;
    }
  }
}

TEST(PackWriter, RefusesPlansThatBreakTheFormat) {
  SimulatedFileSystem fs;
  const auto file = fs.create_exclusive("/pack", 0600);
  const auto refused = [&](auto change) {
    Content content = large();
    change(content.plan);
    const auto writer = PackWriter::begin(**file, content.plan);
    return !writer.ok() && writer.error().code() == ErrorCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused([](PackPlan& p) { p.tensors[0].name = p.tensors[1].name; }));
  EXPECT_TRUE(refused([](PackPlan& p) { p.tensors[0].name.assign(256, 'x'); }));
  EXPECT_TRUE(refused([](PackPlan& p) { p.tensors[0].name = ""; }));
  EXPECT_TRUE(refused([](PackPlan& p) { p.tensors[0].length = 0; }));
  EXPECT_TRUE(refused([](PackPlan& p) { p.tensors[0].length = ~0ull; }));
  EXPECT_TRUE(refused([](PackPlan& p) { p.objects[0].content.clear(); }));
}

TEST(PackWriter, ReportsAFullDisk) {
  SimulatedFileSystem fs;
  fs.set_capacity_bytes(300000);
  const auto file = fs.create_exclusive("/pack", 0600);
  const Content content = large();
  auto writer = PackWriter::begin(**file, content.plan);
  ASSERT_TRUE(writer.ok());
  Status status = writer->append(content.tensors[0]);
  if (status.ok()) status = writer->append(content.tensors[1]);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kExhausted);
}

}  // namespace
}  // namespace holdfast::vault
