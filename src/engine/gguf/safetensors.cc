#include "holdfast/gguf/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <set>

#include "holdfast/base/checked.h"
#include "holdfast/json/json.h"
#include "holdfast/json/stream.h"
#include "names.h"

namespace holdfast::gguf {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kHeaderBytesOfFormat = 100'000'000;
// {}: the shortest header.
constexpr std::uint64_t kHeaderBytesMin = 2;
// Object, type, two arrays with up to four and two numbers, and the metadata beside them.
constexpr std::size_t kValuesPerTensor = 12;
constexpr std::size_t kMetadataEntriesMax = 4096;
// All files together hold no more tensors than this many full ones.
constexpr std::size_t kFilesFull = 4;
constexpr std::size_t kDepthMax = 3;
constexpr std::size_t kNameShownMax = 64;

struct Dtype {
  std::string_view name;
  quant::TensorType type;
  std::uint64_t bytes;
};
constexpr std::array kDtypes = {Dtype{"F32", quant::TensorType::kF32, 4},
                                Dtype{"F16", quant::TensorType::kF16, 2},
                                Dtype{"BF16", quant::TensorType::kBF16, 2}};

// How much of a foreign text goes into a message.
std::string shown(std::string_view text) {
  std::string clean = sanitize_utf8(text.substr(0, kNameShownMax));
  std::erase_if(clean, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  return "\"" + clean + (text.size() > kNameShownMax ? "...\"" : "\"");
}

Error bad_tensor(std::string_view name, std::string what) {
  return corrupt("tensor " + shown(name) + " " + std::move(what));
}

// What a file is that is none of ours: the two that people have lying beside.
Error not_safetensors(std::uint64_t first_bytes) {
  Error error = invalid_argument("not a safetensors file");
  if ((first_bytes & 0xffffffff) == 0x04034b50 || (first_bytes & 0xff) == 0x80) {
    error = unsupported("unsupported file: it looks like a pickle, which can run code when read");
    return std::move(error).with_hint("Holdfast imports safetensors and GGUF files.");
  }
  return error;
}

Result<std::string> read_header(const platform::ByteSource& source,
                                const SafetensorsLimits& limits) {
  if (source.size() < kLengthBytes + kHeaderBytesMin)
    return invalid_argument("not a safetensors file");
  std::array<std::byte, kLengthBytes + 1> start{};
  HF_TRY(source.read_at(0, start));
  const auto length = load_le<std::uint64_t>(start.data());
  const bool brace = start[kLengthBytes] == std::byte{'{'};
  if (!brace) return not_safetensors(length);
  if (length > kHeaderBytesOfFormat || length > limits.header_bytes_max) {
    return corrupt("the file claims a header of " + std::to_string(length) + " bytes, limit " +
                   std::to_string(limits.header_bytes_max));
  }
  if (length < kHeaderBytesMin || length > source.size() - kLengthBytes) {
    return corrupt("the model file is truncated or damaged: it claims a header of " +
                   std::to_string(length) + " bytes in a file of " + std::to_string(source.size()));
  }
  std::string header(length, '\0');
  HF_TRY(source.read_at(kLengthBytes, std::as_writable_bytes(std::span(header))));
  return header;
}

// Words of the JSON parser, in the voice of a file.
Error header_error(const Error& error) {
  return corrupt("the header is not valid: " + error.client_message(), error.detail());
}

Result<std::uint64_t> number(const json::Value& v, std::string_view tensor, std::string_view what) {
  if (!v.is_int() || v.as_int() < 0) {
    return bad_tensor(tensor, "has a " + std::string(what) + " that is no whole number from 0 on");
  }
  return static_cast<std::uint64_t>(v.as_int());
}

Status read_shape(const json::Value* shape, TensorInfo& tensor) {
  if (shape == nullptr || !shape->is_array()) return bad_tensor(tensor.name, "has no shape");
  const json::Array& dims = shape->as_array();
  if (dims.empty() || dims.size() > tensor.dims.size()) {
    return bad_tensor(tensor.name, "has " + std::to_string(dims.size()) + " dimensions");
  }
  tensor.n_dims = static_cast<std::uint8_t>(dims.size());
  for (std::size_t i = 0; i < dims.size(); ++i) {
    std::uint64_t& dim = tensor.dims[dims.size() - 1 - i];
    HF_TRY_ASSIGN(dim, number(dims[i], tensor.name, "dimension"));
    if (dim == 0) return bad_tensor(tensor.name, "has an empty dimension");
  }
  return ok_status();
}

Result<Dtype> read_dtype(const json::Value* dtype, std::string_view tensor) {
  if (dtype == nullptr || !dtype->is_string()) return bad_tensor(tensor, "has no data type");
  for (const Dtype& known : kDtypes) {
    if (known.name == dtype->as_string()) return known;
  }
  return unsupported("unsupported data type " + shown(dtype->as_string()) + " of tensor " +
                     shown(tensor) + "; supported: F32, F16, BF16");
}

// Bytes that type and shape imply.
Result<std::uint64_t> size_of(const TensorInfo& tensor, std::uint64_t width) {
  std::uint64_t bytes = width;
  for (const std::uint64_t dim : tensor.dims) {
    const auto product = checked_mul(bytes, dim);
    // Signed 64 bits are what everything downstream can count with.
    if (!product || *product > std::numeric_limits<std::int64_t>::max()) {
      return bad_tensor(tensor.name, "has a shape that is too large");
    }
    bytes = *product;
  }
  return bytes;
}

Status read_range(const json::Value* range, std::uint64_t data_bytes, TensorInfo& tensor) {
  if (range == nullptr || !range->is_array() || range->as_array().size() != 2) {
    return bad_tensor(tensor.name, "has no data_offsets of two numbers");
  }
  HF_TRY_ASSIGN(const std::uint64_t begin,
                number(range->as_array()[0], tensor.name, "data offset"));
  HF_TRY_ASSIGN(const std::uint64_t end, number(range->as_array()[1], tensor.name, "data offset"));
  if (begin > end || end > data_bytes) {
    return bad_tensor(tensor.name, "lies beyond the end of the file");
  }
  if (end - begin != tensor.bytes) {
    return bad_tensor(tensor.name, "has " + std::to_string(end - begin) +
                                       " bytes where its shape needs " +
                                       std::to_string(tensor.bytes));
  }
  tensor.offset = begin;
  return ok_status();
}

Result<TensorInfo> read_tensor(const json::Member& member, std::uint64_t data_bytes,
                               const SafetensorsLimits& limits) {
  TensorInfo tensor;
  tensor.name = member.key;
  if (tensor.name.empty() || tensor.name.size() > limits.tensor_name_bytes_max ||
      !is_printable_name(tensor.name)) {
    return bad_tensor(tensor.name, "has a name of no length, too long or not printable");
  }
  if (!member.value.is_object()) return bad_tensor(tensor.name, "is not described by an object");
  if (member.value.as_object().size() > 3) return bad_tensor(tensor.name, "has unknown members");
  HF_TRY_ASSIGN(const Dtype dtype, read_dtype(member.value.find("dtype"), tensor.name));
  tensor.type = dtype.type;
  HF_TRY(read_shape(member.value.find("shape"), tensor));
  HF_TRY_ASSIGN(tensor.bytes, size_of(tensor, dtype.bytes));
  HF_TRY(read_range(member.value.find("data_offsets"), data_bytes, tensor));
  return tensor;
}

Status read_metadata(const json::Value& value, SafetensorsFile& out) {
  if (!value.is_object()) return corrupt("the header's __metadata__ is no object");
  if (value.as_object().size() > kMetadataEntriesMax) {
    return corrupt("the header's __metadata__ has more than " +
                   std::to_string(kMetadataEntriesMax) + " entries");
  }
  for (const json::Member& m : value.as_object()) {
    if (!m.value.is_string()) return corrupt("the header's __metadata__ holds more than texts");
    out.metadata.emplace_back(m.key, m.value.as_string());
  }
  return ok_status();
}

// In the order of their bytes, each begins where the one before ends, and the last ends the file.
Status place_tensors(std::vector<TensorInfo>& tensors, std::uint64_t data_begin,
                     std::uint64_t data_bytes) {
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.offset < b.offset; });
  std::uint64_t end = 0;
  for (TensorInfo& tensor : tensors) {
    if (tensor.offset < end) return bad_tensor(tensor.name, "overlaps the one before it");
    if (tensor.offset > end) return bad_tensor(tensor.name, "leaves a hole before it");
    end = tensor.offset + tensor.bytes;
    tensor.offset += data_begin;
  }
  if (end != data_bytes) {
    return corrupt("the file holds " + std::to_string(data_bytes - end) +
                   " bytes that belong to no tensor");
  }
  return ok_status();
}

