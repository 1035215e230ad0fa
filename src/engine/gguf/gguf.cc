#include "holdfast/gguf/gguf.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "cursor.h"
#include "holdfast/base/checked.h"
#include "holdfast/gguf/safetensors.h"
#include "names.h"

namespace holdfast::gguf {
namespace {

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::uint32_t kDefaultAlignment = 32;

// Shortest records the format allows: a claim of more of them than the rest of the file can hold is
// a lie.
constexpr std::uint64_t kMetadataRecordMin = 8 + 1 + 4 + 1;        // key, type, one byte
constexpr std::uint64_t kTensorRecordMin = 8 + 1 + 4 + 8 + 4 + 8;  // name, dims, type, offset
constexpr std::uint64_t kStringRecordMin = 8;

// What one part of the model holds, before the parts are joined.
struct Part {
  std::uint32_t version = 0;
  std::uint32_t alignment = kDefaultAlignment;
  Metadata metadata;
  std::vector<TensorInfo> tensors;
};

Result<std::string> read_name(Cursor& in, std::uint64_t bytes_max, std::string_view what) {
  HF_TRY_ASSIGN(const std::uint64_t length, in.number<std::uint64_t>());
  if (length == 0 || length > bytes_max) {
    return corrupt(std::string(what) + " of " + std::to_string(length) + " bytes at offset " +
                   std::to_string(in.position()));
  }
  HF_TRY_ASSIGN(std::string name, in.string(length));
  if (!is_printable_name(name)) {
    return corrupt(std::string(what) + " at offset " + std::to_string(in.position() - length) +
                   " is not printable text");
  }
  return name;
}

Result<ValueType> read_type(Cursor& in) {
  HF_TRY_ASSIGN(const std::uint32_t type, in.number<std::uint32_t>());
  if (type > static_cast<std::uint32_t>(ValueType::kF64)) {
    return corrupt("unknown value type " + std::to_string(type));
  }
  return static_cast<ValueType>(type);
}

Result<std::string> read_string(Cursor& in, const Limits& limits) {
  HF_TRY_ASSIGN(const std::uint64_t length, in.number<std::uint64_t>());
  if (length > limits.string_bytes_max) {
    return corrupt("a string of " + std::to_string(length) + " bytes, limit " +
                   std::to_string(limits.string_bytes_max));
  }
  return in.string(length);
}

Result<Value> read_strings(Cursor& in, std::uint64_t count, const Limits& limits) {
  StringArray array;
  // Every element is at least a length of 8 bytes, which the caller compared with the bytes that
  // remain; the index of 4 bytes per element is then smaller than what is really there.
  array.reserve(count);
  std::string scratch;
  for (std::uint64_t i = 0; i < count; ++i) {
    HF_TRY_ASSIGN(const std::uint64_t length, in.number<std::uint64_t>());
    if (length > limits.string_bytes_max) {
      return corrupt("string " + std::to_string(i) + " of " + std::to_string(length) + " bytes");
    }
    HF_TRY_ASSIGN(const std::string_view text, in.view(length, scratch));
    HF_TRY(array.push_back(text));
  }
  return Value{ValueType::kArray, std::move(array)};
}

Result<Value> read_array(Cursor& in, const Limits& limits) {
  HF_TRY_ASSIGN(const ValueType element, read_type(in));
  HF_TRY_ASSIGN(const std::uint64_t count, in.number<std::uint64_t>());
  if (element == ValueType::kArray) return corrupt("an array of arrays");
  if (count > limits.array_elements_max) {
    return corrupt("an array of " + std::to_string(count) + " elements, limit " +
                   std::to_string(limits.array_elements_max));
  }
  NumberArray array;
  array.element = element;
  const std::uint64_t width =
      element == ValueType::kString ? kStringRecordMin : element_width(element);
  const std::optional<std::uint64_t> bytes = checked_mul(count, width);
  if (!bytes || *bytes > in.remaining()) {
    return corrupt("the model file is truncated or damaged: it claims an array of " +
                   std::to_string(count) + " elements in its last " +
                   std::to_string(in.remaining()) + " bytes");
  }
  if (element == ValueType::kString) return read_strings(in, count, limits);
  HF_TRY_ASSIGN(array.raw, in.bytes(*bytes));
  if (element == ValueType::kBool) {
    for (const std::byte b : array.raw) {
      if (b > std::byte{1}) return corrupt("a boolean that is neither 0 nor 1");
    }
  }
  return Value{ValueType::kArray, std::move(array)};
}

template <typename Stored, typename Kept>
Result<Value> read_scalar(Cursor& in, ValueType type) {
  HF_TRY_ASSIGN(const Stored v, in.number<Stored>());
  return Value{type, static_cast<Kept>(v)};
}

Result<Value> read_value(Cursor& in, const Limits& limits) {
  HF_TRY_ASSIGN(const ValueType type, read_type(in));
  switch (type) {
    case ValueType::kU8:
      return read_scalar<std::uint8_t, std::uint64_t>(in, type);
    case ValueType::kI8:
      return read_scalar<std::int8_t, std::int64_t>(in, type);
    case ValueType::kU16:
      return read_scalar<std::uint16_t, std::uint64_t>(in, type);
    case ValueType::kI16:
      return read_scalar<std::int16_t, std::int64_t>(in, type);
    case ValueType::kU32:
      return read_scalar<std::uint32_t, std::uint64_t>(in, type);
    case ValueType::kI32:
      return read_scalar<std::int32_t, std::int64_t>(in, type);
    case ValueType::kU64:
      return read_scalar<std::uint64_t, std::uint64_t>(in, type);
    case ValueType::kI64:
      return read_scalar<std::int64_t, std::int64_t>(in, type);
    case ValueType::kF32:
      return read_scalar<float, double>(in, type);
    case ValueType::kF64:
      return read_scalar<double, double>(in, type);
    case ValueType::kBool: {
      HF_TRY_ASSIGN(const std::uint8_t v, in.number<std::uint8_t>());
      if (v > 1) return corrupt("a boolean that is neither 0 nor 1");
      return Value{type, v == 1};
    }
    case ValueType::kString: {
      HF_TRY_ASSIGN(std::string text, read_string(in, limits));
      return Value{type, std::move(text)};
    }
    case ValueType::kArray:
      return read_array(in, limits);
  }
  return corrupt("unknown value type");
}

Status read_metadata(Cursor& in, std::uint64_t count, const Limits& limits, Metadata& out) {
  for (std::uint64_t i = 0; i < count; ++i) {
    auto key = read_name(in, limits.key_bytes_max, "a metadata key");
    if (!key.ok()) return std::move(key).error().add_context("metadata entry " + std::to_string(i));
    auto value = read_value(in, limits);
    if (!value.ok()) return std::move(value).error().add_context("metadata key " + *key);
    HF_TRY(out.insert(*std::move(key), *std::move(value)));
  }
  return ok_status();
}

Result<std::uint32_t> read_alignment(const Metadata& metadata, const Limits& limits) {
  HF_TRY_ASSIGN(const auto alignment, metadata.find_u32("general.alignment"));
  if (!alignment) return kDefaultAlignment;
  if (!std::has_single_bit(*alignment) || *alignment > limits.alignment_max) {
    return corrupt("an alignment of " + std::to_string(*alignment) +
                   " bytes: not a power of two up to " + std::to_string(limits.alignment_max));
  }
  return *alignment;
}

// Number of bytes that type and shape imply.
Result<std::uint64_t> tensor_bytes(const TensorInfo& tensor, std::uint32_t type_number) {
  const std::optional<quant::TensorType> known = quant::tensor_type_from_number(type_number);
  const quant::TypeInfo* type = known ? quant::type_info(*known) : nullptr;
  if (type == nullptr || type->is_packed() || type->block_elements == 0) {
    return unsupported("unsupported tensor type " + std::to_string(type_number),
                       "tensor " + tensor.name);
  }
  std::uint64_t elements = 1;
  for (std::size_t i = 0; i < tensor.n_dims; ++i) {
    const auto product = checked_mul(elements, tensor.dims[i]);
    // Signed 64 bits are what everything downstream can count with.
    if (!product || *product > std::numeric_limits<std::int64_t>::max()) {
      return corrupt("the shape of tensor " + tensor.name + " is too large");
    }
    elements = *product;
  }
  if (tensor.dims[0] % type->block_elements != 0) {
    return corrupt("rows of " + std::to_string(tensor.dims[0]) + " elements in tensor " +
                   tensor.name + " do not divide into blocks of " +
                   std::to_string(type->block_elements));
  }
  const auto bytes = checked_mul<std::uint64_t>(elements / type->block_elements, type->block_bytes);
  if (!bytes) return corrupt("the size of tensor " + tensor.name + " is too large");
  return *bytes;
}

Result<TensorInfo> read_tensor(Cursor& in, std::uint32_t alignment, const Limits& limits) {
  TensorInfo tensor;
  HF_TRY_ASSIGN(tensor.name, read_name(in, limits.tensor_name_bytes_max, "a tensor name"));
  HF_TRY_ASSIGN(const std::uint32_t n_dims, in.number<std::uint32_t>());
  if (n_dims < 1 || n_dims > tensor.dims.size()) {
    return corrupt("tensor " + tensor.name + " has " + std::to_string(n_dims) + " dimensions");
  }
  tensor.n_dims = static_cast<std::uint8_t>(n_dims);
  for (std::size_t i = 0; i < n_dims; ++i) {
    HF_TRY_ASSIGN(tensor.dims[i], in.number<std::uint64_t>());
    if (tensor.dims[i] == 0) return corrupt("tensor " + tensor.name + " has an empty dimension");
  }
  HF_TRY_ASSIGN(const std::uint32_t type, in.number<std::uint32_t>());
  tensor.type = static_cast<quant::TensorType>(type);
  HF_TRY_ASSIGN(tensor.bytes, tensor_bytes(tensor, type));
  HF_TRY_ASSIGN(tensor.offset, in.number<std::uint64_t>());
  if (tensor.offset % alignment != 0) {
    return corrupt("the offset of tensor " + tensor.name + " is not a multiple of " +
                   std::to_string(alignment));
  }
  return tensor;
}

// Turns offsets within the data region into offsets within the file, and checks that no tensor
// leaves the file or shares a byte with another.
Status place_tensors(std::vector<TensorInfo>& tensors, std::uint64_t data_begin,
                     std::uint64_t file_bytes) {
  const std::uint64_t room = file_bytes - std::min(data_begin, file_bytes);
  for (TensorInfo& tensor : tensors) {
    if (tensor.bytes > room || tensor.offset > room - tensor.bytes) {
      return corrupt("the model file is truncated: tensor " + tensor.name + " lies beyond its end");
    }
    tensor.offset += data_begin;
  }
  std::vector<const TensorInfo*> sorted(tensors.size());
  std::transform(tensors.begin(), tensors.end(), sorted.begin(), [](auto& t) { return &t; });
  std::sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return a->offset < b->offset; });
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i]->offset < sorted[i - 1]->offset + sorted[i - 1]->bytes) {
      return corrupt("tensors " + sorted[i - 1]->name + " and " + sorted[i]->name + " overlap");
    }
  }
  return ok_status();
}

