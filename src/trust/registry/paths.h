// Names of files and folders inside the data directory.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "holdfast/base/bytes.h"
#include "holdfast/crypto/sha256.h"

namespace holdfast::registry {

inline constexpr std::string_view kPacksDir = "packs";
inline constexpr std::string_view kModelsDir = "models";
inline constexpr std::string_view kLocksDir = "locks";
inline constexpr std::string_view kStoreLock = "locks/store.lock";
inline constexpr std::string_view kPackSuffix = ".hfc";
inline constexpr std::string_view kPartialSuffix = ".partial";
inline constexpr std::string_view kResumableSuffix = ".resumable";
inline constexpr std::string_view kManifestSuffix = ".json";

inline std::string pack_file_name(const crypto::Sha256Digest& pack) {
  return to_hex(pack) + std::string(kPackSuffix);
}

// Held by the process that converts this source.
inline std::string import_lock(std::string_view source_hex) {
  return std::string(kLocksDir) + "/" + std::string(source_hex) + ".lock";
}

// One flat folder per name: "+" stands for "/" and occurs in no name, so "a/b" cannot meet a tag
// "b" of "a".
inline std::string encode_name(std::string name) {
  std::replace(name.begin(), name.end(), '/', '+');
  return name;
}
inline std::string decode_name(std::string name) {
  std::replace(name.begin(), name.end(), '+', '/');
  return name;
}

}  // namespace holdfast::registry
