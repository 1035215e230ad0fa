// Writes a model pack in one pass, from objects in memory and tensors that arrive in pieces.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "holdfast/platform/entropy.h"
#include "holdfast/platform/file.h"
#include "holdfast/platform/huge_memory.h"
#include "holdfast/vault/pack_format.h"

namespace holdfast::vault {

struct PlannedObject {
  ObjectKind kind = ObjectKind::kMetadata;
  std::string name;
  Bytes content;
};

struct PlannedTensor {
  std::string name;
  std::uint16_t type = 0;
  std::uint8_t n_dims = 1;
  std::array<std::uint64_t, 4> dims{1, 1, 1, 1};
  std::uint64_t length = 0;
};

// Everything about a pack but the tensors' bytes. Offsets, index and header follow from it.
struct PackPlan {
  crypto::Sha256Digest source_digest{};
  crypto::Sha256Digest oms_root{};  // zero: unsigned
  std::uint32_t policy_label = 0;
  std::uint32_t min_version = 0;
  std::uint64_t model_version = 0;
  std::vector<PlannedObject> objects;
  std::vector<PlannedTensor> tensors;  // in the order in which they will be written
};

// How a pack is sealed. Wrap slots are filled later (pack_slots.h).
struct SealPlan {
  crypto::Secret dek;  // 32 bytes, of this pack alone
  crypto::AeadAlgorithm algorithm = crypto::AeadAlgorithm::kAes256Gcm;
  Salt salt{};
  std::uint64_t created = 0;  // Unix seconds

  // With a random salt and what is fastest here. kIo where there is no entropy.
  static Result<SealPlan> make(crypto::Secret dek, platform::Entropy& entropy,
                               std::uint64_t created);
};

class ChunkCipher;

// The lower half of a writer: a header, then whole chunks in order, sealed on their way out. Tags
// and header are written last, so an interrupted file never opens. Owned by one thread; `out` must
// outlive it.
class ChunkWriter {
 public:
  // `header` says everything but what sealing decides (alg, salt, created, HM); without `seal` the
  // pack is not sealed, and salt and created are those that follow from the source. kExhausted
  // where there is no memory for a key for keys.
  static Result<ChunkWriter> begin(platform::OpenFile& out, PackHeader header,
                                   const SealPlan* seal);
  ChunkWriter(ChunkWriter&&) noexcept;
  ChunkWriter& operator=(ChunkWriter&&) noexcept;
  ~ChunkWriter();

  const PackHeader& header() const { return header_; }
  const crypto::Sha256Digest& header_digest() const { return header_digest_; }
  // Chunks that are done, and their tags.
  std::uint64_t written() const { return tags_.size() / kTagBytes; }
  ByteView tags() const { return tags_; }
  // Takes the next chunk as the file holds it, if it verifies with that tag; false otherwise, and
  // nothing changed. `buffer` has the chunk's length and is overwritten. Precondition: sealed.
  [[nodiscard]] bool adopt(const Tag& tag, MutableBytes buffer);
  // The next chunk; where the pack is sealed, its plaintext is overwritten. kExhausted when the
  // disk is full, else kIo.
  Status write(MutableBytes chunk);
  // Precondition: every chunk was written. The caller syncs the file.
  Status finish();

 private:
  explicit ChunkWriter(platform::OpenFile& out);
  platform::OpenFile* out_;
  PackHeader header_;
  crypto::Sha256Digest header_digest_{};
  std::unique_ptr<ChunkCipher> cipher_;  // of a sealed pack
  Bytes tags_;
};

// Memory for one chunk of plaintext: not in dumps, and not in swap where that can be had.
Result<platform::LargeBuffer> chunk_buffer();

// The layout comes first: the header digest, which seeds every tag, depends on lengths and object
// digests alone. Then the payload streams through a buffer of one chunk. Owned by one thread; `out`
// must outlive it.
class PackWriter {
 public:
  // kInvalidArgument for a plan that breaks the format (names, counts, empty entries). `out` must
  // be empty. Without `seal` the pack is not sealed, and the same plan gives the same bytes.
  static Result<PackWriter> begin(platform::OpenFile& out, PackPlan plan,
                                  const SealPlan* seal = nullptr);

  // Final size of the file, known from the start.
  std::uint64_t file_bytes() const { return chunks_.header().file_bytes(); }
  const PackHeader& header() const { return chunks_.header(); }
  const crypto::Sha256Digest& header_digest() const { return chunks_.header_digest(); }

  // The next bytes of the tensors in their order; a piece lies within one tensor. kExhausted when
  // the disk is full, else kIo. Precondition: no more than the current tensor still lacks.
  Status append(ByteView bytes);
  // Writes index, tags and header. Precondition: every tensor is complete. The caller syncs the
  // file.
  Status finish();

 private:
  struct Layout;  // header, index and offsets of a plan
  static Result<Layout> plan_layout(PackPlan& plan);
  PackWriter(ChunkWriter chunks, platform::LargeBuffer chunk, Layout layout);
  Status write_objects(const PackPlan& plan);
  Status put(ByteView bytes);
  Status pad_to(std::uint64_t offset);
  Status flush_chunk();

  ChunkWriter chunks_;
  Bytes index_bytes_;
  std::vector<std::uint64_t> tensor_begins_;  // in writing order
  std::vector<std::uint64_t> tensor_ends_;
  std::size_t current_ = 0;
  std::uint64_t position_ = 0;  // in the payload
  platform::LargeBuffer chunk_;
  std::size_t chunk_used_ = 0;
};

}  // namespace holdfast::vault