Result<std::uint32_t> read_version(Cursor& in) {
  const auto magic = in.number<std::uint32_t>();
  if (!magic.ok() && magic.error().code() != ErrorCode::kCorrupt) return magic.error();
  if (!magic.ok() || *magic != kMagic) {
    return invalid_argument("not a GGUF file").with_hint("Holdfast imports models in GGUF form.");
  }
  HF_TRY_ASSIGN(const std::uint32_t version, in.number<std::uint32_t>());
  if (version == 2 || version == 3) return version;
  if (version == 0x02000000 || version == 0x03000000) {
    return unsupported("unsupported GGUF file: its byte order is big-endian");
  }
  return unsupported("unsupported GGUF version " + std::to_string(version) +
                     ": only 2 and 3 are known");
}

Result<std::uint64_t> read_count(Cursor& in, std::uint64_t count_max, std::string_view what) {
  HF_TRY_ASSIGN(const std::uint64_t count, in.number<std::uint64_t>());
  if (count > count_max) {
    return corrupt("the file claims " + std::to_string(count) + " " + std::string(what) +
                   ", limit " + std::to_string(count_max));
  }
  return count;
}

Status check_room(const Cursor& in, std::uint64_t count, std::uint64_t record_min,
                  std::string_view what) {
  if (count <= in.remaining() / record_min) return ok_status();
  return corrupt("the model file is truncated: it claims " + std::to_string(count) + " " +
                 std::string(what));
}

