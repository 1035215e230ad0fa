// The JSON inside the messages with a quantising child (docs/formats/wire.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/importer/quantize.h"

namespace holdfast::importer {

struct QuantizeRequest {
  std::vector<std::uint64_t> sizes;  // of the parts, then of the importance matrix if there is one
  bool has_importance = false;
  std::string importance_name;
  std::string type;
  unsigned threads = 1;
  // Of the files of a safetensors folder; empty for GGUF.
  std::vector<std::string> names = {};
};

std::string encode_quantize_request(const QuantizeRequest& request);
// kCorrupt for anything that encode_quantize_request would not have written.
Result<QuantizeRequest> decode_quantize_request(std::string_view text);

std::string encode_quantize_result(const QuantizeResult& result);
// kCorrupt likewise: the child parsed hostile bytes.
Result<QuantizeResult> decode_quantize_result(std::string_view text);

}  // namespace holdfast::importer
