#include "holdfast/vault/pack_format.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "holdfast/base/checked.h"
#include "holdfast/crypto/hmac.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kMagic = "HFC1";
constexpr std::uint16_t kVersion = 1;
constexpr std::uint8_t kChunkLog2 = 18;

// Field offsets, as in docs/formats/pack.md.
constexpr std::size_t kSaltAt = 64;
constexpr std::size_t kModelIdAt = 96;
constexpr std::size_t kReserved = 264;
constexpr std::size_t kHeaderMac = 992;
constexpr std::size_t kSlots = 1024;
constexpr std::size_t kSlotsEnd = kSlots + kWrapSlots * kWrapSlotBytes;
static_assert(kSlotsEnd == kHeaderBytes);
static_assert(kReserved + 728 == kHeaderMac && kHeaderMac == kHeaderDigestedBytes);
static_assert(kChunkBytes == 1ull << kChunkLog2);

Error bad_field(std::string_view field) {
  return corrupt("the model pack is damaged: header field " + std::string(field));
}

Bytes derive(std::string_view domain, const crypto::Sha256Digest& source) {
  const auto digest = crypto::Sha256().update(as_bytes_view(domain)).update(source).finish();
  return {digest.begin(), digest.end()};
}

// Reads a field that can have only one value.
template <typename T>
Status expect(ByteReader& in, T wanted, std::string_view field) {
  HF_TRY_ASSIGN(const T v, in.be<T>());
  return v == wanted ? ok_status() : Status(bad_field(field));
}

// What comes before any key: magic, version and alg.
Status read_alg(ByteReader& in, std::optional<crypto::AeadAlgorithm>& seal) {
  HF_TRY_ASSIGN(const std::string_view magic, in.take_string(kMagic.size()));
  if (magic != kMagic) return corrupt("not a model pack");
  HF_TRY_ASSIGN(const auto version, in.be<std::uint16_t>());
  if (version != kVersion) {
    return unsupported("unsupported model pack version " + std::to_string(version));
  }
  HF_TRY_ASSIGN(const auto alg, in.be<std::uint8_t>());
  seal = crypto::aead_algorithm(alg);
  return alg == 0 || seal ? ok_status() : Status(bad_field("alg"));
}

Status read_fixed_part(ByteReader& in, PackHeader& header) {
  HF_TRY(read_alg(in, header.seal));
  HF_TRY(expect<std::uint8_t>(in, kChunkLog2, "chunk_log2"));
  HF_TRY(expect<std::uint32_t>(in, 0, "flags"));
  return expect<std::uint32_t>(in, kHeaderBytes, "header_len");
}

Status read_lengths(ByteReader& in, PackHeader& header) {
  HF_TRY_ASSIGN(header.plaintext_len, in.be<std::uint64_t>());
  if (header.plaintext_len == 0 || header.plaintext_len > kChunksMax * kChunkBytes) {
    return bad_field("plaintext_len");
  }
  HF_TRY(expect<std::uint64_t>(in, header.n_chunks(), "n_chunks"));
  HF_TRY(expect<std::uint64_t>(in, kHeaderBytes, "tags_off"));
  HF_TRY(expect<std::uint64_t>(in, header.data_off(), "data_off"));
  HF_TRY_ASSIGN(header.index_off, in.be<std::uint64_t>());
  HF_TRY_ASSIGN(header.index_len, in.be<std::uint64_t>());
  if (header.index_len == 0 || header.index_len > kIndexBytesMax) return bad_field("index_len");
  // The index is the end of the payload, which also bounds its offset.
  if (header.index_off % kChunkBytes != 0 ||
      checked_add(header.index_off, header.index_len) != header.plaintext_len) {
    return bad_field("index_off");
  }
  return ok_status();
}

Status read_mac_and_slots(ByteView bytes, PackHeader& header) {
  ByteReader in(bytes.subspan(kHeaderMac, kSlots - kHeaderMac));
  HF_TRY(in.take_array(header.mac));
  if (!header.seal) {
    if (!all_zero(header.mac)) return bad_field("HM");
    if (!all_zero(bytes.subspan(kSlots, kSlotsEnd - kSlots))) return bad_field("wrap slots");
    return ok_status();
  }
  for (std::size_t i = 0; i < kWrapSlots; ++i) {
    auto slot = decode_wrap_slot(bytes.subspan(kSlots + i * kWrapSlotBytes, kWrapSlotBytes));
    HF_TRY_ASSIGN(header.slots[i], std::move(slot).context("slot " + std::to_string(i)));
  }
  return ok_status();
}

}  // namespace

