// Writer of GGUF v3 files: metadata, tensor table, then the tensors' bytes in order.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/gguf/gguf.h"
#include "holdfast/gguf/metadata.h"
#include "holdfast/platform/file.h"

namespace holdfast::gguf {

// A tensor to be written; dims as in TensorInfo.
struct PlannedTensor {
  std::string name;
  quant::TensorType type{};
  std::uint8_t n_dims = 1;
  std::array<std::uint64_t, 4> dims{1, 1, 1, 1};
};

// An entry of the metadata; the value is only read while the header is written.
struct MetadataEntry {
  std::string_view key;
  const Value* value = nullptr;
};

// Writes one file from front to back. What it makes parses within the default Limits, with the
// tensors where other readers expect them: in the order of the table, each at the next multiple of
// the alignment, padded at the end too. Owner: the code that makes the file (thread-compatible).
class Writer {
 public:
  // Writes header and table to the empty `out`, which outlives the writer. `general.alignment`
  // among the entries decides the alignment, else it is 32. kInvalidArgument for what the parser
  // would refuse (a key twice, a name of no length, too many tensors, a shape that does not divide
  // into blocks); else errors of writing.
  static Result<Writer> begin(platform::OpenFile& out, const std::vector<MetadataEntry>& metadata,
                              std::vector<PlannedTensor> tensors);

  // The next bytes of the tensors: those of one tensor, whole, then those of the next; a piece may
  // be of any size but lies inside one tensor. Errors of writing.
  Status append(ByteView piece);
  // kInternal unless every tensor is complete. The caller syncs.
  Status finish();

  std::uint64_t bytes_written() const { return written_; }
  std::uint64_t tensor_bytes(std::size_t index) const { return sizes_[index]; }

 private:
  Writer(platform::OpenFile& out, std::uint32_t alignment) : out_(&out), alignment_(alignment) {}
  Status write(ByteView bytes);
  Status pad();

  platform::OpenFile* out_;
  std::uint32_t alignment_;
  std::vector<std::uint64_t> sizes_;  // [tensors]
  std::size_t tensor_ = 0;
  std::uint64_t done_ = 0;  // of that tensor
  std::uint64_t written_ = 0;
};

}  // namespace holdfast::gguf
