// Oracles: the vector of docs/formats/pack.md, computed by another implementation; the plain pack
// that a sealed one is made of; and attacks, each of which must be noticed before a byte is handed
// out. tests/sealed reads and writes sealed packs with a program that shares no code with this one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "holdfast/vault/pack_slots.h"
#include "holdfast/vault/seal_pack.h"
#include "pack_content.h"

namespace holdfast::vault {
namespace {

using crypto::AeadAlgorithm;
using crypto::Secret;
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

template <std::size_t N>
std::array<std::byte, N> counting(int first) {
  std::array<std::byte, N> out;
  for (std::size_t i = 0; i < N; ++i) out[i] = static_cast<std::byte>(first + static_cast<int>(i));
  return out;
}

SealPlan seal_plan(AeadAlgorithm algorithm = AeadAlgorithm::kAes256Gcm, int dek = 0,
                   int salt = 0x20) {
  return {*Secret::copy_of(counting<32>(dek)), algorithm, counting<32>(salt), 1700000000};
}

ContentKeys keys_of(const Content& content, const SealPlan& seal) {
  return *derive_content_keys(seal.dek, seal.algorithm, seal.salt,
                              pack_model_id(content.plan.source_digest));
}

// A sealed pack and what opens it.
struct Sealed {
  explicit Sealed(const Content& content, const SealPlan& seal = seal_plan())
      : bytes(*write_pack(content, 1000, &seal)), keys(keys_of(content, seal)) {}
  ContentKeys key_copy() const { return *keys.copy(); }
  Status check() const { return check_pack(bytes, key_copy()); }
  PackHeader header() const { return *decode_header(bytes); }
  MutableBytes chunk(std::uint64_t i) {
    const PackHeader h = header();
    const std::uint64_t begin = i * kChunkBytes;
    return MutableBytes(bytes).subspan(h.data_off() + begin,
                                       std::min(kChunkBytes, h.plaintext_len - begin));
  }
  MutableBytes tag(std::uint64_t i) {
    return MutableBytes(bytes).subspan(kHeaderBytes + i * kTagBytes, kTagBytes);
  }

