// Writes a model pack in one pass, from objects in memory and tensors that arrive in pieces.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "holdfast/platform/file.h"
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
  std::vector<PlannedObject> objects;
  std::vector<PlannedTensor> tensors;  // in the order in which they will be written
};

// The layout comes first: the header digest, which seeds every tag, depends on lengths and object
// digests alone. Then the payload streams through a buffer of one chunk. Tags and header are
// written last, so an interrupted file never opens. Owned by one thread; `out` must outlive it.
class PackWriter {
 public:
  // kInvalidArgument for a plan that breaks the format (names, counts, empty entries). `out` must
  // be empty.
  static Result<PackWriter> begin(platform::OpenFile& out, PackPlan plan);

  // Final size of the file, known from the start.
  std::uint64_t file_bytes() const { return header_.file_bytes(); }
  const crypto::Sha256Digest& header_digest() const { return header_digest_; }

  // The next bytes of the tensors in their order; a piece lies within one tensor. kExhausted when
  // the disk is full, else kIo. Precondition: no more than the current tensor still lacks.
  Status append(ByteView bytes);
  // Writes index, tags and header. Precondition: every tensor is complete. The caller syncs the
  // file.
  Status finish();

 private:
  explicit PackWriter(platform::OpenFile& out) : out_(&out) {}
  Status plan_layout(PackPlan& plan);
  Status write_objects(const PackPlan& plan);
  Status put(ByteView bytes);
  Status pad_to(std::uint64_t offset);
  Status flush_chunk();

  platform::OpenFile* out_;
  PackHeader header_;
  Bytes header_bytes_;
  crypto::Sha256Digest header_digest_{};
  Bytes index_bytes_;
  std::vector<std::uint64_t> tensor_begins_;  // in writing order
  std::vector<std::uint64_t> tensor_ends_;
  std::size_t current_ = 0;
  std::uint64_t position_ = 0;  // in the payload
  Bytes chunk_;
  Bytes tags_;
};

}  // namespace holdfast::vault
