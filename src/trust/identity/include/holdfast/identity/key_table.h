// KeyTable: the keys of a KeyStore as a server holds them, kept up to date while it runs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/identity/key_store.h"
#include "holdfast/identity/principal.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/filesystem.h"

namespace holdfast::identity {

enum class KeyState : std::uint8_t {
  kValid,
  kInvalid,  // no key, an unknown one, a wrong secret, or revoked
  kExpired,  // the secret is right
  kUnknown,  // whoever has the pepper does not answer
};

struct Verdict {
  KeyState state = KeyState::kInvalid;
  std::shared_ptr<const Principal> principal;  // of a valid key
};

// Reads what other processes changed at most this long after they did.
inline constexpr std::int64_t kRefreshNs = 250'000'000;

// References outlive it. Thread-compatible.
class KeyTable {
 public:
  // Without `verifiers` the pepper is the file in the directory.
  KeyTable(platform::FileSystem& files, std::string directory, const platform::Clock& clock,
           Verifiers* verifiers = nullptr);

  // Reads the files; none is an empty table. kCorrupt, kDenied, kUnsupported, kIo.
  Status load();

  // Looks whether the files changed, unless it did so within kRefreshNs, and reads them if so. A
  // file that cannot be read makes every key invalid: a revoked one might be among them. The error
  // is returned once for each such file.
  Status refresh();

  // A key exists, or existed since load(): revoking or losing the last one opens nothing.
  bool any() const { return any_; }
  // Keys that are valid now.
  std::size_t active() const;

  // Does the same work for a key that is unknown and one whose secret is wrong. With verifiers, the
  // verifier of a key that was valid is remembered: whoever has the pepper is asked once for it.
  Verdict authenticate(std::string_view text);

 private:
  struct Entry {
    std::string id;
    crypto::Sha256Digest verifier{};
    std::int64_t expires_at = 0;
    bool revoked = false;
    std::shared_ptr<const Principal> principal;
  };
  // What tells one version of a file from the next; each is written beside the last and renamed.
  struct Mark {
    std::uint64_t device = 0, inode = 0, size = 0;
    std::int64_t modified_ns = 0;
    bool operator==(const Mark&) const = default;
  };
  struct Marks {
    std::optional<Mark> keys, pepper;
    bool operator==(const Marks&) const = default;
  };
  // An id as a number: compared in the same time whatever it is equal to.
  struct IdNumber {
    std::uint64_t high = 0, low = 0;
  };
  static IdNumber number_of(std::string_view id);
  std::size_t position_of(const IdNumber& id) const;
  // Of a whole key's text. It is a digest already: any part of it is as good as a hash.
  struct TextHash {
    std::size_t operator()(const crypto::Sha256Digest& digest) const {
      return load_be<std::uint64_t>(digest.data());
    }
  };
  Result<crypto::Sha256Digest> verifier(std::string_view text, const ParsedKey& key) const;
  Marks look() const;
  Status read(const Marks& marks);

  platform::FileSystem& files_;
  const std::string directory_;
  const platform::Clock& clock_;
  Verifiers* const verifiers_;
  Pepper pepper_{};
  // By the digest of the text: of keys that were valid, at most one for each entry.
  std::unordered_map<crypto::Sha256Digest, crypto::Sha256Digest, TextHash> remembered_;
  std::vector<Entry> entries_;     // sorted by id
  std::vector<IdNumber> numbers_;  // of the entries
  Entry nobody_;                   // compared with where there is no other
  Marks marks_;
  bool settled_ = false;  // the files were old enough that a later change shows in their times
  bool any_ = false;
  std::int64_t looked_ns_ = 0;
};

}  // namespace holdfast::identity
