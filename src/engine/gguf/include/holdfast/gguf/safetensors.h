// Parser of safetensors files and of the index of a model that is cut into several of them. Both
// are hostile input: bytes in, typed and bounded values out (docs/formats/safetensors.md).
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/gguf/gguf.h"
#include "holdfast/platform/byte_source.h"

namespace holdfast::gguf {

// What one file may ask for; compared with the bytes that are there before anything is allocated.
struct SafetensorsLimits {
  // The format allows 100 MB. A header of the largest dense model takes 0.2 MB; each tensor costs
  // some six times its text in memory while it is parsed.
  std::uint64_t header_bytes_max = 16ull << 20;
  std::uint32_t tensors_max = 16384;          // of one file
  std::uint32_t tensor_name_bytes_max = 255;  // what a pack's index can hold
  std::uint32_t shards_max = 999;
};

// What one file says. Tensors in the order of their bytes, `part` 0; dims as in TensorInfo, so the
// last number of the file's shape comes first. Thread-compatible value.
struct SafetensorsFile {
  std::vector<TensorInfo> tensors;
  std::vector<std::pair<std::string, std::string>> metadata;  // "__metadata__"
};

// Reads the header only. The tensors fill the rest of the file, without a hole and without a shared
// byte, as the format demands. Errors: kInvalidArgument - not a safetensors file (named where it is
// a pickle or a zip); kUnsupported - a data type other than F32, F16 and BF16, named; kCorrupt -
// anything else, naming the field; kIo from the source.
Result<SafetensorsFile> parse_safetensors(const platform::ByteSource& source,
                                          const SafetensorsLimits& limits = {});

// One plain file name that ends in ".safetensors": no separators, no dots in front, nothing that a
// path or a terminal could take for something else.
bool is_shard_name(std::string_view name);

// Tensor to file.
using ShardIndex = std::map<std::string, std::string, std::less<>>;

// The "weight_map" of model.safetensors.index.json. kCorrupt, naming the field;
// kExhausted where it is larger than a header may be.
Result<ShardIndex> parse_shard_index(std::string_view text, const SafetensorsLimits& limits = {});

struct Shard {
  std::string name;
  const platform::ByteSource* source = nullptr;
};

// The tensors of all shards, `part` the shard's place; names unique. Where there is an index (not
// null), every tensor must be in the file that it names: kInvalidArgument names a shard that is
// missing or that the index does not know, kCorrupt a tensor in another file, or in none.
Result<std::vector<TensorInfo>> parse_shards(std::span<const Shard> shards, const ShardIndex* index,
                                             const SafetensorsLimits& limits = {});

// Makes `by_name` of a GgufFile whose tensors were put together by hand. kCorrupt names a tensor
// that is there twice.
Status index_tensors(GgufFile& file);

}  // namespace holdfast::gguf
