#include "quantize_types.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <string>

namespace holdfast::importer {
namespace {

using quant::TensorType;

constexpr std::array kFileTypes = {
#define HF_FILE_TYPE(name, number, tensor_type) \
  FileTypeInfo{FileType::k##name, #name, number, TensorType::k##tensor_type},
#include "file_types.def"
#undef HF_FILE_TYPE
};

constexpr std::uint32_t kLayersMax = 65536;  // more than any list of tensors can name

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::toupper(x) == std::toupper(y); });
}

// A number per model, or a list with one per layer, of which the first stands for all.
std::optional<std::uint32_t> first_number(const gguf::Metadata& metadata, const std::string& key) {
  if (const auto one = metadata.get_u32(key); one.ok()) return *one;
  const auto many = metadata.get_u32_array(key);
  if (many.ok() && !many->empty()) return many->front();
  return std::nullopt;
}

// "blk.7.ffn_down.weight" is of layer 7.
std::optional<std::uint32_t> layer_of(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::uint32_t layer = 0;
  const auto [end, error] =
      std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), layer);
  if (error != std::errc() || layer >= kLayersMax) return std::nullopt;
  return layer;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// The first and last eighth of the layers, and every third between.
bool gets_more_bits(std::uint32_t layer, std::uint32_t n_layers) {
  const std::uint32_t eighth = n_layers / 8;
  return layer < eighth || layer >= 7 * n_layers / 8 || (layer - eighth) % 3 == 2;
}

bool is_quantised(const gguf::TensorInfo& tensor) {
  const std::string_view name = tensor.name;
  if (!name.ends_with("weight") || tensor.n_dims < 2) return false;
  // Routers of experts, convolutions and learned positions are small and decide much.
  constexpr std::array kKept = {"_norm.weight",       "ffn_gate_inp.weight", "position_embd.weight",
                                "token_types.weight", "ssm_conv1d",          "attn_rel_b.weight"};
  return std::none_of(kKept.begin(), kKept.end(),
                      [&](const char* part) { return contains(name, part); });
}

struct Rules {
  const FileTypeInfo& file;
  const ModelShape& shape;
  std::uint32_t layer;

  bool is(std::initializer_list<FileType> types) const {
    return std::find(types.begin(), types.end(), file.type) != types.end();
  }
  bool more_bits() const { return gets_more_bits(layer, shape.n_layers); }
  bool early(std::uint32_t share) const { return layer < shape.n_layers / share; }

  TensorType head(const gguf::TensorInfo& tensor) const {
    if (quant::type_info(file.tensor_type)->type_class == quant::TypeClass::kFloat) {
      return file.tensor_type;
    }
    const std::uint32_t block = quant::type_info(file.tensor_type)->block_elements;
    if (file.type == FileType::kQ8_0 || tensor.columns() % block != 0) return TensorType::kQ8_0;
    return TensorType::kQ6_K;
  }
  TensorType attn_v() const {
    TensorType type = file.tensor_type;
    if (is({FileType::kQ3_K_M})) type = layer < 2 ? TensorType::kQ5_K : TensorType::kQ4_K;
    if (is({FileType::kIQ4_NL, FileType::kIQ4_XS}) && shape.heads_per_kv_head >= 4) {
      type = TensorType::kQ5_K;
    }
    if (is({FileType::kQ4_K_M, FileType::kQ5_K_M}) && more_bits()) type = TensorType::kQ6_K;
    if (is({FileType::kQ4_K_S}) && layer < 4) type = TensorType::kQ5_K;
    if (shape.wide_80_layers && (type == TensorType::kQ3_K || type == TensorType::kQ4_K)) {
      type = TensorType::kQ5_K;
    }
    return type;
  }
  TensorType ffn_down() const {
    if (is({FileType::kQ3_K_M})) return early(16) ? TensorType::kQ5_K : TensorType::kQ4_K;
    if (is({FileType::kQ4_K_M, FileType::kQ5_K_M}) && more_bits()) return TensorType::kQ6_K;
    if (is({FileType::kQ4_K_S}) && early(8)) return TensorType::kQ5_K;
    if (is({FileType::kIQ4_NL, FileType::kIQ4_XS}) && early(8) && !shape.has_importance) {
      return TensorType::kQ5_K;
    }
    // A few huge weights in the first layers upset four bits around zero, importance or not.
    if (is({FileType::kQ4_0, FileType::kQ5_0}) && early(8) && shape.has_importance) {
      return file.type == FileType::kQ4_0 ? TensorType::kQ4_1 : TensorType::kQ5_1;
    }
    return file.tensor_type;
  }
  TensorType fused_qkv() const {
    if (is({FileType::kQ3_K_M})) return TensorType::kQ4_K;
    if (is({FileType::kQ4_K_M})) return TensorType::kQ5_K;
    if (is({FileType::kQ5_K_M})) return TensorType::kQ6_K;
    return file.tensor_type;
  }
  TensorType choose(const gguf::TensorInfo& tensor) const {
    const std::string_view name = tensor.name;
    const bool is_head =
        name == "output.weight" || (!shape.has_output && name == "token_embd.weight");
    if (is_head) return head(tensor);
    if (contains(name, "attn_v.weight")) return attn_v();
    if (contains(name, "ffn_down")) return ffn_down();
    if (contains(name, "attn_qkv.weight")) return fused_qkv();
    if (contains(name, "attn_output.weight") && is({FileType::kQ3_K_M})) return TensorType::kQ4_K;
    return file.tensor_type;
  }
};

