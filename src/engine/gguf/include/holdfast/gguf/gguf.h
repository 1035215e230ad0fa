// Parser of GGUF v2 and v3 model files, which are hostile input: bytes in, typed and bounded values
// out.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/gguf/metadata.h"
#include "holdfast/platform/byte_source.h"
#include "holdfast/quant/types.h"

namespace holdfast::gguf {

// What a file may ask for. Each is compared with the claim, and the claim with the bytes that
// remain, before anything is allocated; so memory is bounded by the bytes that are really there,
// whatever the limits.
struct Limits {
  std::uint32_t parts_max = 999;  // split files; five-digit names exist, so many parts do not
  std::uint32_t metadata_count_max = 65536;
  std::uint32_t key_bytes_max = 65535;  // the format's own limit
  std::uint64_t string_bytes_max =
      64ull << 20;  // a tokenizer.json embedded as one string is about 17 MiB
  std::uint64_t array_elements_max = 16ull << 20;
  std::uint64_t metadata_bytes_max = 1ull << 30;  // keys, values and tensor table of one part
  std::uint32_t tensors_max = 65536;
  std::uint32_t tensor_name_bytes_max = 255;  // what a pack's index can hold
  std::uint32_t alignment_max = 1u << 20;
};

// One tensor as the file describes it: type known, shape product and size checked, bytes inside its
// part, aligned and not overlapping another tensor.
struct TensorInfo {
  std::string name;
  quant::TensorType type{};
  std::uint8_t n_dims = 1;                        // 1..4
  std::array<std::uint64_t, 4> dims{1, 1, 1, 1};  // dims[0] is contiguous; 1 beyond n_dims
  std::uint32_t part = 0;                         // index of the file that holds it
  std::uint64_t offset = 0;                       // from the start of that file
  std::uint64_t bytes = 0;

  std::uint64_t elements() const { return dims[0] * dims[1] * dims[2] * dims[3]; }  // cannot wrap
  std::uint64_t columns() const { return dims[0]; }
  std::uint64_t rows() const { return dims[1] * dims[2] * dims[3]; }
};

// A parsed container: a value that owns everything but the tensors' bytes. Movable.
// Thread-compatible.
struct GgufFile {
  std::uint32_t version = 0;
  std::uint32_t alignment = 32;
  Metadata metadata;                // of the first part
  std::vector<TensorInfo> tensors;  // of all parts, in file order; names unique

  // nullptr if missing. Logarithmic.
  const TensorInfo* find_tensor(std::string_view name) const;

  std::vector<std::uint32_t> by_name;  // indices of `tensors`, sorted by name
};

// Parses the parts of one model in the order of their numbers (a file that is not split is one
// part). Reads only headers. Errors: kInvalidArgument - not a GGUF file, parts missing or in a
// wrong order; kUnsupported - version, byte order or tensor type; kCorrupt - anything else in the
// bytes, naming the field; kIo from the source.
Result<GgufFile> parse(std::span<const platform::ByteSource* const> parts,
                       const Limits& limits = {});

}  // namespace holdfast::gguf
