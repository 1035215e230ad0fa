// Tensor types: the numbers of GGUF files and those of the packed matrices that kernels read.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "holdfast/base/result.h"

namespace holdfast::quant {

// Numbers below 0x8000 are ggml's, from 0x8000 on those of packed matrices
// (docs/formats/packed_tensors.md).
enum class TensorType : std::uint16_t {
#define HF_GGML_TYPE(name, number, elements, bytes, type_class, packed) k##name = number,
#define HF_PACKED_TYPE(name, number, elements, block) k##name = number,
#include "holdfast/quant/types.def"
#undef HF_GGML_TYPE
#undef HF_PACKED_TYPE
};

enum class TypeClass : std::uint8_t {
  kFloat,      // F32, F16, BF16
  kQuantised,  // blocks of integers with scales
  kPacked,     // a matrix in groups of 16 rows
  kOther,      // known by name; never holds weights
};

// A row of the type table; static lifetime.
struct TypeInfo {
  TensorType type;
  std::string_view name;  // as ggml spells it in upper case: "Q4_K"; packed types "P4_K"
  TypeClass type_class;
  std::uint32_t block_elements;  // consecutive k that one block covers
  std::uint32_t block_bytes;     // of one row, or of 16 rows together for packed types
  TensorType packed;             // what a matrix of this type is packed to; itself for packed types

  constexpr bool may_hold_weights() const {
    return type_class == TypeClass::kFloat || type_class == TypeClass::kQuantised;
  }
  constexpr bool is_packed() const { return type_class == TypeClass::kPacked; }
};

// nullptr for a number that is not in the table.
const TypeInfo* type_info(TensorType type);
// From the number in a file; nullopt for an unknown one.
std::optional<TensorType> tensor_type_from_number(std::uint32_t number);
// From the name in the table, case matters; nullopt for an unknown one.
std::optional<TensorType> tensor_type_from_name(std::string_view name);
// "?" for a number that is not in the table.
std::string_view tensor_type_name(TensorType type);
// Every row, in the order of the table.
std::span<const TypeInfo> all_types();

// Bytes of one row-major row of a type that is not packed. kInvalidArgument where `elements` is no
// multiple of the block, the type is unknown or packed, or the size overflows.
Result<std::uint64_t> row_bytes(TensorType type, std::uint64_t elements);

}  // namespace holdfast::quant
