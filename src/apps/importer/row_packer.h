// Packs one matrix, a wave of row groups at a time, on several threads.
#pragma once

#include <cstdint>
#include <functional>

#include "holdfast/base/result.h"
#include "holdfast/platform/byte_source.h"
#include "holdfast/quant/types.h"

namespace holdfast::importer {

struct MatrixSource {
  const platform::ByteSource* file = nullptr;
  std::uint64_t offset = 0;  // of the first row
  quant::TensorType type{};
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
};

// Hands the packed bytes to `sink` in order, in pieces of about 16 MiB; that and one group of rows
// per thread is all the memory it takes. The bytes do not depend on the number of threads. Errors
// of reading and of the sink.
Status pack_matrix(const MatrixSource& matrix, unsigned threads,
                   const std::function<Status(ByteView)>& sink);

}  // namespace holdfast::importer
