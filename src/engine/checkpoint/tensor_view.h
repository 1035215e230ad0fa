// Tensors of a checkpoint as GGUF has them, computed while they are read.
#pragma once

#include <cstdint>

#include "holdfast/base/result.h"
#include "holdfast/platform/byte_source.h"
#include "holdfast/quant/types.h"

namespace holdfast::checkpoint {

// Rows in another order: pairs (2i, 2i + 1) of each head from the halves (i, i + head_rows / 2) of
// the file. Owner: the checkpoint; the file outlives it. Thread-safe.
class PairedRows final : public platform::ByteSource {
 public:
  // Precondition: head_rows is even and divides `rows`; the tensor lies inside `file`.
  PairedRows(const platform::ByteSource& file, std::uint64_t offset, std::uint64_t rows,
             std::uint64_t row_bytes, std::uint64_t head_rows)
      : file_(file), offset_(offset), rows_(rows), row_bytes_(row_bytes), head_rows_(head_rows) {}
  std::uint64_t size() const override { return rows_ * row_bytes_; }
  Status read_at(std::uint64_t offset, MutableBytes out) const override;

 private:
  std::uint64_t source_row(std::uint64_t row) const;

  const platform::ByteSource& file_;
  std::uint64_t offset_, rows_, row_bytes_, head_rows_;
};

// F32 values, one larger each than those of the file. Thread-safe, as above.
class PlusOne final : public platform::ByteSource {
 public:
  // Precondition: a float type; the tensor lies inside `file`.
  PlusOne(const platform::ByteSource& file, std::uint64_t offset, std::uint64_t elements,
          quant::TensorType type);
  std::uint64_t size() const override { return elements_ * sizeof(float); }
  Status read_at(std::uint64_t offset, MutableBytes out) const override;

 private:
  const platform::ByteSource& file_;
  std::uint64_t offset_, elements_, width_;
  quant::TensorType type_;
};

}  // namespace holdfast::checkpoint
