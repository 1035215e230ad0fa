// The JSON inside the import messages of engine/wire (docs/formats/wire.md).
#pragma once

#include <string>
#include <string_view>

#include "convert.h"

namespace holdfast::importer {

// Descriptors of the child: control, then the parts in order, then the output, then the key where
// the pack is sealed.
inline constexpr int kControlFd = 3;
inline constexpr int kFirstPartFd = 4;

std::string encode_request(const ConvertOptions& options);
// kCorrupt for anything that encode_request would not have written.
Result<ConvertOptions> decode_request(std::string_view text);

std::string encode_result(const ConvertResult& result);
// The child parsed hostile bytes, so its answer is checked like them: kCorrupt; texts are cleaned
// again.
Result<ConvertResult> decode_result(std::string_view text);

}  // namespace holdfast::importer
