// The JSON inside the messages of a reseal (child_run.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/crypto/sha256.h"

namespace holdfast::importer {

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

struct ResealRequest {
  bool source_sealed = false;
  std::optional<std::uint64_t> created;      // of a sealed output, Unix seconds
  std::optional<ByteRange> range;            // of the pack inside its file; else all of it
  std::optional<crypto::Sha256Digest> work;  // what is resumed (vault/resumable_seal.h)
};

struct ResealResult {
  crypto::Sha256Digest pack{};  // content address of the new pack
  std::uint64_t bytes_kept = 0;
};

std::string encode_reseal_request(const ResealRequest& request);
// kCorrupt for anything that encode_reseal_request would not have written.
Result<ResealRequest> decode_reseal_request(std::string_view text);

std::string encode_reseal_result(const ResealResult& result);
Result<ResealResult> decode_reseal_result(std::string_view text);

}  // namespace holdfast::importer
