// The writing side of bundle.h.
#include <algorithm>
#include <array>

#include "holdfast/bundle/bundle.h"
#include "holdfast/bundle/transport_key.h"
#include "holdfast/registry/manifest.h"
#include "oci.h"

namespace holdfast::bundle {
namespace {

constexpr std::size_t kPieceBytes = 4u << 20;

// The pack as the bundle holds it: its own bytes behind another header.
class PackBytes {
 public:
  explicit PackBytes(const BundleInput& input)
      : pack_(*input.pack), header_(vault::encode_header(input.header)) {}

  std::uint64_t size() const { return pack_.size(); }

  // Hands all bytes to `sink`, in order.
  Status each(const std::function<Status(ByteView piece)>& sink) const {
    HF_TRY(sink(header_));
    Bytes piece;
    for (std::uint64_t at = header_.size(); at < size(); at += piece.size()) {
      piece.resize(std::min<std::uint64_t>(kPieceBytes, size() - at));
      HF_TRY(pack_.read_at(at, piece));
      HF_TRY(sink(piece));
    }
    return ok_status();
  }

 private:
  const platform::ByteSource& pack_;
  const Bytes header_;
};

// A blob in memory.
struct Document {
  std::string_view media_type;
  Bytes content;
  crypto::Sha256Digest digest{};
};

Document document(std::string_view media_type, std::string_view text) {
  const ByteView bytes = as_bytes_view(text);
  return {media_type, Bytes(bytes.begin(), bytes.end()), crypto::sha256(bytes)};
}

Document document(std::string_view media_type, json::Object value) {
  return document(media_type, json::write(json::Value(std::move(value))));
}

json::Object descriptor(const Document& d) {
  return oci::descriptor({d.media_type, d.digest, d.content.size()});
}

std::string manifest_of(const registry::ModelRecord& record) {
  registry::ModelRecord bare = record;
  bare.provenance.reset();  // a blob of its own
  return registry::encode_manifest(bare);
}

Result<crypto::Sha256Digest> hash_pack(const PackBytes& pack, const BundleProgress& progress) {
  crypto::Sha256 hash;
  std::uint64_t done = 0;
  const auto take = [&](ByteView piece) -> Status {
    hash.update(piece);
    done += piece.size();
    return progress ? progress(done, 2 * pack.size()) : ok_status();
  };
  HF_TRY(pack.each(take));
  return hash.finish();
}

Status copy_pack(const PackBytes& pack, const crypto::Sha256Digest& digest, TarWriter& tar,
                 const BundleProgress& progress) {
  HF_TRY(tar.begin(oci::blob_name(digest), pack.size()));
  crypto::Sha256 hash;
  std::uint64_t done = pack.size();
  const auto take = [&](ByteView piece) -> Status {
    hash.update(piece);
    done += piece.size();
    HF_TRY(tar.append(piece));
    return progress ? progress(done, 2 * pack.size()) : ok_status();
  };
  HF_TRY(pack.each(take));
  if (hash.finish() == digest) return ok_status();
  return corrupt("the model's pack changed while it was read").with_hint("Export it again.");
}

std::vector<Document> documents_of(const BundleInput& input) {
  std::vector<Document> out;
  out.push_back(document(media::kManifest, manifest_of(input.record)));
  out.push_back(document(
      media::kProvenance,
      registry::provenance_json(input.record.provenance.value_or(registry::Provenance{}))));
  if (input.key_cost) {
    out.push_back(
        document(media::kTransportKey, transport_key_json(input.header, *input.key_cost)));
  }
  if (!input.signature.empty())
    out.push_back(document(media::kSignature, as_string_view(input.signature)));
  out.push_back(document(media::kBom, input.bom));
  return out;
}

Status check_sizes(const std::vector<Document>& documents) {
  for (const Document& d : documents) {
    if (d.content.size() > oci::bytes_max(d.media_type))
      return invalid_argument("a document of the model is too large for a bundle",
                              std::string(d.media_type));
  }
  return ok_status();
}

json::Object oci_manifest(const BundleInput& input, const std::vector<Document>& documents,
                          const crypto::Sha256Digest& pack) {
  json::Array layers;
  for (std::size_t i = 1; i < documents.size(); ++i) layers.emplace_back(descriptor(documents[i]));
  layers.emplace_back(oci::descriptor({media::kPack, pack, input.pack->size()}));
  json::Object annotations{{"org.opencontainers.image.title", input.record.name.full()}};
  if (!input.record.facts.license.empty())
    annotations.set("org.opencontainers.image.licenses", input.record.facts.license);
  return {{"schemaVersion", 2},
          {"mediaType", oci::kManifestType},
          {"artifactType", media::kArtifact},
          {"config", descriptor(documents.front())},
          {"layers", std::move(layers)},
          {"annotations", std::move(annotations)}};
}

}  // namespace

Result<crypto::Sha256Digest> write_bundle(const BundleInput& input, platform::OpenFile& out,
                                          const BundleProgress& progress) {
  const PackBytes pack(input);
  HF_TRY_ASSIGN(const crypto::Sha256Digest pack_digest, hash_pack(pack, progress));
  const std::vector<Document> documents = documents_of(input);
  HF_TRY(check_sizes(documents));
  const Document manifest =
      document(oci::kManifestType, oci_manifest(input, documents, pack_digest));
  json::Object entry = descriptor(manifest);
  entry.set("artifactType", media::kArtifact);
  const Document index =
      document(oci::kIndexType, json::Object{{"schemaVersion", 2},
                                             {"mediaType", oci::kIndexType},
                                             {"manifests", json::Array{std::move(entry)}}});
  TarWriter tar(out);
  HF_TRY(tar.add(oci::kLayoutFile, as_bytes_view(oci::kLayoutText)));
  HF_TRY(tar.add(oci::kIndexFile, index.content));
  HF_TRY(tar.add(oci::blob_name(manifest.digest), manifest.content));
  for (const Document& d : documents) HF_TRY(tar.add(oci::blob_name(d.digest), d.content));
  HF_TRY(copy_pack(pack, pack_digest, tar, progress));
  HF_TRY(tar.finish());
  return manifest.digest;
}

}  // namespace holdfast::bundle
