// Opens a model pack and serves its bytes, each chunk verified before any byte of it is handed out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "holdfast/platform/byte_source.h"
#include "holdfast/vault/content_keys.h"
#include "holdfast/vault/pack_format.h"

namespace holdfast::vault {

class ChunkCipher;
class ChunkCiphers;

// Header and file length alone, without keys: of a sealed pack nothing of it is authenticated.
// kCorrupt names the field; kUnsupported for another version.
Result<PackHeader> read_pack_header(const platform::ByteSource& source);

// Thread-safe once open. `source` must outlive it. Every violation is kCorrupt and names the field,
// entry or chunk. Keys are wiped at the reader's end.
class PackReader {
 public:
  // Verifies header, arithmetic, file length and index. Since every tag depends on the whole
  // header, a damaged header shows here. With `tensor_bytes` the length of each tensor is checked
  // too; whoever computes with them passes it. A sealed pack needs its `keys`: kUnavailable without
  // them, kCorrupt with those of another pack. With keys a pack that is not sealed is kCorrupt:
  // somebody put it in the place of the sealed one.
  static Result<PackReader> open(const platform::ByteSource& source,
                                 TensorBytes tensor_bytes = nullptr,
                                 std::optional<ContentKeys> keys = std::nullopt);
  PackReader(PackReader&&) noexcept;
  PackReader& operator=(PackReader&&) noexcept;
  ~PackReader();

  bool sealed() const { return header_.seal.has_value(); }
  const PackHeader& header() const { return header_; }
  // The content address of the pack.
  const crypto::Sha256Digest& header_digest() const { return digest_; }
  const PackIndex& index() const { return index_; }
  // nullptr if missing.
  const TensorEntry* tensor(std::string_view name) const { return index_.find_tensor(name); }

  // Bytes of objects and tensors together: what a loader reads, in chunks 0 .. payload_chunks()
  // - 1.
  std::uint64_t payload_bytes() const { return header_.index_off; }
  std::uint64_t payload_chunks() const { return header_.index_off / kChunkBytes; }

  // The content of the object of that kind, compared with its digest. kNotFound if there is none.
  Result<Bytes> read_object(ObjectKind kind) const;
  Result<Bytes> read_object(const ObjectEntry& object) const;
  // Reads chunks [first, first + out.size() / kChunkBytes) straight into `out` and verifies each.
  // Disjoint ranges may be loaded by several threads. Precondition: out.size() is a multiple of
  // kChunkBytes within payload_bytes().
  Status read_chunks(std::uint64_t first, MutableBytes out) const;
  // One chunk of 0 .. n_chunks - 1, those of the index included. Precondition: `out` has the
  // chunk's length, chunk_bytes().
  Status read_chunk(std::uint64_t chunk, MutableBytes out) const;
  std::uint64_t chunk_bytes(std::uint64_t chunk) const;
  // Verifies chunks that are in memory already, by mapping the file. Precondition as read_chunks,
  // and a pack that is not sealed: the file of a sealed one holds nothing to compute with.
  Status verify_chunks(std::uint64_t first, ByteView chunks) const;
  // Any range of the payload, through whole chunks: for headers and tests; loaders use read_chunks.
  Status read_range(std::uint64_t offset, MutableBytes out) const;
  // Verifies every chunk of the file, and every object's digest.
  Status verify_all() const;

 private:
  explicit PackReader(const platform::ByteSource& source);
  Status read_header(std::optional<ContentKeys> keys);
  Status check_seal(ByteView header, const std::optional<ContentKeys>& keys) const;
  Status read_tags();
  Status read_index(TensorBytes tensor_bytes);
  Status read_chunk_with(ChunkCipher* cipher, std::uint64_t chunk, MutableBytes out) const;
  ByteView tag(std::uint64_t chunk) const;
  bool matches_tag(std::uint64_t chunk, ByteView bytes) const;
  void check_chunks(std::uint64_t first, std::uint64_t bytes) const;

  const platform::ByteSource* source_;
  PackHeader header_;
  crypto::Sha256Digest digest_{};
  std::unique_ptr<ChunkCiphers> ciphers_;  // of a sealed pack
  Bytes tags_;
  PackIndex index_;
};

}  // namespace holdfast::vault
