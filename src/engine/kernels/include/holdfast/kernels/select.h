// Choice of the kernel table, made once at start, and lookup of a format in it.
#pragma once

#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/footprint/kv_pages.h"
#include "holdfast/kernels/kernel_table.h"
#include "holdfast/platform/cpu.h"
#include "holdfast/quant/types.h"

namespace holdfast::kernels {

// The best table that this machine can run, or the one named by `forced` ("" for none). Static
// lifetime. kInvalidArgument for a name that no table has, kUnsupported for a table that the
// machine or the build lacks.
Result<const KernelTable*> select_kernels(const platform::CpuFeatures& cpu,
                                          std::string_view forced);

// All tables that this machine can run, the best last. The first is always the scalar one.
std::vector<const KernelTable*> available_kernels(const platform::CpuFeatures& cpu);

using footprint::find_kv_type;
using footprint::kv_type_name;

inline const KvKernels& kv_kernels(const KernelTable& table, KvType type) {
  return table.kv[static_cast<std::size_t>(type)];
}

// The matrix kernel of a packed type; nullptr when it is not of that kind.
QuantGemm quant_gemm(const KernelTable& table, quant::TensorType packed);
FloatGemm float_gemm(const KernelTable& table, quant::TensorType packed);

}  // namespace holdfast::kernels