  Bytes bytes;
  ContentKeys keys;
};

bool all_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

TEST(SealedPack, EqualsTheVector) {
  SimulatedFileSystem fs;
  const auto file = fs.create_exclusive("/pack", 0600);
  PackHeader header;
  header.plaintext_len = 8;
  header.model_id = counting<16>(0x40);
  SealPlan seal = seal_plan();
  seal.created = 0;
  auto writer = ChunkWriter::begin(**file, header, &seal);
  ASSERT_TRUE(writer.ok());
  Bytes payload = bytes_of("holdfast");
  ASSERT_TRUE(writer->write(payload).ok());
  ASSERT_TRUE(writer->finish().ok());
  const Bytes bytes = *platform::read_all(**file, 1 << 20);
  const auto hex_at = [&](std::size_t at, std::size_t n) {
    return to_hex(ByteView(bytes).subspan(at, n));
  };
  EXPECT_EQ(bytes.size(), 8200u);
  EXPECT_EQ(to_hex(header_digest(bytes)),
            "040a5ed10bd8ae414376a469b0742a1a6e25379aab02970992713a302fbe9db1");
  EXPECT_EQ(hex_at(992, 32), "79f98e8db7b85b61307be9fc0f9b0f62efd85c0842152c48d00a9030cdaeeb0b");
  EXPECT_EQ(hex_at(4096, 16), "5d92bd9479871bdf8ab6a806728154fa");
  EXPECT_EQ(hex_at(8192, 8), "1164c58d47fdc2aa");
}

class EveryAead : public ::testing::TestWithParam<AeadAlgorithm> {};
INSTANTIATE_TEST_SUITE_P(Algorithms, EveryAead,
                         ::testing::Values(AeadAlgorithm::kAes256Gcm,
                                           AeadAlgorithm::kChaCha20Poly1305));

TEST_P(EveryAead, RoundTrips) {
  const Content content = large();
  const Sealed sealed(content, seal_plan(GetParam()));
  const MemorySource source{ByteView(sealed.bytes)};
  const auto reader = PackReader::open(source, f32_bytes, sealed.key_copy());
  ASSERT_TRUE(reader.ok()) << reader.error().to_string();
  EXPECT_TRUE(reader->sealed());
  EXPECT_EQ(reader->header().seal, GetParam());
  EXPECT_EQ(reader->header().created, 1700000000u);
  EXPECT_TRUE(reader->verify_all().ok());
  EXPECT_EQ(*reader->read_object(ObjectKind::kTemplate), bytes_of("{{ messages }}"));
  Bytes payload(reader->payload_bytes());
  ASSERT_TRUE(reader->read_chunks(0, payload).ok());
  for (std::size_t i = 0; i < content.tensors.size(); ++i) {
    const TensorEntry* entry = reader->tensor(content.plan.tensors[i].name);
    ASSERT_NE(entry, nullptr);
    EXPECT_TRUE(std::ranges::equal(content.tensors[i],
                                   ByteView(payload).subspan(entry->offset, entry->length)));
  }
}

TEST_P(EveryAead, HoldsNoPlaintextAndTheSameOffsets) {
  const Content content = large();
  const Sealed sealed(content, seal_plan(GetParam()));
  const Bytes plain = *write_pack(content);
  ASSERT_EQ(sealed.bytes.size(), plain.size());
  // 64 bytes of a tensor: in the plain pack, and nowhere in the sealed one.
  const ByteView canary = ByteView(content.tensors[1]).subspan(5000, 64);
  EXPECT_NE(std::search(plain.begin(), plain.end(), canary.begin(), canary.end()), plain.end());
  EXPECT_EQ(std::search(sealed.bytes.begin(), sealed.bytes.end(), canary.begin(), canary.end()),
            sealed.bytes.end());
  EXPECT_EQ(sealed.header().data_off(), decode_header(plain)->data_off());
  EXPECT_EQ(sealed.header().model_id, decode_header(plain)->model_id);
}

TEST(SealedPack, IsReadByManyThreadsAtOnce) {
  const Sealed sealed(large());
  const MemorySource source{ByteView(sealed.bytes)};
  const auto reader = PackReader::open(source, f32_bytes, sealed.key_copy());
  ASSERT_TRUE(reader.ok());
  const std::uint64_t n = reader->payload_chunks();
  Bytes expected(n * kChunkBytes);
  ASSERT_TRUE(reader->read_chunks(0, expected).ok());
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      Bytes out(kChunkBytes);
      for (int round = 0; round < 20; ++round) {
        const std::uint64_t chunk = static_cast<std::uint64_t>(t + round) % n;
        const bool good =
            reader->read_chunks(chunk, out).ok() &&
            std::ranges::equal(out, ByteView(expected).subspan(chunk * kChunkBytes, kChunkBytes));
        if (!good) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(SealedPack, NeedsItsKeys) {
  const Sealed sealed(large());
  EXPECT_TRUE(sealed.check().ok());
  EXPECT_EQ(check_pack(sealed.bytes).error().code(), ErrorCode::kUnavailable);
  Content other = large();
  other.plan.source_digest[0] ^= std::byte{1};
  const SealPlan another_dek = seal_plan(AeadAlgorithm::kAes256Gcm, 1);
  const SealPlan another_salt = seal_plan(AeadAlgorithm::kAes256Gcm, 0, 0x21);
  for (const SealPlan* wrong : {&another_dek, &another_salt}) {
    const Status status = check_pack(sealed.bytes, keys_of(large(), *wrong));
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code(), ErrorCode::kCorrupt);
    EXPECT_THAT(status.error().client_message(), HasSubstr("HM"));
  }
  // HK depends on key and salt alone; keys of another model or algorithm fail at the index.
  EXPECT_FALSE(check_pack(sealed.bytes, keys_of(other, seal_plan())).ok());
  EXPECT_FALSE(
      check_pack(sealed.bytes, keys_of(large(), seal_plan(AeadAlgorithm::kChaCha20Poly1305))).ok());
}

// Where a flipped bit is found.
enum class Found { kNot, kHeader, kIndex, kChunk };

Found find_damage(const Sealed& sealed, MutableBytes out) {
  const MemorySource source{ByteView(sealed.bytes)};
  const auto reader = PackReader::open(source, f32_bytes, sealed.key_copy());
  if (!reader.ok()) {
    EXPECT_EQ(reader.error().code(), ErrorCode::kCorrupt) << reader.error().to_string();
    return reader.error().client_message().find("chunk") == std::string::npos ? Found::kHeader
                                                                              : Found::kIndex;
  }
  std::fill(out.begin(), out.end(), std::byte{0x55});
  const Status status = reader->read_chunks(0, out);
  if (status.ok()) return Found::kNot;
  EXPECT_THAT(status.error().client_message(), HasSubstr("chunk 0"));
  EXPECT_TRUE(all_zero(out)) << "bytes of a chunk that does not verify were handed out";
  return Found::kChunk;
}

// Every bit of the header and of the tags, and 10,000 of the data; the versions have another code.
TEST(SealedPack, NoticesEveryFlippedBit) {
  Sealed sealed(example());
  const std::uint64_t data_off = sealed.header().data_off();
  ASSERT_EQ(sealed.header().n_chunks(), 2u);
  Bytes out(kChunkBytes);
  const auto flipped = [&](std::uint64_t bit) {
    sealed.bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    const Found found = find_damage(sealed, out);
    sealed.bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    return found;
  };
  for (std::uint64_t bit = 6 * 8; bit < 1024 * 8; ++bit) {
    ASSERT_EQ(flipped(bit), Found::kHeader) << "bit " << bit;
  }
  for (std::uint64_t bit = 4096 * 8; bit < 4096 * 8 + 256; ++bit) {
    ASSERT_EQ(flipped(bit), bit < 4096 * 8 + 128 ? Found::kChunk : Found::kIndex) << "bit " << bit;
  }
  std::mt19937_64 random(20260301);
  for (int i = 0; i < 10000; ++i) {
    const std::uint64_t bit = 8 * data_off + random() % (8 * (sealed.bytes.size() - data_off));
    const bool index = bit / 8 >= data_off + kChunkBytes;
    ASSERT_EQ(flipped(bit), index ? Found::kIndex : Found::kChunk) << "bit " << bit;
  }
  EXPECT_EQ(find_damage(sealed, out), Found::kNot);
}

// Nothing covers a slot but its own tag: a flipped bit of it is found on opening or when the slot
// is opened; kek_id only says which key to try.
TEST(SealedPack, NoticesEveryFlippedBitOfASlot) {
  Sealed sealed(example());
  const Secret kek = *Secret::copy_of(Bytes(32, std::byte{0xa0}));
  const WrapSlot slot =
      fill_wrap_slot(kek, 3, {}, counting<12>(0x10), sealed.header().model_id, seal_plan().dek);
  std::ranges::copy(encode_wrap_slot(slot), sealed.bytes.begin() + 1024);
  // All of the first slot, and samples of those that are not used.
  for (std::uint64_t bit = 1024 * 8; bit < 4096 * 8; bit += bit < 1280 * 8 ? 1 : 37) {
    sealed.bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    const auto header = decode_header(sealed.bytes);
    const bool opens = header.ok() && open_wrap_slot(kek, header->model_id, header->slots[0]).ok();
    ASSERT_EQ(opens, bit >= 1032 * 8 && bit < 1048 * 8) << "bit " << bit;
    ASSERT_EQ(sealed.check().ok(), header.ok()) << "bit " << bit;
    sealed.bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
  }
  EXPECT_TRUE(sealed.check().ok());
}

TEST(SealedPack, NoticesEveryChunkSwap) {
  Sealed sealed(large());
  const std::uint64_t n = sealed.header().n_chunks();
  ASSERT_GE(n, 8u);
  for (std::uint64_t a = 0; a + 1 < n; ++a) {
    for (std::uint64_t b = a + 1; b < n; ++b) {
      const std::size_t bytes = std::min(sealed.chunk(a).size(), sealed.chunk(b).size());
      const auto swap_data = [&] {
        std::ranges::swap_ranges(sealed.chunk(a).first(bytes), sealed.chunk(b).first(bytes));
      };
      const auto swap_tags = [&] { std::ranges::swap_ranges(sealed.tag(a), sealed.tag(b)); };
      swap_data();
      ASSERT_FALSE(sealed.check().ok()) << a << " " << b;
      swap_tags();
      ASSERT_FALSE(sealed.check().ok()) << a << " " << b << " with tags";
      swap_data();
      ASSERT_FALSE(sealed.check().ok()) << a << " " << b << " tags alone";
      swap_tags();
    }
  }
  EXPECT_TRUE(sealed.check().ok());
}

TEST(SealedPack, NoticesEveryTruncation) {
  const Sealed whole(large());
  const PackHeader header = whole.header();
  std::vector<std::uint64_t> lengths = {0, 1, 991, 1023, 4095, 4096, 4097, header.data_off() - 1};
  for (std::uint64_t i = 0; i < header.n_chunks(); ++i) {
    for (const int around : {-17, -1, 0, 1, 4095}) {
      lengths.push_back(header.data_off() + i * kChunkBytes + static_cast<std::uint64_t>(around));
    }
  }
  lengths.push_back(whole.bytes.size() - 1);
  lengths.push_back(whole.bytes.size() + 1);
  for (const std::uint64_t n : lengths) {
    Sealed cut(large());
    cut.bytes.resize(n);
    const Status status = cut.check();
    ASSERT_FALSE(status.ok()) << n;
    EXPECT_EQ(status.error().code(), ErrorCode::kCorrupt) << n;
  }
}

// Whoever cuts a pack and corrects its header must also forge its MAC.
TEST(SealedPack, NoticesATruncationThatTheHeaderAgreesWith) {
  Sealed sealed(large());
  PackHeader header = sealed.header();
  header.plaintext_len -= kChunkBytes;
  header.index_off -= kChunkBytes;
  std::ranges::copy(encode_header(header), sealed.bytes.begin());
  sealed.bytes.resize(header.file_bytes());
  EXPECT_THAT(sealed.check().error().client_message(), HasSubstr("HM"));
}

// Even who knows the header key cannot make another chunk the last one.
TEST(SealedPack, TheLastChunkIsMarked) {
  Content one = example();
  Content two = large();
  // The index of `one` is chunk 1 and the last; in `two` chunk 1 is not.
  const Sealed a(one);
  Sealed b(two);
  const PackHeader header = a.header();
  EXPECT_NE(header.n_chunks(), b.header().n_chunks());
  std::ranges::copy(ByteView(a.bytes).subspan(4096 + 16, 16), b.tag(1).begin());
  std::ranges::copy(ByteView(a.bytes).subspan(header.data_off() + kChunkBytes), b.chunk(1).begin());
  EXPECT_FALSE(b.check().ok());
}

// Two packs of one layout under one data key: with another salt, and with another header alone.
TEST(SealedPack, NoticesChunksOfAnotherPack) {
  Content other = large();
  other.plan.objects[0].content = bytes_of("{{ massages }}");
  const Sealed donors[] = {Sealed(large(), seal_plan(AeadAlgorithm::kAes256Gcm, 0, 0x77)),
                           Sealed(other), Sealed(large(), seal_plan(AeadAlgorithm::kAes256Gcm, 9))};
  for (const Sealed& donor : donors) {
    ASSERT_TRUE(donor.check().ok());
    for (std::uint64_t i = 0; i < donor.header().n_chunks(); ++i) {
      Sealed victim(large());
      Sealed source(large());
      source.bytes = donor.bytes;
      ASSERT_EQ(victim.bytes.size(), source.bytes.size());
      // Under one key and one nonce an equal chunk is equal ciphertext; its tag differs all the
      // same.
      const bool same = std::ranges::equal(source.chunk(i), victim.chunk(i));
      std::ranges::copy(source.chunk(i), victim.chunk(i).begin());
      ASSERT_EQ(victim.check().ok(), same) << i;
      std::ranges::copy(source.tag(i), victim.tag(i).begin());
      ASSERT_FALSE(victim.check().ok()) << i << " with its tag";
    }
    Sealed whole_header(large());
    std::copy_n(donor.bytes.begin(), kHeaderBytes, whole_header.bytes.begin());
    EXPECT_FALSE(whole_header.check().ok());
  }
}

TEST(SealedPack, NoticesEveryDowngrade) {
  const Content content = large();
  {
    Sealed other_alg(content);
    other_alg.bytes[6] = std::byte{2};
    EXPECT_THAT(other_alg.check().error().client_message(), HasSubstr("HM"));
  }
  {
    Sealed no_mac(content);
    std::fill_n(no_mac.bytes.begin() + 992, 32, std::byte{0});
    EXPECT_THAT(no_mac.check().error().client_message(), HasSubstr("HM"));
  }
  {
    Sealed called_plain(content);
    called_plain.bytes[6] = std::byte{0};
    EXPECT_EQ(called_plain.check().error().code(), ErrorCode::kCorrupt);
    EXPECT_EQ(check_pack(called_plain.bytes).error().code(), ErrorCode::kCorrupt);
  }
  // A whole, valid pack that is not sealed in the place of the sealed one.
  Sealed replaced(content);
  replaced.bytes = *write_pack(content);
  EXPECT_TRUE(check_pack(replaced.bytes).ok());
  EXPECT_THAT(replaced.check().error().client_message(), HasSubstr("not sealed"));
}

// seal_pack().

Result<Bytes> resealed(ByteView pack, std::optional<ContentKeys> keys, const SealPlan* seal) {
  SimulatedFileSystem fs;
  HF_TRY_ASSIGN(const auto file, fs.create_exclusive("/out", 0600));
  const MemorySource source(pack);
  HF_TRY_ASSIGN(const PackReader reader, PackReader::open(source, f32_bytes, std::move(keys)));
  HF_TRY_ASSIGN(const crypto::Sha256Digest digest, seal_pack(reader, *file, seal));
  HF_TRY_ASSIGN(Bytes bytes, platform::read_all(*file, 1u << 30));
  EXPECT_EQ(digest, header_digest(bytes));
  return bytes;
}

TEST(SealPack, SealsReencryptsAndUnseals) {
  const Content content = large();
  const Bytes plain = *write_pack(content);
  const SealPlan first = seal_plan();
  const SealPlan second = seal_plan(AeadAlgorithm::kChaCha20Poly1305, 50, 60);
  const auto sealed = resealed(plain, std::nullopt, &first);
  ASSERT_TRUE(sealed.ok()) << sealed.error().to_string();
  EXPECT_EQ(*sealed, Sealed(content, first).bytes);
  const auto again = resealed(*sealed, keys_of(content, first), &second);
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_TRUE(check_pack(*again, keys_of(content, second)).ok());
  EXPECT_FALSE(check_pack(*again, keys_of(content, first)).ok());
  const auto unsealed = resealed(*again, keys_of(content, second), nullptr);
  ASSERT_TRUE(unsealed.ok());
  EXPECT_EQ(*unsealed, plain);
}

TEST(SealPack, DrawsANewSaltEachTime) {
  platform::SeededEntropy entropy(5);
  const SealPlan a = *SealPlan::make(*Secret::copy_of(counting<32>(0)), entropy, 1);
  const SealPlan b = *SealPlan::make(*Secret::copy_of(counting<32>(0)), entropy, 1);
  EXPECT_NE(a.salt, b.salt);
  EXPECT_NE(*write_pack(example(), 1000, &a), *write_pack(example(), 1000, &b));
  EXPECT_EQ(a.algorithm, crypto::fastest_aead());
}

TEST(SealPack, NamesTheDamagedChunkAndWritesNothingThatOpens) {
  Bytes plain = *write_pack(large());
  plain[decode_header(plain)->data_off() + 2 * kChunkBytes] ^= std::byte{1};
  SimulatedFileSystem fs;
  const auto file = fs.create_exclusive("/out", 0600);
  const MemorySource source{ByteView(plain)};
  const auto reader = PackReader::open(source, f32_bytes);
  ASSERT_TRUE(reader.ok());
  const SealPlan seal = seal_plan();
  const auto result = seal_pack(*reader, **file, &seal);
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.error().client_message(), HasSubstr("chunk 2"));
  const Bytes left = *platform::read_all(**file, 1u << 30);
  EXPECT_FALSE(check_pack(left, keys_of(large(), seal)).ok());
}

// Killed at any operation, it leaves the whole pack or nothing that opens (the last write is that
// of the header), and never a byte of the plaintext.
TEST(SealPack, AnInterruptedOneIsNotThere) {
  const Content content = large();
  const Bytes plain = *write_pack(content);
  const MemorySource source{ByteView(plain)};
  const auto reader = PackReader::open(source, f32_bytes);
  ASSERT_TRUE(reader.ok());
  const SealPlan seal = seal_plan();
  const Bytes whole = Sealed(content, seal).bytes;
  const ByteView canary = ByteView(content.tensors[1]).subspan(100, 64);
  bool finished = false;
  for (std::uint64_t n = 1; !finished; ++n) {
    SimulatedFileSystem fs;
    const auto file = fs.create_exclusive("/out", 0600);
    ASSERT_TRUE(fs.sync_dir("/").ok());
    fs.crash_after(n);
    finished = seal_pack(*reader, **file, &seal).ok();
    fs.restart(platform::testing::CrashPolicy::kKeepAll);
    const auto after = fs.open_read("/out");
    ASSERT_TRUE(after.ok());
    const Bytes left = *platform::read_all(**after, 1u << 30);
    EXPECT_EQ(check_pack(left, keys_of(content, seal)).ok(), left == whole) << n;
    EXPECT_TRUE(left == whole || !finished);
    EXPECT_EQ(std::search(left.begin(), left.end(), canary.begin(), canary.end()), left.end());
    ASSERT_LT(n, 100u);
  }
}

// Wrap slots in the file.

WrapSlots two_slots(const ModelId& model_id, std::uint32_t epoch) {
  WrapSlots slots;
  for (const int i : {0, 5}) {
    const Secret kek = *Secret::copy_of(Bytes(32, static_cast<std::byte>(epoch)));
    slots[static_cast<std::size_t>(i)] =
        fill_wrap_slot(kek, epoch, {}, counting<12>(i), model_id, seal_plan().dek);
  }
  return slots;
}

TEST(WrapSlotsInTheFile, AreRewrittenWithoutTouchingAnythingElse) {
  SimulatedFileSystem fs;
  const auto file = fs.create_exclusive("/pack", 0600);
  const SealPlan seal = seal_plan();
  ASSERT_TRUE(testing::write_content(example(), **file, 1000, &seal).ok());
  Bytes before = *platform::read_all(**file, 1 << 20);
  const ModelId id = decode_header(before)->model_id;
  EXPECT_EQ(*read_wrap_slots(**file), WrapSlots{});
  ASSERT_TRUE(rewrite_wrap_slots(**file, two_slots(id, 1)).ok());
  ASSERT_TRUE(rewrite_wrap_slots(**file, two_slots(id, 2)).ok());
  EXPECT_EQ(*read_wrap_slots(**file), two_slots(id, 2));
  Bytes after = *platform::read_all(**file, 1 << 20);
  EXPECT_TRUE(check_pack(after, keys_of(example(), seal)).ok());
  EXPECT_EQ(header_digest(after), header_digest(before));
  std::fill(after.begin() + 1024, after.begin() + 4096, std::byte{0});
  EXPECT_EQ(after, before);
}

TEST(WrapSlotsInTheFile, AreRefusedWhereTheyMakeNoSense) {
  const Bytes plain = *write_pack(example());
  EXPECT_EQ(read_wrap_slots(MemorySource(ByteView(plain))).error().code(),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(read_wrap_slots(MemorySource(Bytes(4000))).error().code(), ErrorCode::kCorrupt);
  SimulatedFileSystem fs;
  const auto file = fs.create_exclusive("/pack", 0600);
  const SealPlan seal = seal_plan();
  ASSERT_TRUE(testing::write_content(example(), **file, 1000, &seal).ok());
  EXPECT_EQ(rewrite_wrap_slots(**file, WrapSlots{}).error().code(), ErrorCode::kInvalidArgument);
}

// From the slots of one epoch to those of the next, the machine dies at every operation: the pack
// still opens with the old or with the new key, and with nothing else wrong.
TEST(WrapSlotsInTheFile, SurviveACrashAtEveryMoment) {
  const SealPlan seal = seal_plan();
  const ModelId id = pack_model_id(example().plan.source_digest);
  WrapSlots before = two_slots(id, 1);
  WrapSlots after = two_slots(id, 2);
  std::swap(after[5], after[7]);  // one slot replaced, one moved
  int states = 0;
  for (std::uint64_t n = 0; n < 6; ++n) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      SimulatedFileSystem fs;
      const auto file = fs.create_exclusive("/pack", 0600);
      ASSERT_TRUE(testing::write_content(example(), **file, 1 << 20, &seal).ok());
      ASSERT_TRUE(rewrite_wrap_slots(**file, before).ok());
      ASSERT_TRUE((*file)->sync().ok() && fs.sync_dir("/").ok());
      fs.crash_after(n);
      const bool done = rewrite_wrap_slots(**file, after).ok();
      fs.restart(platform::testing::CrashPolicy::kRandom, seed);
      const auto again = fs.open_read("/pack");
      ASSERT_TRUE(again.ok());
      const auto slots = read_wrap_slots(**again);
      ASSERT_TRUE(slots.ok()) << slots.error().to_string();
      int old_ones = 0;
      int new_ones = 0;
      for (std::size_t i = 0; i < kWrapSlots; ++i) {
        const WrapSlot& slot = (*slots)[i];
        ASSERT_TRUE(slot == before[i] || slot == after[i]) << n << " " << i;
        old_ones += slot.used && slot == before[i];
        new_ones += slot.used && slot == after[i];
      }
      EXPECT_GE(old_ones + new_ones, 2) << n << " " << seed;
      EXPECT_TRUE(!done || *slots == after);
      ++states;
    }
  }
  EXPECT_EQ(states, 120);
}

}  // namespace
}  // namespace holdfast::vault