// The files that are there, and those that the index speaks of, are the same.
Status check_shard_names(std::span<const Shard> shards, const ShardIndex& index) {
  std::set<std::string_view> given;
  std::set<std::string_view> named;
  for (const Shard& shard : shards) given.insert(shard.name);
  for (const auto& [tensor, file] : index) {
    named.insert(file);
    if (!given.contains(file)) {
      return invalid_argument("the model lacks the file \"" + file + "\"");
    }
  }
  for (const Shard& shard : shards) {
    if (!named.contains(shard.name)) {
      return invalid_argument("the index of the model does not know the file \"" + shard.name +
                              "\"");
    }
  }
  return ok_status();
}

// No name twice, and none in the index that no file holds.
Status check_names(const std::vector<TensorInfo>& tensors, const ShardIndex* index) {
  std::vector<std::string_view> names;
  for (const TensorInfo& t : tensors) names.push_back(t.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) return bad_tensor(*twice, "is in two files");
  if (index == nullptr) return ok_status();
  for (const auto& [name, file] : *index) {
    if (std::binary_search(names.begin(), names.end(), std::string_view(name))) continue;
    return bad_tensor(name, "is not in " + file + " where the index says it is");
  }
  return ok_status();
}

// The file of a shard holds only what the index expects there.
Status check_place(const TensorInfo& tensor, const std::string& shard, const ShardIndex& index) {
  const auto said = index.find(tensor.name);
  if (said != index.end() && said->second == shard) return ok_status();
  return bad_tensor(tensor.name, "is in " + shard + " where the index says " +
                                     (said == index.end() ? "nothing" : said->second));
}

}  // namespace

