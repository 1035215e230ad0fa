// Opens a model pack and serves its bytes, each chunk verified before any byte of it is handed out.
#pragma once

#include <cstdint>
#include <string_view>

#include "holdfast/platform/byte_source.h"
#include "holdfast/vault/pack_format.h"

namespace holdfast::vault {

// Thread-safe once open. `source` must outlive it. Every violation is kCorrupt and names the field,
// entry or chunk; a sealed pack is kUnsupported.
class PackReader {
 public:
  // Verifies header, arithmetic, file length and index. Since every tag depends on the whole
  // header, a damaged header shows here. With `tensor_bytes` the length of each tensor is checked
  // too; whoever computes with them passes it.
  static Result<PackReader> open(const platform::ByteSource& source,
                                 TensorBytes tensor_bytes = nullptr);

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
  // Verifies chunks that are in memory already, by mapping the file. Precondition as read_chunks.
  Status verify_chunks(std::uint64_t first, ByteView chunks) const;
  // Any range of the payload, through whole chunks: for headers and tests; loaders use read_chunks.
  Status read_range(std::uint64_t offset, MutableBytes out) const;
  // Verifies every chunk of the file, and every object's digest.
  Status verify_all() const;

 private:
  explicit PackReader(const platform::ByteSource& source) : source_(&source) {}
  Status read_header();
  Status read_tags();
  Status read_index(TensorBytes tensor_bytes);
  Status read_chunk(std::uint64_t chunk, MutableBytes out) const;
  bool matches_tag(std::uint64_t chunk, ByteView bytes) const;
  void check_chunks(std::uint64_t first, std::uint64_t bytes) const;
  std::uint64_t chunk_bytes(std::uint64_t chunk) const;

  const platform::ByteSource* source_;
  PackHeader header_;
  crypto::Sha256Digest digest_{};
  Bytes tags_;
  PackIndex index_;
};

}  // namespace holdfast::vault
