#include "oci.h"

#include <limits>

#include "holdfast/bundle/bundle.h"
#include "holdfast/registry/manifest.h"

namespace holdfast::bundle::oci {
namespace {

constexpr std::string_view kAlgorithm = "sha256:";

Error malformed(std::string_view member) {
  return corrupt("the bundle is damaged", "descriptor, member " + std::string(member));
}

}  // namespace

std::string blob_name(const crypto::Sha256Digest& digest) {
  return std::string(kBlobs) + to_hex(digest);
}

json::Object descriptor(const Descriptor& d) {
  return {{"mediaType", d.media_type},
          {"digest", std::string(kAlgorithm) + to_hex(d.digest)},
          {"size", d.size}};
}

Result<FoundDescriptor> decode_descriptor(const json::Value& value) {
  const json::Value* type = value.find("mediaType");
  const json::Value* digest = value.find("digest");
  const json::Value* size = value.find("size");
  if (type == nullptr || !type->is_string()) return malformed("mediaType");
  if (digest == nullptr || !digest->is_string() || !digest->as_string().starts_with(kAlgorithm))
    return malformed("digest");
  if (size == nullptr || !size->is_int() || size->as_int() < 0) return malformed("size");
  FoundDescriptor out;
  out.media_type = type->as_string();
  const auto bytes =
      registry::digest_from_hex(std::string_view(digest->as_string()).substr(kAlgorithm.size()));
  if (!bytes.ok()) return malformed("digest");
  out.digest = *bytes;
  out.size = static_cast<std::uint64_t>(size->as_int());
  return out;
}

std::uint64_t bytes_max(std::string_view media_type) {
  if (media_type == media::kPack) return std::numeric_limits<std::uint64_t>::max();
  if (media_type == media::kSignature) return kSignatureBytesMax;
  if (media_type == media::kBom) return kBomBytesMax;
  return kDocumentBytesMax;
}

}  // namespace holdfast::bundle::oci