Result<Part> parse_part(const platform::ByteSource& source, std::uint32_t index,
                        const Limits& limits) {
  Cursor in(source, limits.metadata_bytes_max);
  Part part;
  HF_TRY_ASSIGN(part.version, read_version(in));
  HF_TRY_ASSIGN(const std::uint64_t n_tensors, read_count(in, limits.tensors_max, "tensors"));
  HF_TRY_ASSIGN(const std::uint64_t n_metadata,
                read_count(in, limits.metadata_count_max, "metadata entries"));
  HF_TRY(check_room(in, n_metadata, kMetadataRecordMin, "metadata entries"));
  HF_TRY(read_metadata(in, n_metadata, limits, part.metadata));
  HF_TRY_ASSIGN(part.alignment, read_alignment(part.metadata, limits));
  HF_TRY(check_room(in, n_tensors, kTensorRecordMin, "tensors"));
  part.tensors.reserve(n_tensors);
  for (std::uint64_t i = 0; i < n_tensors; ++i) {
    auto tensor = read_tensor(in, part.alignment, limits);
    if (!tensor.ok()) return std::move(tensor).error().add_context("tensor " + std::to_string(i));
    tensor->part = index;
    part.tensors.push_back(*std::move(tensor));
  }
  HF_TRY(place_tensors(part.tensors, round_up<std::uint64_t>(in.position(), part.alignment),
                       source.size()));
  return part;
}

