#include "cursor.h"

namespace holdfast::gguf {

std::uint64_t element_width(ValueType type) {
  switch (type) {
    case ValueType::kU8:
    case ValueType::kI8:
    case ValueType::kBool:
      return 1;
    case ValueType::kU16:
    case ValueType::kI16:
      return 2;
    case ValueType::kU32:
    case ValueType::kI32:
    case ValueType::kF32:
      return 4;
    case ValueType::kU64:
    case ValueType::kI64:
    case ValueType::kF64:
      return 8;
    case ValueType::kString:
    case ValueType::kArray:
      break;
  }
  return 0;
}

Status Cursor::check(std::uint64_t length) const {
  if (length <= remaining()) return ok_status();
  if (capped_) return corrupt("the header of the model file is larger than the limit");
  return corrupt("the model file is truncated: " + std::to_string(length) +
                 " bytes expected at offset " + std::to_string(position_) + ", " +
                 std::to_string(remaining()) + " left");
}

Status Cursor::need(std::uint64_t length) {
  HF_TRY(check(length));
  const std::uint64_t buffered_end = buffer_begin_ + buffer_.size();
  if (position_ >= buffer_begin_ && position_ + length <= buffered_end) return ok_status();
  buffer_.resize(std::min(kBufferBytes, remaining()));
  buffer_begin_ = position_;
  auto status = source_.read_at(position_, buffer_);
  if (!status.ok()) buffer_.clear();
  return status;
}

Status Cursor::read_direct(MutableBytes out) {
  HF_TRY(source_.read_at(position_, out));
  position_ += out.size();
  return ok_status();
}

Result<std::string_view> Cursor::view(std::uint64_t length, std::string& scratch) {
  if (length <= kBufferBytes) {
    HF_TRY(need(length));
    const auto* begin = buffer_.data() + (position_ - buffer_begin_);
    position_ += length;
    return as_string_view({begin, static_cast<std::size_t>(length)});
  }
  HF_TRY_ASSIGN(scratch, string(length));
  return std::string_view(scratch);
}

Result<std::string> Cursor::string(std::uint64_t length) {
  HF_TRY(check(length));
  if (length <= kBufferBytes) {
    std::string unused;
    HF_TRY_ASSIGN(const std::string_view text, view(length, unused));
    return std::string(text);
  }
  std::string text(length, '\0');
  HF_TRY(read_direct(std::as_writable_bytes(std::span(text))));
  return text;
}

Result<Bytes> Cursor::bytes(std::uint64_t length) {
  HF_TRY(check(length));
  Bytes out(length);
  HF_TRY(read_direct(out));
  return out;
}

}  // namespace holdfast::gguf