// The nearest type of about the same size whose blocks fit the rows.
TypeChoice fitting(TensorType type, std::uint64_t columns) {
  const auto fits = [&](TensorType t) {
    return columns % quant::type_info(t)->block_elements == 0;
  };
  if (fits(type)) return {type, false};
  TensorType smaller = TensorType::kF16;
  switch (type) {
    case TensorType::kQ3_K:
    case TensorType::kIQ4_XS:
      smaller = TensorType::kIQ4_NL;
      break;
    case TensorType::kQ4_K:
      smaller = TensorType::kQ5_0;
      break;
    case TensorType::kQ5_K:
      smaller = TensorType::kQ5_1;
      break;
    case TensorType::kQ6_K:
      smaller = TensorType::kQ8_0;
      break;
    default:
      break;
  }
  return {fits(smaller) ? smaller : TensorType::kF16, true};
}

}  // namespace

std::span<const FileTypeInfo> all_file_types() { return kFileTypes; }

const FileTypeInfo* find_file_type(std::string_view name) {
  const auto* it = std::find_if(kFileTypes.begin(), kFileTypes.end(), [&](const FileTypeInfo& t) {
    return equal_ignoring_case(t.name, name);
  });
  return it == kFileTypes.end() ? nullptr : it;
}

Result<ModelShape> model_shape(const gguf::GgufFile& file, bool has_importance) {
  HF_TRY_ASSIGN(const auto architecture, file.metadata.find_string("general.architecture"));
  const std::string prefix = std::string(architecture.value_or("")) + ".";
  ModelShape shape;
  shape.has_importance = has_importance;
  shape.has_output = file.find_tensor("output.weight") != nullptr;
  for (const gguf::TensorInfo& tensor : file.tensors) {
    shape.n_layers = std::max(shape.n_layers, layer_of(tensor.name).value_or(0) + 1);
  }
  if (const auto n = first_number(file.metadata, prefix + "block_count")) shape.n_layers = *n;
  const std::uint32_t heads =
      first_number(file.metadata, prefix + "attention.head_count").value_or(1);
  const std::uint32_t kv_heads =
      first_number(file.metadata, prefix + "attention.head_count_kv").value_or(heads);
  if (kv_heads > 0) shape.heads_per_kv_head = heads / kv_heads;
  shape.wide_80_layers =
      shape.n_layers == 80 && heads != kv_heads && (prefix == "llama." || prefix == "qwen2.");
  return shape;
}

TypeChoice choose_type(const FileTypeInfo& file_type, const ModelShape& shape,
                       const gguf::TensorInfo& tensor) {
  const quant::TypeInfo* source = quant::type_info(tensor.type);
  if (!is_quantised(tensor) || !source->may_hold_weights()) return {tensor.type, false};
  const Rules rules{file_type, shape, layer_of(tensor.name).value_or(0)};
  return fitting(rules.choose(tensor), tensor.columns());
}

}  // namespace holdfast::importer