std::string object_kind_name(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::kTokenizer:
      return "tokenizer";
    case ObjectKind::kTemplate:
      return "template";
    case ObjectKind::kConfig:
      return "config";
    case ObjectKind::kMetadata:
      return "metadata";
    case ObjectKind::kLicence:
      return "licence";
    case ObjectKind::kOmsBundle:
      return "OMS bundle";
    case ObjectKind::kModelCard:
      return "model card";
  }
  return "object " + std::to_string(static_cast<int>(kind));
}

crypto::Sha256Digest source_digest(std::span<const crypto::Sha256Digest> files) {
  crypto::Sha256 hash;
  for (const crypto::Sha256Digest& file : files) hash.update(file);
  return hash.finish();
}

Salt pack_salt(const crypto::Sha256Digest& source) {
  const Bytes bytes = derive("holdfast/pack-salt/v0", source);
  Salt salt;
  std::copy(bytes.begin(), bytes.end(), salt.begin());
  return salt;
}

ModelId pack_model_id(const crypto::Sha256Digest& source) {
  const Bytes bytes = derive("holdfast/pack-id/v0", source);
  ModelId id;
  std::copy_n(bytes.begin(), id.size(), id.begin());
  return id;
}

Bytes encode_header(const PackHeader& header) {
  ByteWriter out;
  const auto alg = header.seal ? static_cast<std::uint8_t>(*header.seal) : std::uint8_t{0};
  out.raw(kMagic).be(kVersion).be(alg).be(kChunkLog2).be<std::uint32_t>(0);
  out.be<std::uint32_t>(kHeaderBytes).be(header.plaintext_len).be(header.n_chunks());
  out.be<std::uint64_t>(kHeaderBytes).be(header.data_off());
  out.be(header.index_off).be(header.index_len);
  out.raw(header.salt).raw(header.model_id).raw(header.oms_root).raw(header.template_digest);
  out.raw(header.tokenizer_digest).raw(header.source_digest);
  out.be(header.policy_label).be(header.min_version).be(header.model_version).be(header.created);
  HF_CHECK(out.size() == kReserved);
  out.raw(Bytes(kHeaderMac - kReserved)).raw(header.mac);
  for (const WrapSlot& slot : header.slots) out.raw(encode_wrap_slot(slot));
  HF_CHECK(out.size() == kHeaderBytes);
  return std::move(out).take();
}

Result<PackIdentity> decode_identity(ByteView bytes) {
  if (bytes.size() < kHeaderBytes) return corrupt("the model pack is truncated");
  ByteReader in(bytes);
  PackIdentity identity;
  HF_TRY(read_alg(in, identity.seal));
  std::copy_n(bytes.begin() + kSaltAt, identity.salt.size(), identity.salt.begin());
  std::copy_n(bytes.begin() + kModelIdAt, identity.model_id.size(), identity.model_id.begin());
  return identity;
}

Result<PackHeader> decode_header(ByteView bytes) {
  if (bytes.size() < kHeaderBytes) return corrupt("the model pack is truncated");
  ByteReader in(bytes.first(kReserved));
  PackHeader header;
  HF_TRY(read_fixed_part(in, header));
  HF_TRY(read_lengths(in, header));
  HF_TRY(in.take_array(header.salt));
  HF_TRY(in.take_array(header.model_id));
  HF_TRY(in.take_array(header.oms_root));
  HF_TRY(in.take_array(header.template_digest));
  HF_TRY(in.take_array(header.tokenizer_digest));
  HF_TRY(in.take_array(header.source_digest));
  HF_TRY_ASSIGN(header.policy_label, in.be<std::uint32_t>());
  HF_TRY_ASSIGN(header.min_version, in.be<std::uint32_t>());
  HF_TRY_ASSIGN(header.model_version, in.be<std::uint64_t>());
  HF_TRY_ASSIGN(header.created, in.be<std::uint64_t>());
  if (header.policy_label > 4) return bad_field("policy label");
  if (!all_zero(bytes.subspan(kReserved, kHeaderMac - kReserved))) return bad_field("reserved");
  HF_TRY(read_mac_and_slots(bytes, header));
  return header;
}

crypto::Sha256Digest header_mac(ByteView header, const crypto::Secret& header_key) {
  return crypto::hmac_sha256(header_key.view(), {header.first(kHeaderDigestedBytes)});
}

crypto::Sha256Digest header_digest(ByteView header) {
  return crypto::sha256(header.first(kHeaderDigestedBytes));
}

Tag chunk_tag(ByteView chunk, const crypto::Sha256Digest& header_digest) {
  const auto seed = load_be<std::uint64_t>(header_digest.data() + 24);
  const XXH128_hash_t hash = XXH3_128bits_withSeed(chunk.data(), chunk.size(), seed);
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  static_assert(sizeof canonical == kTagBytes);
  Tag tag;
  std::memcpy(tag.data(), &canonical, sizeof canonical);
  return tag;
}

}  // namespace holdfast::vault
