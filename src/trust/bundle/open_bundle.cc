// The reading side of bundle.h: every byte of it is somebody else's.
#include <algorithm>
#include <map>

#include "holdfast/bundle/bundle.h"
#include "holdfast/bundle/transport_key.h"
#include "holdfast/platform/slice_source.h"
#include "holdfast/registry/manifest.h"
#include "holdfast/vault/pack_reader.h"
#include "oci.h"

namespace holdfast::bundle {
namespace {

constexpr std::size_t kEntriesMax = 64;
constexpr std::size_t kLayersMax = 16;
constexpr std::size_t kPieceBytes = 4u << 20;

Error damaged(std::string_view what) { return corrupt("the bundle is damaged", std::string(what)); }

// Of a document's text; its digest was compared before.
Result<json::Value> parse(ByteView text, std::string_view what) {
  auto value = json::parse(as_string_view(text), {.bytes_max = kDocumentBytesMax, .depth_max = 16});
  if (!value.ok()) return damaged(std::string(what) + ": " + value.error().client_message());
  if (!value->is_object()) return damaged(std::string(what) + " is no object");
  return value;
}

// The index is under no digest, so nothing is passed over in it but annotations.
Status check_members(const json::Value& value, std::initializer_list<std::string_view> known) {
  if (!value.is_object()) return damaged("index: no object");
  for (const json::Member& m : value.as_object()) {
    if (std::find(known.begin(), known.end(), m.key) == known.end())
      return damaged("index: an unknown member");
  }
  return ok_status();
}

// Where it is there, it says that.
Status check_text(const json::Value& value, std::string_view member, std::string_view text) {
  const json::Value* found = value.find(member);
  if (found == nullptr || *found == json::Value(text)) return ok_status();
  return damaged("index: " + std::string(member));
}

}  // namespace

bool is_bundle_name(std::string_view name) {
  if (name == oci::kLayoutFile || name == oci::kIndexFile) return true;
  if (name == "blobs/" || name == oci::kBlobs) return true;  // the folders
  if (!name.starts_with(oci::kBlobs)) return false;
  return registry::digest_from_hex(name.substr(oci::kBlobs.size())).ok();
}

// Follows index, manifest and layers; every blob is named exactly once.
class Bundle::Opener {
 public:
  explicit Opener(const platform::ByteSource& file) : file_(file), bundle_(file) {}

  Result<Bundle> run() {
    HF_TRY(read_entries());
    HF_TRY_ASSIGN(const json::Value manifest, find_manifest());
    HF_TRY(read_config(manifest));
    HF_TRY(read_layers(manifest));
    if (!entries_.empty()) return damaged("a blob that nothing names");
    HF_TRY(check_pack());
    return std::move(bundle_);
  }

 private:
  Status read_entries() {
    HF_TRY_ASSIGN(auto found, read_tar(file_, is_bundle_name, kEntriesMax));
    for (TarEntry& entry : found) {
      std::string name = entry.name;
      entries_.emplace(std::move(name), std::move(entry));
    }
    HF_TRY_ASSIGN(const Bytes layout, take_file(oci::kLayoutFile, 1024));
    HF_TRY_ASSIGN(const json::Value value, parse(layout, oci::kLayoutFile));
    const json::Value* version = value.find("imageLayoutVersion");
    if (version == nullptr || *version != json::Value("1.0.0"))
      return unsupported("unsupported version of the OCI image layout");
    return ok_status();
  }

  Result<TarEntry> take_entry(std::string_view name) {
    const auto it = entries_.find(name);
    if (it == entries_.end()) return damaged(std::string(name) + " is missing");
    TarEntry entry = std::move(it->second);
    entries_.erase(it);
    return entry;
  }

  Result<Bytes> take_file(std::string_view name, std::uint64_t max) {
    HF_TRY_ASSIGN(const TarEntry entry, take_entry(name));
    if (entry.size > max) return damaged(std::string(name) + " is too long");
    Bytes bytes(entry.size);
    HF_TRY(file_.read_at(entry.offset, bytes));
    return bytes;
  }

  Result<Blob> take_blob(const oci::FoundDescriptor& d) {
    HF_TRY_ASSIGN(const TarEntry entry, take_entry(oci::blob_name(d.digest)));
    if (entry.size != d.size) return damaged(entry.name + " has another size");
    return Blob{entry.offset, entry.size, d.digest};
  }

  Result<Bytes> take_document(const oci::FoundDescriptor& d) {
    HF_TRY_ASSIGN(const Blob blob, take_blob(d));
    if (blob.size > oci::bytes_max(d.media_type)) return damaged(d.media_type + " is too long");
    Bytes bytes(blob.size);
    HF_TRY(file_.read_at(blob.offset, bytes));
    if (crypto::sha256(bytes) != d.digest) return damaged(d.media_type + " has another digest");
    return bytes;
  }

