// From the parts of a GGUF model to one GGUF file in another type: pure conversion, without
// processes.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "holdfast/importer/quantize.h"
#include "holdfast/model/importance.h"
#include "holdfast/platform/file.h"
#include "quantize_types.h"

namespace holdfast::importer {

struct RequantizeInput {
  std::span<const platform::ByteSource* const> parts;
  const FileTypeInfo* type = nullptr;
  const model::Importance* importance = nullptr;  // or none
  std::string importance_name;                    // to record in the file
  unsigned threads = 1;
  std::vector<std::string> names = {};  // as open_source()
};

// Called with source bytes done and to do.
using RequantizeProgress = std::function<Status(std::uint64_t done, std::uint64_t total)>;

// Writes the file into the empty `out`; the caller syncs it. Errors: those of open_source();
// kCorrupt for a weight that is not finite, kInvalidArgument for one that the type cannot hold or
// an importance matrix of another model, all naming the tensor; those of writing; that of
// `progress`.
Result<QuantizeResult> requantize(const RequantizeInput& input, platform::OpenFile& out,
                                  const RequantizeProgress& progress);

}  // namespace holdfast::importer
