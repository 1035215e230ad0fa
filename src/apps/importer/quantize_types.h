// Which type each tensor of a quantised file gets. The rules are those that files of these names
// are known for: what costs most accuracy gets more bits.
#pragma once

#include <cstdint>
#include <string_view>

#include "holdfast/gguf/gguf.h"
#include "holdfast/quant/types.h"

namespace holdfast::importer {

enum class FileType : std::uint8_t {
#define HF_FILE_TYPE(name, number, tensor_type) k##name,
#include "file_types.def"
#undef HF_FILE_TYPE
};

struct FileTypeInfo {
  FileType type;
  std::string_view name;
  std::uint32_t number;  // of general.file_type
  quant::TensorType tensor_type;
};

// nullptr for an unknown name; case does not matter.
const FileTypeInfo* find_file_type(std::string_view name);
std::span<const FileTypeInfo> all_file_types();

// What the rules ask of the model. kCorrupt where its metadata contradicts itself.
struct ModelShape {
  std::uint32_t n_layers = 0;
  std::uint32_t heads_per_kv_head = 1;
  bool has_output = false;  // an output matrix apart from the embedding
  bool has_importance = false;
  bool wide_80_layers = false;  // the 70B models: their few KV heads are worth more bits
};
Result<ModelShape> model_shape(const gguf::GgufFile& file, bool has_importance);

struct TypeChoice {
  quant::TensorType type{};
  bool fallback = false;
};
// Vectors, norms and other small tensors keep what they have.
TypeChoice choose_type(const FileTypeInfo& file_type, const ModelShape& shape,
                       const gguf::TensorInfo& tensor);

}  // namespace holdfast::importer
