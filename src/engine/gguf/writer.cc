#include "holdfast/gguf/writer.h"

#include <bit>
#include <limits>
#include <set>
#include <utility>

#include "holdfast/base/checked.h"
#include "names.h"

namespace holdfast::gguf {
namespace {

constexpr std::uint32_t kVersion = 3;
constexpr std::uint32_t kDefaultAlignment = 32;
constexpr Limits kLimits;

Status check_name(std::string_view name, std::uint64_t bytes_max, std::string_view what) {
  if (!name.empty() && name.size() <= bytes_max && is_printable_name(name)) return ok_status();
  return invalid_argument(std::string(what) + " that a GGUF file cannot hold");
}

void put_string(ByteWriter& out, std::string_view text) {
  out.le<std::uint64_t>(text.size()).raw(text);
}

void put_type(ByteWriter& out, ValueType type) { out.le(static_cast<std::uint32_t>(type)); }

void put_array(ByteWriter& out, const StringArray& array) {
  put_type(out, ValueType::kString);
  out.le<std::uint64_t>(array.size());
  for (const std::string_view text : array) put_string(out, text);
}

void put_array(ByteWriter& out, const NumberArray& array) {
  put_type(out, array.element);
  out.le<std::uint64_t>(array.size()).raw(ByteView(array.raw));
}

// Integers of every width are kept as 64 bits; the low bytes are the number again.
template <typename Kept>
void put_integer(ByteWriter& out, ValueType type, Kept v) {
  switch (type) {
    case ValueType::kU8:
    case ValueType::kI8:
      out.le(static_cast<std::uint8_t>(v));
      return;
    case ValueType::kU16:
    case ValueType::kI16:
      out.le(static_cast<std::uint16_t>(v));
      return;
    case ValueType::kU32:
    case ValueType::kI32:
      out.le(static_cast<std::uint32_t>(v));
      return;
    default:
      out.le(v);
  }
}

struct PutValue {
  ByteWriter& out;
  ValueType type;

  void operator()(std::uint64_t v) const { put_integer(out, type, v); }
  void operator()(std::int64_t v) const { put_integer(out, type, v); }
  void operator()(double v) const {
    type == ValueType::kF32 ? out.le(static_cast<float>(v)) : out.le(v);
  }
  void operator()(bool v) const { out.le<std::uint8_t>(v ? 1 : 0); }
  void operator()(const std::string& v) const { put_string(out, v); }
  void operator()(const StringArray& v) const { put_array(out, v); }
  void operator()(const NumberArray& v) const { put_array(out, v); }
};

Status put_metadata(ByteWriter& out, const std::vector<MetadataEntry>& entries) {
  if (entries.size() > kLimits.metadata_count_max) {
    return invalid_argument("too many metadata entries for a GGUF file");
  }
  std::set<std::string_view> keys;
  for (const MetadataEntry& entry : entries) {
    HF_TRY(check_name(entry.key, kLimits.key_bytes_max, "a metadata key"));
    if (!keys.insert(entry.key).second) {
      return invalid_argument("the key " + std::string(entry.key) + " twice");
    }
    put_string(out, entry.key);
    put_type(out, entry.value->type);
    std::visit(PutValue{out, entry.value->type}, entry.value->data);
    if (out.size() > kLimits.metadata_bytes_max) {
      return invalid_argument("more metadata than a GGUF file may have");
    }
  }
  return ok_status();
}

Result<std::uint32_t> alignment_of(const std::vector<MetadataEntry>& entries) {
  for (const MetadataEntry& entry : entries) {
    if (entry.key != "general.alignment") continue;
    const auto* v = std::get_if<std::uint64_t>(&entry.value->data);
    if (v == nullptr || !std::has_single_bit(*v) || *v > kLimits.alignment_max) {
      return invalid_argument("an alignment that is no power of two");
    }
    return static_cast<std::uint32_t>(*v);
  }
  return kDefaultAlignment;
}

Result<std::uint64_t> size_of(const PlannedTensor& tensor) {
  HF_TRY(check_name(tensor.name, kLimits.tensor_name_bytes_max, "a tensor name"));
  if (tensor.n_dims < 1 || tensor.n_dims > tensor.dims.size()) {
    return invalid_argument("tensor " + tensor.name + " has no shape");
  }
  std::uint64_t rows = 1;
  for (std::size_t i = 1; i < tensor.n_dims; ++i) {
    const auto product = checked_mul(rows, tensor.dims[i]);
    if (!product) return invalid_argument("tensor " + tensor.name + " is too large");
    rows = *product;
  }
  HF_TRY_ASSIGN(const std::uint64_t row, quant::row_bytes(tensor.type, tensor.dims[0]));
  const auto bytes = checked_mul(rows, row);
  if (!bytes || *bytes == 0) return invalid_argument("the size of tensor " + tensor.name);
  return *bytes;
}

}  // namespace

Result<Writer> Writer::begin(platform::OpenFile& out, const std::vector<MetadataEntry>& metadata,
                             std::vector<PlannedTensor> tensors) {
  if (tensors.size() > kLimits.tensors_max) {
    return invalid_argument("too many tensors for a GGUF file");
  }
  HF_TRY_ASSIGN(const std::uint32_t alignment, alignment_of(metadata));
  Writer writer(out, alignment);
  ByteWriter header;
  header.raw("GGUF").le(kVersion).le<std::uint64_t>(tensors.size());
  header.le<std::uint64_t>(metadata.size());
  HF_TRY(put_metadata(header, metadata));
  std::set<std::string_view> names;
  std::uint64_t offset = 0;
  for (const PlannedTensor& tensor : tensors) {
    HF_TRY_ASSIGN(const std::uint64_t bytes, size_of(tensor));
    if (!names.insert(tensor.name).second) {
      return invalid_argument("two tensors have the name " + tensor.name);
    }
    put_string(header, tensor.name);
    header.le<std::uint32_t>(tensor.n_dims);
    for (std::size_t i = 0; i < tensor.n_dims; ++i) header.le(tensor.dims[i]);
    header.le(static_cast<std::uint32_t>(tensor.type)).le(offset);
    const auto end = checked_add(offset, bytes);
    const auto next = end ? checked_round_up<std::uint64_t>(*end, alignment) : std::nullopt;
    if (!next || *next > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return invalid_argument("the file would be too large");
    }
    offset = *next;
    writer.sizes_.push_back(bytes);
  }
  header.align(alignment);
  HF_TRY(writer.write(header.view()));
  return writer;
}

Status Writer::write(ByteView bytes) {
  HF_TRY(out_->write_all(bytes));
  written_ += bytes.size();
  return ok_status();
}

Status Writer::pad() {
  const std::uint64_t end = round_up<std::uint64_t>(written_, alignment_);
  return write(Bytes(end - written_));
}

Status Writer::append(ByteView piece) {
  if (piece.empty()) return ok_status();
  HF_CHECK(tensor_ < sizes_.size() && piece.size() <= sizes_[tensor_] - done_);
  HF_TRY(write(piece));
  done_ += piece.size();
  if (done_ < sizes_[tensor_]) return ok_status();
  ++tensor_;
  done_ = 0;
  return pad();
}

Status Writer::finish() {
  if (tensor_ == sizes_.size()) return ok_status();
  return internal_error(
      "a GGUF file lacks tensors",
      std::to_string(tensor_) + " of " + std::to_string(sizes_.size()) + " were written");
}

}  // namespace holdfast::gguf
