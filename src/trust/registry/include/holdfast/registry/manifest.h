// The manifest of one model name: a small JSON file.
#pragma once

#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/registry/store.h"

namespace holdfast::registry {

inline constexpr std::size_t kManifestBytesMax = 4u
                                                 << 20;  // with a signature over thousands of files

// Members that this version does not know, such as a signature, are kept and written again.
std::string encode_manifest(const ModelRecord& record);
// kCorrupt for anything that is not a manifest; kUnsupported for a newer version. The name comes
// from the file's place.
Result<ModelRecord> decode_manifest(std::string_view text, const ModelName& name);

// Where the manifest of that name lies below the data directory: "models/<name>/<tag>.json".
std::string manifest_place(const ModelName& name);

// Lower-case hexadecimal of 32 bytes; kCorrupt otherwise.
Result<crypto::Sha256Digest> digest_from_hex(std::string_view hex);

}  // namespace holdfast::registry
