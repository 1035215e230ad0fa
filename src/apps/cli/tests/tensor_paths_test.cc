// Which kernel works on which tensor. Oracle: the packed types that formats.def lists, by hand.
#include "../tensor_paths.h"

#include <gtest/gtest.h>

#include "holdfast/kernels/select.h"
#include "holdfast/platform/cpu.h"
#include "holdfast/quant/types.h"

namespace holdfast::cli {
namespace {

vault::TensorEntry tensor(const char* name, quant::TensorType type, std::uint64_t length) {
  vault::TensorEntry t;
  t.name = name;
  t.type = static_cast<std::uint16_t>(type);
  t.length = length;
  return t;
}

vault::PackIndex model() {
  vault::PackIndex index;
  index.tensors = {tensor("blk.0.attn_norm.weight", quant::TensorType::kF32, 8),
                   tensor("blk.0.attn_q.weight", quant::TensorType::kP4_0, 100),
                   tensor("blk.0.ffn_up.weight", quant::TensorType::kP8S, 7),
                   tensor("blk.1.attn_q.weight", quant::TensorType::kP4_0, 100),
                   tensor("blk.10.attn_q.weight", quant::TensorType::kP6_K, 3),
                   tensor("token_embd.weight", quant::TensorType::kPF16, 50)};
  return index;
}

TEST(TensorClass, LeavesOutTheBlockNumber) {
  EXPECT_EQ(tensor_class("blk.12.attn_q.weight"), "attn_q");
  EXPECT_EQ(tensor_class("blk.1.attn_q.bias"), "attn_q.bias");
  EXPECT_EQ(tensor_class("token_embd.weight"), "token_embd");
  EXPECT_EQ(tensor_class("blk."), "blk.");
  EXPECT_EQ(tensor_class(""), "");
}

TEST(TensorPaths, GroupedByClassAndType) {
  const auto tables = kernels::available_kernels(platform::CpuFeatures::detect());
  const std::vector<TensorPath> scalar = tensor_paths(model(), *tables.front());
  ASSERT_EQ(scalar.size(), 5u);
  EXPECT_EQ(scalar[0].tensors, "attn_norm");
  EXPECT_EQ(scalar[0].path, KernelPath::kNone);
  EXPECT_EQ(scalar[0].kernel, "vectors of float32");
  EXPECT_EQ(scalar[1].tensors, "attn_q");
  EXPECT_EQ(scalar[1].type, "P4_0");
  EXPECT_EQ(scalar[1].count, 2u);
  EXPECT_EQ(scalar[1].bytes, 200u);
  EXPECT_EQ(scalar[1].path, KernelPath::kGeneric);
  EXPECT_EQ(scalar[1].kernel, "scalar int8 dots");
  EXPECT_EQ(scalar[2].type, "P6_K");
  EXPECT_EQ(scalar[4].kernel, "scalar f32 fma");
}

TEST(TensorPaths, FastWithVectorInstructions) {
  for (const kernels::KernelTable* table :
       kernels::available_kernels(platform::CpuFeatures::detect())) {
    if (std::string_view(table->isa) == "scalar") continue;
    const std::vector<TensorPath> paths = tensor_paths(model(), *table);
    EXPECT_EQ(paths[1].path, KernelPath::kFast) << table->isa;
    EXPECT_EQ(paths[1].kernel, std::string(table->isa) + " int8 dots");
    EXPECT_EQ(paths[3].tensors, "ffn_up");
    EXPECT_EQ(paths[3].path, KernelPath::kWidened) << table->isa;
    EXPECT_EQ(paths[4].path, KernelPath::kFast) << table->isa;
  }
}

}  // namespace
}  // namespace holdfast::cli
