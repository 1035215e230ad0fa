#include "holdfast/model/importance.h"

#include <array>
#include <cmath>
#include <cstring>
#include <string_view>

#include "holdfast/gguf/gguf.h"
#include "holdfast/gguf/writer.h"

namespace holdfast::model {
namespace {

constexpr std::string_view kSumsSuffix = ".in_sum2";
constexpr std::string_view kCountsSuffix = ".counts";
constexpr std::string_view kType = "imatrix";

// Non-negative and finite: a file may say anything.
Result<std::vector<float>> read_floats(const platform::ByteSource& file,
                                       const gguf::TensorInfo& tensor) {
  if (tensor.type != quant::TensorType::kF32) {
    return corrupt("tensor " + tensor.name + " of the importance matrix is not F32");
  }
  std::vector<float> values(tensor.elements());
  HF_TRY(file.read_at(tensor.offset, std::as_writable_bytes(std::span(values))));
  for (const float v : values) {
    if (!std::isfinite(v) || v < 0) {
      return corrupt("tensor " + tensor.name +
                     " of the importance matrix holds a value that is negative or not finite");
    }
  }
  return values;
}

Result<ImportanceEntry> read_entry(const platform::ByteSource& file, const gguf::GgufFile& parsed,
                                   const gguf::TensorInfo& sums, std::string_view name) {
  const gguf::TensorInfo* counts =
      parsed.find_tensor(std::string(name) + std::string(kCountsSuffix));
  if (counts == nullptr || counts->elements() != sums.rows()) {
    return corrupt("the importance matrix has no counts that fit tensor " + sums.name);
  }
  ImportanceEntry entry;
  entry.columns = sums.columns();
  entry.matrices = sums.rows();
  HF_TRY_ASSIGN(entry.sums, read_floats(file, sums));
  HF_TRY_ASSIGN(entry.counts, read_floats(file, *counts));
  return entry;
}

Status check_kind(const platform::ByteSource& file) {
  std::array<std::byte, 4> magic{};
  if (file.size() >= magic.size()) HF_TRY(file.read_at(0, magic));
  if (as_string_view(magic) == "GGUF") return ok_status();
  return unsupported("the importance matrix is not in GGUF form")
      .with_hint(
          "Older files (.dat) are made anew by `holdfast eval imatrix` or converted by the "
          "program that made them.");
}

Status read_facts(const gguf::Metadata& metadata, Importance& importance) {
  HF_TRY_ASSIGN(const auto type, metadata.find_string("general.type"));
  if (!type || *type != kType) {
    return invalid_argument("the GGUF file is not an importance matrix");
  }
  HF_TRY_ASSIGN(const auto chunks, metadata.find_u32("imatrix.chunk_count"));
  HF_TRY_ASSIGN(const auto tokens, metadata.find_u32("imatrix.chunk_size"));
  importance.chunk_count = chunks.value_or(0);
  importance.chunk_tokens = tokens.value_or(0);
  HF_TRY_ASSIGN(const gguf::StringArray* datasets, metadata.find_strings("imatrix.datasets"));
  if (datasets == nullptr) return ok_status();
  for (const std::string_view name : *datasets) importance.datasets.emplace_back(name);
  return ok_status();
}

gguf::PlannedTensor plan(std::string name, std::uint64_t columns, std::uint64_t rows) {
  gguf::PlannedTensor tensor;
  tensor.name = std::move(name);
  tensor.type = quant::TensorType::kF32;
  tensor.n_dims = rows > 1 ? 2 : 1;
  tensor.dims = {columns, rows, 1, 1};
  return tensor;
}

}  // namespace

std::vector<ActivationSlot> activation_slots(const Hyperparameters& h) {
  std::vector<ActivationSlot> slots;
  for (std::uint32_t i = 0; i < h.n_layers; ++i) {
    const std::string p = "blk." + std::to_string(i) + ".";
    const auto slot = [&](std::uint32_t columns, std::initializer_list<const char*> names) {
      ActivationSlot s{{}, columns};
      for (const char* name : names) s.tensors.push_back(p + name + ".weight");
      slots.push_back(std::move(s));
    };
    h.fused_qkv ? slot(h.n_embd, {"attn_qkv"}) : slot(h.n_embd, {"attn_q", "attn_k", "attn_v"});
    slot(h.q_size(), {"attn_output"});
    h.fused_gate_up ? slot(h.n_embd, {"ffn_up"}) : slot(h.n_embd, {"ffn_gate", "ffn_up"});
    slot(h.n_ff, {"ffn_down"});
  }
  return slots;
}

std::size_t activation_columns(const Hyperparameters& h) {
  return std::size_t{h.n_layers} * (2 * std::size_t{h.n_embd} + h.q_size() + h.n_ff);
}

std::vector<float> ImportanceEntry::means(std::uint64_t matrix) const {
  const float count = counts[matrix];
  std::vector<float> out(columns, 1.0f);
  if (!(count > 0)) return out;
  for (std::uint64_t i = 0; i < columns; ++i) out[i] = sums[matrix * columns + i] / count;
  return out;
}

Result<Importance> read_importance(const platform::ByteSource& file) {
  HF_TRY(check_kind(file));
  const platform::ByteSource* const parts[] = {&file};
  HF_TRY_ASSIGN(const gguf::GgufFile parsed, gguf::parse(parts));
  Importance importance;
  HF_TRY(read_facts(parsed.metadata, importance));
  for (const gguf::TensorInfo& tensor : parsed.tensors) {
    const std::string_view name = tensor.name;
    if (!name.ends_with(kSumsSuffix)) continue;
    const std::string_view weight = name.substr(0, name.size() - kSumsSuffix.size());
    HF_TRY_ASSIGN(ImportanceEntry entry, read_entry(file, parsed, tensor, weight));
    importance.entries.emplace(weight, std::move(entry));
  }
  if (importance.entries.empty()) return corrupt("the importance matrix is empty");
  return importance;
}

Status write_importance(const Importance& importance, platform::OpenFile& out) {
  const gguf::Value type = gguf::make_string(std::string(kType));
  HF_TRY_ASSIGN(const gguf::Value datasets, gguf::make_strings(importance.datasets));
  const gguf::Value chunks = gguf::make_u32(importance.chunk_count);
  const gguf::Value tokens = gguf::make_u32(importance.chunk_tokens);
  std::vector<gguf::PlannedTensor> tensors;
  for (const auto& [name, entry] : importance.entries) {
    tensors.push_back(plan(name + std::string(kSumsSuffix), entry.columns, entry.matrices));
    tensors.push_back(plan(name + std::string(kCountsSuffix), 1, entry.matrices));
  }
  HF_TRY_ASSIGN(gguf::Writer writer, gguf::Writer::begin(out,
                                                         {{"general.type", &type},
                                                          {"imatrix.datasets", &datasets},
                                                          {"imatrix.chunk_count", &chunks},
                                                          {"imatrix.chunk_size", &tokens}},
                                                         std::move(tensors)));
  for (const auto& [name, entry] : importance.entries) {
    HF_TRY(writer.append(std::as_bytes(std::span(entry.sums))));
    HF_TRY(writer.append(std::as_bytes(std::span(entry.counts))));
  }
  return writer.finish();
}

}  // namespace holdfast::model
