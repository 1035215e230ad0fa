#include "tensor_view.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "holdfast/quant/codec.h"

namespace holdfast::checkpoint {

std::uint64_t PairedRows::source_row(std::uint64_t row) const {
  const std::uint64_t in_head = row % head_rows_;
  return row - in_head + (in_head % 2) * (head_rows_ / 2) + in_head / 2;
}

Status PairedRows::read_at(std::uint64_t offset, MutableBytes out) const {
  HF_TRY(platform::check_range(offset, out.size(), size()));
  while (!out.empty()) {
    const std::uint64_t in_row = offset % row_bytes_;
    const std::uint64_t n = std::min<std::uint64_t>(row_bytes_ - in_row, out.size());
    const std::uint64_t from = source_row(offset / row_bytes_) * row_bytes_ + in_row;
    HF_TRY(file_.read_at(offset_ + from, out.first(n)));
    out = out.subspan(n);
    offset += n;
  }
  return ok_status();
}

PlusOne::PlusOne(const platform::ByteSource& file, std::uint64_t offset, std::uint64_t elements,
                 quant::TensorType type)
    : file_(file),
      offset_(offset),
      elements_(elements),
      width_(quant::type_info(type)->block_bytes),
      type_(type) {}

Status PlusOne::read_at(std::uint64_t offset, MutableBytes out) const {
  HF_TRY(platform::check_range(offset, out.size(), size()));
  const std::uint64_t first = offset / sizeof(float);
  const std::uint64_t last = (offset + out.size() + sizeof(float) - 1) / sizeof(float);
  Bytes source((last - first) * width_);
  HF_TRY(file_.read_at(offset_ + first * width_, source));
  std::vector<float> values(last - first);
  if (values.empty()) return ok_status();
  quant::dequantize(type_, source.data(), values.size(), values.data());
  for (float& v : values) v += 1.0f;
  std::memcpy(out.data(),
              std::as_bytes(std::span(values)).data() + (offset - first * sizeof(float)),
              out.size());
  return ok_status();
}

}  // namespace holdfast::checkpoint