  Result<json::Value> find_manifest() {
    HF_TRY_ASSIGN(const Bytes text, take_file(oci::kIndexFile, kDocumentBytesMax));
    HF_TRY_ASSIGN(const json::Value index, parse(text, oci::kIndexFile));
    HF_TRY(check_members(index, {"schemaVersion", "mediaType", "manifests", "annotations"}));
    const json::Value* version = index.find("schemaVersion");
    if (version == nullptr || *version != json::Value(2)) return damaged("index: schemaVersion");
    HF_TRY(check_text(index, "mediaType", oci::kIndexType));
    const json::Value* manifests = index.find("manifests");
    if (manifests == nullptr || !manifests->is_array()) return damaged("index without manifests");
    if (manifests->as_array().size() != 1)
      return unsupported("the bundle holds more than one model, or none");
    const json::Value& only = manifests->as_array().front();
    HF_TRY(check_members(only, {"mediaType", "digest", "size", "artifactType", "annotations"}));
    HF_TRY(check_text(only, "artifactType", media::kArtifact));
    HF_TRY_ASSIGN(const oci::FoundDescriptor d, oci::decode_descriptor(only));
    if (d.media_type != oci::kManifestType) return not_a_model();
    HF_TRY_ASSIGN(const Bytes bytes, take_document(d));
    bundle_.digest_ = d.digest;
    HF_TRY_ASSIGN(json::Value manifest, parse(bytes, "manifest"));
    const json::Value* type = manifest.find("artifactType");
    if (type == nullptr || *type != json::Value(media::kArtifact)) return not_a_model();
    return manifest;
  }

  static Error not_a_model() {
    return unsupported("the archive is an OCI image, but not a model of Holdfast")
        .with_hint("holdfast import takes what `holdfast export` wrote");
  }

  Status read_config(const json::Value& manifest) {
    const json::Value* config = manifest.find("config");
    if (config == nullptr) return damaged("manifest without config");
    HF_TRY_ASSIGN(const oci::FoundDescriptor d, oci::decode_descriptor(*config));
    if (d.media_type != media::kManifest) return not_a_model();
    HF_TRY_ASSIGN(const Bytes bytes, take_document(d));
    HF_TRY_ASSIGN(const json::Value value, parse(bytes, "config"));
    const json::Value* name = value.find("name");
    if (name == nullptr || !name->is_string()) return damaged("config without a name");
    const auto parsed = registry::parse_model_name(name->as_string());
    if (!parsed.ok()) return damaged("config: " + parsed.error().client_message());
    HF_TRY_ASSIGN(bundle_.record_, registry::decode_manifest(as_string_view(bytes), *parsed));
    return ok_status();
  }

  Status read_layers(const json::Value& manifest) {
    const json::Value* layers = manifest.find("layers");
    if (layers == nullptr || !layers->is_array() || layers->as_array().size() > kLayersMax)
      return damaged("manifest without layers");
    for (const json::Value& layer : layers->as_array()) {
      HF_TRY_ASSIGN(const oci::FoundDescriptor d, oci::decode_descriptor(layer));
      HF_TRY(read_layer(d));
    }
    return ok_status();
  }

  Status read_layer(const oci::FoundDescriptor& d) {
    if (!seen_.emplace(d.media_type, true).second) return damaged("two blobs of " + d.media_type);
    if (d.media_type == media::kPack) {
      HF_TRY_ASSIGN(bundle_.pack_, take_blob(d));
      return ok_status();
    }
    HF_TRY_ASSIGN(Bytes bytes, take_document(d));
    if (d.media_type == media::kSignature) {
      bundle_.signature_ = std::move(bytes);
    } else if (d.media_type == media::kProvenance) {
      HF_TRY_ASSIGN(const json::Value value, parse(bytes, "provenance"));
      HF_TRY_ASSIGN(bundle_.record_.provenance, registry::decode_provenance(value));
    } else if (d.media_type == media::kTransportKey) {
      HF_TRY_ASSIGN(const json::Value value, parse(bytes, "transport key"));
      HF_TRY_ASSIGN(bundle_.key_cost_, decode_transport_key(value));
    } else if (d.media_type != media::kBom) {
      return unsupported("the bundle holds something that this version does not know",
                         d.media_type);
    }
    return ok_status();
  }

  // The record names the pack that is there.
  Status check_pack() {
    if (!seen_.contains(std::string(media::kPack))) return damaged("no pack");
    if (!seen_.contains(std::string(media::kProvenance))) return damaged("no provenance");
    HF_TRY_ASSIGN(const auto slice,
                  platform::SliceSource::of(file_, bundle_.pack_.offset, bundle_.pack_.size));
    HF_TRY_ASSIGN(bundle_.header_, vault::read_pack_header(*slice));
    const vault::PackHeader& header = bundle_.header_;
    if (vault::header_digest(vault::encode_header(header)) != bundle_.record_.pack)
      return damaged("the pack is not the one that the manifest names");
    if (header.source_digest != bundle_.record_.source)
      return damaged("the pack was made of another source than the manifest names");
    if (header.seal.has_value() != bundle_.key_cost_.has_value())
      return damaged("a key without a seal, or a seal without a key");
    return ok_status();
  }

  const platform::ByteSource& file_;
  Bundle bundle_;
  std::map<std::string, TarEntry, std::less<>> entries_;  // not named yet
  std::map<std::string, bool> seen_;                      // media types of layers
};

Result<Bundle> Bundle::open(const platform::ByteSource& file) { return Opener(file).run(); }

Status Bundle::verify(const BundleProgress& progress) const {
  crypto::Sha256 hash;
  Bytes piece;
  for (std::uint64_t at = 0; at < pack_.size; at += piece.size()) {
    piece.resize(std::min<std::uint64_t>(kPieceBytes, pack_.size - at));
    HF_TRY(file_->read_at(pack_.offset + at, piece));
    hash.update(piece);
    if (progress) HF_TRY(progress(at + piece.size(), pack_.size));
  }
  if (hash.finish() == pack_.digest) return ok_status();
  return damaged("the pack has another digest");
}

}  // namespace holdfast::bundle
