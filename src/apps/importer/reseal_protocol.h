// The JSON inside the messages of a reseal (child_run.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/crypto/sha256.h"

namespace holdfast::importer {

struct ResealRequest {
  bool source_sealed = false;
  std::optional<std::uint64_t> created;  // of a sealed output, Unix seconds
};

std::string encode_reseal_request(const ResealRequest& request);
// kCorrupt for anything that encode_reseal_request would not have written.
Result<ResealRequest> decode_reseal_request(std::string_view text);

// The content address of the new pack.
std::string encode_reseal_result(const crypto::Sha256Digest& pack);
Result<crypto::Sha256Digest> decode_reseal_result(std::string_view text);

}  // namespace holdfast::importer
