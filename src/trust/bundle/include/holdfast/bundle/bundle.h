// A model on its way to another site: one file with the sealed pack, what is known about it, and
// its signature; an OCI image layout in a tar archive. Format: docs/formats/bundle.md.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/bundle/tar.h"
#include "holdfast/crypto/kdf.h"
#include "holdfast/crypto/sha256.h"
#include "holdfast/json/json.h"
#include "holdfast/registry/store.h"
#include "holdfast/vault/pack_format.h"

namespace holdfast::bundle {

namespace media {
inline constexpr std::string_view kArtifact = "application/vnd.holdfast.model.v1";
inline constexpr std::string_view kManifest = "application/vnd.holdfast.manifest.v1+json";
inline constexpr std::string_view kProvenance = "application/vnd.holdfast.provenance.v1+json";
inline constexpr std::string_view kTransportKey = "application/vnd.holdfast.transport-key.v1+json";
inline constexpr std::string_view kPack = "application/vnd.holdfast.pack.v1";
inline constexpr std::string_view kSignature = "application/vnd.dev.sigstore.bundle.v0.3+json";
inline constexpr std::string_view kBom = "application/vnd.cyclonedx+json";
}  // namespace media

inline constexpr std::size_t kDocumentBytesMax = 256 * 1024;  // JSON, but signature and BOM
inline constexpr std::size_t kSignatureBytesMax = 16u << 20;
inline constexpr std::size_t kBomBytesMax = 4u << 20;

// Called with bytes done and to do; its error ends the work.
using BundleProgress = std::function<Status(std::uint64_t done, std::uint64_t total)>;

struct BundleInput {
  const platform::ByteSource* pack = nullptr;
  // Of the pack in the bundle: that of the pack with the slots for transport (transport_key.h).
  vault::PackHeader header;
  std::optional<crypto::Argon2Cost> key_cost;  // none: the pack is not sealed
  registry::ModelRecord record;                // with provenance
  Bytes signature;                             // OMS bundle; empty: none
  json::Object bom;                            // CycloneDX
};

// The same input gives the same bytes. The pack is read twice, in pieces. kCorrupt where it changed
// between the two; kInvalidArgument for a record that fits no document; errors of reading, of
// writing and of `progress`. The digest of the OCI manifest, which names the bundle.
Result<crypto::Sha256Digest> write_bundle(const BundleInput& input, platform::OpenFile& out,
                                          const BundleProgress& progress = {});

struct Blob {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  crypto::Sha256Digest digest{};
};

// A bundle that was opened: its documents are verified and decoded, its pack is not until verify()
// was called. Thread-compatible; the file outlives it.
class Bundle {
 public:
  // kCorrupt, kUnsupported, kExhausted for what is no bundle, with what is wrong in the detail.
  static Result<Bundle> open(const platform::ByteSource& file);

  // Of the pack's bytes with their digest. kCorrupt; errors of reading and of `progress`.
  Status verify(const BundleProgress& progress = {}) const;

  const crypto::Sha256Digest& digest() const { return digest_; }  // of the OCI manifest
  // As the exporting site had it; its provenance says how it came there.
  const registry::ModelRecord& record() const { return record_; }
  const Blob& pack() const { return pack_; }
  const vault::PackHeader& header() const { return header_; }
  // None: the pack is not sealed.
  const std::optional<crypto::Argon2Cost>& key_cost() const { return key_cost_; }
  const Bytes& signature() const { return signature_; }

 private:
  explicit Bundle(const platform::ByteSource& file) : file_(&file) {}
  class Opener;

  const platform::ByteSource* file_;
  crypto::Sha256Digest digest_{};
  registry::ModelRecord record_;
  Blob pack_;
  vault::PackHeader header_;
  std::optional<crypto::Argon2Cost> key_cost_;
  Bytes signature_;
};

// The names of entries that a bundle may have.
bool is_bundle_name(std::string_view name);

}  // namespace holdfast::bundle
