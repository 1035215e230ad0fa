// Oracle: the pack that was sealed without an interruption holds the same payload; and what must
// never happen, two plaintexts under one key and nonce, is looked for in the bytes.
#include "holdfast/vault/resumable_seal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pack_content.h"

namespace holdfast::vault {
namespace {

using platform::MemorySource;
using platform::testing::SimulatedFileSystem;
using testing::write_pack;

constexpr std::uint64_t kPayloadChunks = 200;
const crypto::Sha256Digest kWork = crypto::sha256(as_bytes_view("this bundle"));

template <std::size_t N>
std::array<std::byte, N> counting(int first) {
  std::array<std::byte, N> out;
  for (std::size_t i = 0; i < N; ++i) out[i] = static_cast<std::byte>(first + static_cast<int>(i));
  return out;
}

// One tensor of many chunks; `fill` makes another content of the same shape and source.
Bytes source_pack(int fill) {
  testing::Content content = testing::example();
  const std::uint64_t length = kPayloadChunks * kChunkBytes;
  content.plan.tensors.push_back({"big", 0, 1, {length / 4, 1, 1, 1}, length});
  content.tensors.emplace_back(length, static_cast<std::byte>(fill));
  return *write_pack(content, 1u << 20);
}

SealPlan plan_of(int dek, int salt) {
  return {*crypto::Secret::copy_of(counting<32>(dek)), crypto::AeadAlgorithm::kAes256Gcm,
          counting<32>(salt), 1'700'000'000};
}

class ResumableSeal : public ::testing::Test {
 protected:
  void SetUp() override { out_ = *fs_.create_exclusive("/out", 0600); }

  Result<ResumedSeal> seal(const Bytes& pack, SealPlan plan, const crypto::Sha256Digest& work,
                           std::uint64_t stop_after_chunks = ~0ull) {
    const MemorySource source{ByteView(pack)};
    HF_TRY_ASSIGN(const PackReader reader, PackReader::open(source));
    return seal_pack_resumably(reader, *out_, std::move(plan), work,
                               [&](std::uint64_t done, std::uint64_t) -> Status {
                                 if (done / kChunkBytes < stop_after_chunks) return ok_status();
                                 return cancelled("pulled the plug");
                               });
  }

  Bytes bytes() { return *platform::read_all(*out_, 1u << 30); }

  // The pack opens with that key and holds what the source holds.
  void expect_whole(const Bytes& pack, int dek) {
    const Bytes sealed = bytes();
    const auto header = decode_header(sealed);
    ASSERT_TRUE(header.ok()) << header.error().to_string();
    const MemorySource file{ByteView(sealed)};
    const MemorySource plain{ByteView(pack)};
    const auto reader =
        PackReader::open(file, nullptr,
                         *derive_content_keys(*crypto::Secret::copy_of(counting<32>(dek)),
                                              *header->seal, header->salt, header->model_id));
    ASSERT_TRUE(reader.ok()) << reader.error().to_string();
    EXPECT_TRUE(reader->verify_all().ok());
    Bytes got(reader->payload_bytes()), want(reader->payload_bytes());
    EXPECT_TRUE(reader->read_chunks(0, got).ok());
    EXPECT_TRUE(PackReader::open(plain)->read_chunks(0, want).ok());
    EXPECT_EQ(got, want);
  }

  SimulatedFileSystem fs_;
  std::unique_ptr<platform::OpenFile> out_;
};

TEST_F(ResumableSeal, GoesOnWhereItEnded) {
  const Bytes pack = source_pack(1);
  ASSERT_FALSE(seal(pack, plan_of(0, 0x20), kWork, 150).ok());
  const Bytes before = bytes();
  const MemorySource unfinished{ByteView(before)};
  EXPECT_FALSE(PackReader::open(unfinished).ok());
  const auto done = seal(pack, plan_of(0, 0x60), kWork);  // another salt is drawn, and not used
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(done->chunks_kept, 128u);
  expect_whole(pack, 0);
  EXPECT_EQ(decode_header(bytes())->salt, counting<32>(0x20));
}

TEST_F(ResumableSeal, FromNothing) {
  const Bytes pack = source_pack(1);
  const auto done = seal(pack, plan_of(0, 0x20), kWork);
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(done->chunks_kept, 0u);
  expect_whole(pack, 0);
  EXPECT_EQ(done->pack, header_digest(bytes()));
}

TEST_F(ResumableSeal, ChunksThatDoNotVerifyAreWrittenAnew) {
  const Bytes pack = source_pack(1);
  ASSERT_FALSE(seal(pack, plan_of(0, 0x20), kWork, 150).ok());
  const std::uint64_t data = decode_header(pack)->data_off();
  const std::byte flip[] = {std::byte{0x55}};
  ASSERT_TRUE(out_->write_at(data + 40 * kChunkBytes + 7, flip).ok());
  const auto done = seal(pack, plan_of(0, 0x60), kWork);
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(done->chunks_kept, 40u);
  expect_whole(pack, 0);
}

// What other work, another key or a forged marker left is not gone on with: under its salt the
// same nonces would meet other plaintexts.
TEST_F(ResumableSeal, OtherWorkBeginsUnderANewSalt) {
  const Bytes pack = source_pack(1);
  const Bytes other = source_pack(2);
  ASSERT_FALSE(seal(pack, plan_of(0, 0x20), kWork, 150).ok());
  const auto done = seal(other, plan_of(0, 0x60), crypto::sha256(as_bytes_view("another")));
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(done->chunks_kept, 0u);
  EXPECT_EQ(decode_header(bytes())->salt, counting<32>(0x60));
  expect_whole(other, 0);
}

TEST_F(ResumableSeal, AnotherKeyBeginsAnew) {
  const Bytes pack = source_pack(1);
  ASSERT_FALSE(seal(pack, plan_of(0, 0x20), kWork, 150).ok());
  const auto done = seal(pack, plan_of(7, 0x60), kWork);
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(done->chunks_kept, 0u);
  EXPECT_EQ(decode_header(bytes())->salt, counting<32>(0x60));
  expect_whole(pack, 7);
}

TEST_F(ResumableSeal, AChangedMarkerBeginsAnew) {
  const Bytes pack = source_pack(1);
  const Bytes other = source_pack(2);
  const auto other_work = crypto::sha256(as_bytes_view("another"));
  ASSERT_FALSE(seal(pack, plan_of(0, 0x20), kWork, 150).ok());
  // Whoever may write the file names their own work in it.
  ASSERT_TRUE(out_->write_at(16, other_work).ok());
  const auto done = seal(other, plan_of(0, 0x60), other_work);
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(decode_header(bytes())->salt, counting<32>(0x60));
  EXPECT_EQ(done->chunks_kept, 0u);
}

TEST_F(ResumableSeal, EveryByteOfTheMarkerCounts) {
  const Bytes pack = source_pack(1);
  ASSERT_FALSE(seal(pack, plan_of(0, 0x20), kWork, 150).ok());
  const Bytes left = bytes();
  for (std::size_t at = 0; at < 1072; at += 67) {
    ASSERT_TRUE(out_->truncate(0).ok());
    Bytes changed = left;
    changed[at] ^= std::byte{1};
    ASSERT_TRUE(out_->write_at(0, changed).ok());
    ASSERT_FALSE(seal(pack, plan_of(0, 0x60), kWork, 1).ok());  // stops at once
    const auto done = seal(pack, plan_of(0, 0x60), kWork);
    ASSERT_TRUE(done.ok()) << done.error().to_string();
    EXPECT_EQ(done->chunks_kept, 0u) << "byte " << at;
  }
}

TEST_F(ResumableSeal, RubbishIsOverwritten) {
  const Bytes pack = source_pack(1);
  ASSERT_TRUE(out_->write_at(0, Bytes(9000, std::byte{0xaa})).ok());
  ASSERT_TRUE(seal(pack, plan_of(0, 0x20), kWork).ok());
  expect_whole(pack, 0);
}

}  // namespace
}  // namespace holdfast::vault
