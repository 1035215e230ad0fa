#include "tensor_paths.h"

#include <map>

#include "holdfast/kernels/select.h"
#include "holdfast/quant/types.h"

namespace holdfast::cli {

namespace {

void describe_kernel(const kernels::KernelTable& table, quant::TensorType type, TensorPath& out) {
  const bool int8 = kernels::quant_gemm(table, type) != nullptr;
  if (!int8 && kernels::float_gemm(table, type) == nullptr) {
    out.path = KernelPath::kNone;
    out.kernel = "vectors of float32";
    return;
  }
  const std::string isa = table.isa;
  out.kernel = isa + (int8 ? " int8 dots" : " f32 fma");
  if (isa == "scalar") {
    out.path = KernelPath::kGeneric;
  } else if (type == quant::TensorType::kP8S) {
    out.path = KernelPath::kWidened;
    out.kernel += ", widened to 8 bits at import";
  } else {
    out.path = KernelPath::kFast;
  }
}

}  // namespace

std::string tensor_class(std::string_view name) {
  if (name.starts_with("blk.")) {
    const std::size_t dot = name.find('.', 4);
    if (dot != std::string_view::npos) name.remove_prefix(dot + 1);
  }
  if (name.ends_with(".weight")) name.remove_suffix(7);
  return std::string(name);
}

std::vector<TensorPath> tensor_paths(const vault::PackIndex& index,
                                     const kernels::KernelTable& table) {
  std::map<std::pair<std::string, std::uint16_t>, TensorPath> classes;
  for (const vault::TensorEntry& t : index.tensors) {
    TensorPath& p = classes[{tensor_class(t.name), t.type}];
    ++p.count;
    p.bytes += t.length;
  }
  std::vector<TensorPath> out;
  for (auto& [key, p] : classes) {
    const auto type = static_cast<quant::TensorType>(key.second);
    p.tensors = key.first;
    p.type = quant::tensor_type_name(type);
    describe_kernel(table, type, p);
    out.push_back(std::move(p));
  }
  return out;
}

}  // namespace holdfast::cli
