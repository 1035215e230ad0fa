// KeyStore: makes, lists and revokes API keys in files of the data directory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/crypto/sha256.h"
#include "holdfast/identity/api_key.h"
#include "holdfast/identity/principal.h"
#include "holdfast/identity/verifiers.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/entropy.h"
#include "holdfast/platform/filesystem.h"

namespace holdfast::identity {

// Keys that one store holds, revoked ones included; the oldest revoked ones make room.
inline constexpr std::size_t kKeysMax = 10'000;
inline constexpr std::uint64_t kKeyFileBytesMax = 64u << 20;

// What is stored of a key. The secret is not.
struct KeyRecord {
  std::string id;
  std::string tenant;
  Role role = Role::kInference;
  std::vector<std::string> models;
  std::string label;
  std::uint32_t weight = 1;
  Quotas quotas;
  std::int64_t created_at = 0;  // Unix seconds
  std::int64_t expires_at = 0;  // 0: never
  std::int64_t revoked_at = 0;  // 0: not revoked
  crypto::Sha256Digest verifier{};

  bool active(std::int64_t now) const {
    return revoked_at == 0 && (expires_at == 0 || now < expires_at);
  }
  bool operator==(const KeyRecord&) const = default;
};

// docs/formats/keys.md. kCorrupt, or kUnsupported for a later version or a member that this one
// does not know: it could be a restriction.
Result<std::vector<KeyRecord>> decode_keys(std::string_view text);
std::string encode_keys(const std::vector<KeyRecord>& keys);

struct NewKey {
  std::string tenant;
  Role role = Role::kInference;
  std::vector<std::string> models;
  std::string label;
  std::uint32_t weight = 1;
  Quotas quotas;
  std::int64_t expires_at = 0;
};

struct CreatedKey {
  KeyRecord record;
  observe::SecretText key;  // shown once
};

// Files in one directory: keys.json and, without `verifiers`, pepper; mode 0600, each replaced as a
// whole. Several processes may use one directory: changes take a lock. References outlive it.
// Thread-compatible.
class KeyStore {
 public:
  KeyStore(platform::FileSystem& files, std::string directory, platform::Entropy& entropy,
           const platform::Clock& clock, Verifiers* verifiers = nullptr);

  // kInvalidArgument for values out of range, kExhausted when the store is full.
  Result<CreatedKey> create(const NewKey& wanted);
  // In the order of creation.
  Result<std::vector<KeyRecord>> list() const;
  // A whole id or a beginning that only one key has. kNotFound, kInvalidArgument.
  Result<KeyRecord> find(std::string_view id) const;
  // Revoking twice is fine.
  Result<KeyRecord> revoke(std::string_view id);
  // A new key with what the old one may do. The old one ends after `grace_seconds`; 0: now.
  // kConflict where it is revoked already.
  Result<CreatedKey> rotate(std::string_view id, std::int64_t grace_seconds);

  static std::string keys_path(const std::string& directory);
  static std::string pepper_path(const std::string& directory);

 private:
  Result<std::unique_ptr<platform::FileLock>> lock();
  Result<Pepper> pepper(bool may_create);
  Result<crypto::Sha256Digest> verifier(const ParsedKey& key, bool first_key);
  Result<CreatedKey> add(std::vector<KeyRecord>& keys, KeyRecord record);
  Status save(const std::vector<KeyRecord>& keys);

  platform::FileSystem& files_;
  const std::string directory_;
  platform::Entropy& entropy_;
  const platform::Clock& clock_;
  Verifiers* const verifiers_;
};

// kNotFound where there is none; kDenied where others may read it; kCorrupt.
Result<Pepper> read_pepper(platform::FileSystem& files, const std::string& directory);

}  // namespace holdfast::identity
