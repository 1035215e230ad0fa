// Encodes one tensor in another type, a wave of rows at a time, on several threads.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/platform/byte_source.h"
#include "holdfast/quant/types.h"

namespace holdfast::importer {

struct RowSource {
  const platform::ByteSource* file = nullptr;
  std::uint64_t offset = 0;  // of the first row
  quant::TensorType type{};
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  // Importance of the columns, one list for every `rows_per_importance` rows; empty: none.
  std::vector<std::vector<float>> importance;
  std::uint64_t rows_per_importance = 0;
};

// Hands the encoded rows to `sink` in order, in pieces of some MiB. The bytes do not depend on the
// number of threads. Errors of reading, of quant::encode_row and of the sink.
Status encode_rows(const RowSource& source, quant::TensorType type, unsigned threads,
                   const std::function<Status(ByteView)>& sink);

}  // namespace holdfast::importer