// Split files say how many they are, which one this is and how many tensors there are in all.
Status check_split(const Metadata& metadata, std::size_t index, std::size_t n_parts) {
  HF_TRY_ASSIGN(const auto count, metadata.find_u32("split.count"));
  HF_TRY_ASSIGN(const auto number, metadata.find_u32("split.no"));
  const std::uint32_t claimed = count.value_or(0);
  if (claimed <= 1 && n_parts == 1) return ok_status();
  if (claimed != n_parts) {
    return invalid_argument("the model is split into " + std::to_string(claimed) + " files, but " +
                            std::to_string(n_parts) + " were given");
  }
  if (number.value_or(0) != index) {
    return invalid_argument("file " + std::to_string(index + 1) +
                            " of the split model says it is " + "number " +
                            std::to_string(std::uint64_t{number.value_or(0)} + 1));
  }
  return ok_status();
}

Status check_split_tensors(const Metadata& metadata, std::size_t n_tensors) {
  HF_TRY_ASSIGN(const auto total, metadata.find_u32("split.tensors.count"));
  if (!total || *total == n_tensors) return ok_status();
  return corrupt("the split model claims " + std::to_string(*total) + " tensors and holds " +
                 std::to_string(n_tensors));
}

}  // namespace

Status index_tensors(GgufFile& file) {
  file.by_name.resize(file.tensors.size());
  std::iota(file.by_name.begin(), file.by_name.end(), 0u);
  const auto name = [&](std::uint32_t i) -> const std::string& { return file.tensors[i].name; };
  std::sort(file.by_name.begin(), file.by_name.end(),
            [&](std::uint32_t a, std::uint32_t b) { return name(a) < name(b); });
  const auto twice =
      std::adjacent_find(file.by_name.begin(), file.by_name.end(),
                         [&](std::uint32_t a, std::uint32_t b) { return name(a) == name(b); });
  if (twice == file.by_name.end()) return ok_status();
  return corrupt("two tensors have the name " + name(*twice));
}

const TensorInfo* GgufFile::find_tensor(std::string_view name) const {
  const auto it = std::lower_bound(
      by_name.begin(), by_name.end(), name,
      [&](std::uint32_t i, std::string_view wanted) { return tensors[i].name < wanted; });
  if (it == by_name.end() || tensors[*it].name != name) return nullptr;
  return &tensors[*it];
}

Result<GgufFile> parse(std::span<const platform::ByteSource* const> parts, const Limits& limits) {
  if (parts.empty() || parts.size() > limits.parts_max) {
    return invalid_argument("a model of " + std::to_string(parts.size()) + " files");
  }
  GgufFile file;
  for (std::uint32_t i = 0; i < parts.size(); ++i) {
    const std::string where = parts.size() == 1 ? "GGUF" : "GGUF part " + std::to_string(i + 1);
    HF_TRY_ASSIGN(Part part, parse_part(*parts[i], i, limits).context(where));
    HF_TRY(check_split(part.metadata, i, parts.size()));
    if (file.tensors.size() + part.tensors.size() > limits.tensors_max) {
      return corrupt("the split model holds more than " + std::to_string(limits.tensors_max) +
                     " tensors");
    }
    std::move(part.tensors.begin(), part.tensors.end(), std::back_inserter(file.tensors));
    if (i != 0) continue;
    file.version = part.version;
    file.alignment = part.alignment;
    file.metadata = std::move(part.metadata);
  }
  HF_TRY(check_split_tensors(file.metadata, file.tensors.size()));
  HF_TRY(index_tensors(file));
  return file;
}

}  // namespace holdfast::gguf
