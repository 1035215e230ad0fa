// The model pack (.hfc): header and index as typed values. The format is docs/formats/pack.md.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/crypto/aead.h"
#include "holdfast/crypto/sha256.h"
#include "holdfast/vault/model_id.h"
#include "holdfast/vault/wrap_slot.h"

namespace holdfast::vault {

inline constexpr std::uint64_t kChunkBytes = 1ull << 18;
inline constexpr std::uint64_t kHeaderBytes = 4096;
inline constexpr std::uint64_t kHeaderDigestedBytes = 992;  // "A": what the header digest covers
inline constexpr std::uint64_t kTagBytes = 16;
inline constexpr std::uint64_t kEntryAlignment = 64;  // of objects and tensors in the payload
inline constexpr std::uint64_t kChunksMax = 0xffffffff;
inline constexpr std::size_t kNameBytesMax = 255;
inline constexpr std::size_t kObjectsMax = 64;
inline constexpr std::size_t kTensorsMax = 65536;
// 65,536 tensors with the longest names are 20 MiB.
inline constexpr std::uint64_t kIndexBytesMax = 32ull << 20;
// The largest object is a tokenizer; 262,144 entries and their merges are about 15 MiB.
inline constexpr std::uint64_t kObjectBytesMax = 256ull << 20;

enum class ObjectKind : std::uint8_t {
  kTokenizer = 1,
  kTemplate = 2,
  kConfig = 3,
  kMetadata = 4,
  kLicence = 5,
  kOmsBundle = 6,
  kModelCard = 7,
};

using Tag = std::array<std::byte, kTagBytes>;

// The fields of a header; lengths that follow from others are computed.
struct PackHeader {
  std::optional<crypto::AeadAlgorithm> seal;  // nullopt: alg 0, not sealed
  std::uint64_t plaintext_len = 0;
  std::uint64_t index_off = 0;
  std::uint64_t index_len = 0;
  Salt salt{};
  ModelId model_id{};
  crypto::Sha256Digest oms_root{};          // zero: unsigned
  crypto::Sha256Digest template_digest{};   // zero: none
  crypto::Sha256Digest tokenizer_digest{};  // zero: none
  crypto::Sha256Digest source_digest{};
  std::uint32_t policy_label = 0;
  std::uint32_t min_version = 0;
  std::uint64_t model_version = 0;
  std::uint64_t created = 0;
  crypto::Sha256Digest mac{};  // HM; zero in packs that are not sealed
  WrapSlots slots{};           // under no tag but their own; unused in packs that are not sealed

  // The last chunk may be shorter, down to one byte.
  std::uint64_t n_chunks() const { return (plaintext_len + kChunkBytes - 1) / kChunkBytes; }
  std::uint64_t data_off() const {
    return kHeaderBytes + (kTagBytes * n_chunks() + 4095) / 4096 * 4096;
  }
  std::uint64_t file_bytes() const { return data_off() + plaintext_len; }
};

struct ObjectEntry {
  ObjectKind kind = ObjectKind::kMetadata;
  std::string name;  // may be empty
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  crypto::Sha256Digest digest{};
};

struct TensorEntry {
  std::string name;
  std::uint16_t type = 0;  // GGUF type number, or a packed layout from 0x8000
  std::uint8_t n_dims = 1;
  std::array<std::uint64_t, 4> dims{1, 1, 1, 1};  // dims[0] is contiguous in the source
  std::uint64_t offset = 0;                       // in the payload
  std::uint64_t length = 0;

  std::span<const std::uint64_t> shape() const { return {dims.data(), n_dims}; }
};

struct PackIndex {
  std::vector<ObjectEntry> objects;
  std::vector<TensorEntry> tensors;  // sorted by name

  // nullptr if missing.
  const ObjectEntry* find_object(ObjectKind kind) const;
  const TensorEntry* find_tensor(std::string_view name) const;
};

// The size that a type number and a shape imply; engine/quant knows it, and this module may not see
// engine/quant.
using TensorBytes = Result<std::uint64_t> (*)(std::uint16_t type,
                                              std::span<const std::uint64_t> dims);

// "tokenizer", "template", ...; "object 9" for others.
std::string object_kind_name(ObjectKind kind);

// Digest of the files that a model was imported from: SHA-256 over their concatenated digests, in
// name order.
crypto::Sha256Digest source_digest(std::span<const crypto::Sha256Digest> files);
// What packs that are not sealed derive from it, so that the same source gives the same bytes.
Salt pack_salt(const crypto::Sha256Digest& source);
ModelId pack_model_id(const crypto::Sha256Digest& source);

// What says which keys open a pack; nothing of it is authenticated yet.
struct PackIdentity {
  std::optional<crypto::AeadAlgorithm> seal;  // nullopt: no keys are needed
  Salt salt{};
  ModelId model_id{};
};
// From a header's bytes. kCorrupt for what is no pack; kUnsupported for another version.
Result<PackIdentity> decode_identity(ByteView bytes);

// 4096 bytes.
Bytes encode_header(const PackHeader& header);
// Checks every field against the others and every reserved byte against zero. kCorrupt names the
// field; kUnsupported for another version. Whether a sealed header is genuine, its MAC says.
Result<PackHeader> decode_header(ByteView bytes);
// HM: HMAC-SHA-256 under the header key of the first 992 bytes. Precondition: at least so many.
crypto::Sha256Digest header_mac(ByteView header, const crypto::Secret& header_key);
// The content address of a pack. Precondition: at least 992 bytes.
crypto::Sha256Digest header_digest(ByteView header);
// Tag of one chunk of a pack that is not sealed.
Tag chunk_tag(ByteView chunk, const crypto::Sha256Digest& header_digest);

// Precondition: entries are valid.
Bytes encode_index(const PackIndex& index);
// `payload_bytes` is index_off: entries lie in [0, payload_bytes), aligned, without overlap. With
// `tensor_bytes`, lengths are compared with what type and shape imply. kCorrupt names the entry.
Result<PackIndex> decode_index(ByteView bytes, std::uint64_t payload_bytes,
                               TensorBytes tensor_bytes);

}  // namespace holdfast::vault