Result<SafetensorsFile> parse_safetensors(const platform::ByteSource& source,
                                          const SafetensorsLimits& limits) {
  HF_TRY_ASSIGN(const std::string header, read_header(source, limits));
  auto parsed = json::parse(
      header, {.bytes_max = static_cast<std::size_t>(limits.header_bytes_max),
               .depth_max = kDepthMax,
               .values_max = kMetadataEntriesMax + kValuesPerTensor * limits.tensors_max});
  if (!parsed.ok()) return header_error(parsed.error());
  if (!parsed->is_object()) return corrupt("the header is no JSON object");
  const std::uint64_t data_begin = kLengthBytes + header.size();
  const std::uint64_t data_bytes = source.size() - data_begin;
  SafetensorsFile file;
  for (const json::Member& member : parsed->as_object()) {
    if (member.key == "__metadata__") {
      HF_TRY(read_metadata(member.value, file));
      continue;
    }
    if (file.tensors.size() == limits.tensors_max) {
      return corrupt("the file holds more than " + std::to_string(limits.tensors_max) + " tensors");
    }
    HF_TRY_ASSIGN(TensorInfo tensor, read_tensor(member, data_bytes, limits));
    file.tensors.push_back(std::move(tensor));
  }
  HF_TRY(place_tensors(file.tensors, data_begin, data_bytes));
  return file;
}

bool is_shard_name(std::string_view name) {
  constexpr std::string_view kExtension = ".safetensors";
  constexpr std::size_t kNameBytesMax = 255;
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return name.size() > kExtension.size() && name.size() <= kNameBytesMax &&
         name.ends_with(kExtension) && name.front() != '.' && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), plain);
}

Result<ShardIndex> parse_shard_index(std::string_view text, const SafetensorsLimits& limits) {
  ShardIndex map;
  const std::size_t entries_max = std::size_t{limits.tensors_max} * kFilesFull;
  const auto take = [&](std::string_view tensor, json::Value file) -> Status {
    if (map.size() == entries_max) {
      return corrupt("the index names more than " + std::to_string(entries_max) + " tensors");
    }
    if (!file.is_string() || !is_shard_name(file.as_string())) {
      return corrupt("the index gives " + (file.is_string() ? shown(file.as_string()) : "no text") +
                     " as the file of tensor " + shown(tensor) +
                     ", which is no plain name of a .safetensors file");
    }
    if (!map.emplace(std::string(tensor), file.as_string()).second) {
      return corrupt("the index names tensor " + shown(tensor) + " twice");
    }
    return ok_status();
  };
  const json::Stream streams[] = {{{"weight_map"}, take}};
  auto parsed = json::parse(text,
                            {.bytes_max = static_cast<std::size_t>(limits.header_bytes_max),
                             .values_max = kMetadataEntriesMax},
                            streams);
  if (!parsed.ok()) {
    if (parsed.error().code() == ErrorCode::kCorrupt) return parsed.error();
    return corrupt("the index is not valid: " + parsed.error().client_message());
  }
  const json::Value* weights = parsed->find("weight_map");
  if (weights == nullptr || !weights->is_object()) return corrupt("the index has no weight_map");
  if (map.empty()) return corrupt("the weight_map of the index is empty");
  return map;
}

Result<std::vector<TensorInfo>> parse_shards(std::span<const Shard> shards, const ShardIndex* index,
                                             const SafetensorsLimits& limits) {
  if (shards.empty() || shards.size() > limits.shards_max) {
    return invalid_argument("a model of " + std::to_string(shards.size()) + " safetensors files");
  }
  if (index != nullptr) HF_TRY(check_shard_names(shards, *index));
  std::vector<TensorInfo> tensors;
  const std::size_t tensors_max = std::size_t{limits.tensors_max} * kFilesFull;
  for (std::uint32_t i = 0; i < shards.size(); ++i) {
    HF_TRY_ASSIGN(SafetensorsFile file,
                  parse_safetensors(*shards[i].source, limits).context(shards[i].name));
    if (tensors.size() + file.tensors.size() > tensors_max) {
      return corrupt("the model holds more than " + std::to_string(tensors_max) + " tensors");
    }
    for (TensorInfo& tensor : file.tensors) {
      tensor.part = i;
      if (index != nullptr) HF_TRY(check_place(tensor, shards[i].name, *index));
      tensors.push_back(std::move(tensor));
    }
  }
  HF_TRY(check_names(tensors, index));
  return tensors;
}

}  // namespace holdfast::gguf
