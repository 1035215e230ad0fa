// The words of the OCI image layout that bundles use.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/crypto/sha256.h"
#include "holdfast/json/json.h"

namespace holdfast::bundle::oci {

inline constexpr std::string_view kLayoutFile = "oci-layout";
inline constexpr std::string_view kLayoutText = R"({"imageLayoutVersion":"1.0.0"})";
inline constexpr std::string_view kIndexFile = "index.json";
inline constexpr std::string_view kBlobs = "blobs/sha256/";
inline constexpr std::string_view kIndexType = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kManifestType = "application/vnd.oci.image.manifest.v1+json";

struct Descriptor {
  std::string_view media_type;
  crypto::Sha256Digest digest{};
  std::uint64_t size = 0;
};

// A descriptor that was read; owns its text.
struct FoundDescriptor {
  std::string media_type;
  crypto::Sha256Digest digest{};
  std::uint64_t size = 0;
};

std::string blob_name(const crypto::Sha256Digest& digest);
json::Object descriptor(const Descriptor& d);
// kCorrupt: a digest is "sha256:" and 64 small hexadecimal digits before anything is done with it.
Result<FoundDescriptor> decode_descriptor(const json::Value& value);

// What a document of that media type may have; of the pack, anything.
std::uint64_t bytes_max(std::string_view media_type);

}  // namespace holdfast::bundle::oci
