// What a model signature states: an in-toto statement of the OpenSSF Model Signing predicate.
// Format: docs/formats/signatures.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/crypto/sha256.h"

namespace holdfast::signing {

inline constexpr std::string_view kPredicateType = "https://model_signing/signature/v1.0";
inline constexpr std::size_t kResourcesMax = 65'536;
inline constexpr std::size_t kResourceNameBytesMax = 1024;
inline constexpr std::size_t kStatementBytesMax = 16u << 20;

struct Resource {
  std::string name;  // relative path; "." where the model is one file; with shards ":start:end"
  crypto::Sha256Digest digest{};
  friend bool operator==(const Resource&, const Resource&) = default;
};

enum class Method : std::uint8_t { kFiles, kShards };

struct Statement {
  std::string model;  // the subject's name, for people
  crypto::Sha256Digest root{};
  std::vector<Resource> resources;
  Method method = Method::kFiles;
  std::uint64_t shard_size = 0;           // of kShards
  std::vector<std::string> ignore_paths;  // relative; with everything below them
  std::uint64_t model_version = 0;        // our own member; 0: not stated
};

// SHA-256 over the resources' digests in their order.
crypto::Sha256Digest root_digest(const std::vector<Resource>& resources);

// Sorted by name; `root` is computed. Canonical: the same statement gives the same bytes.
std::string encode_statement(const Statement& statement);
// kCorrupt names what is wrong: another predicate, a root that is not that of the resources, names
// that leave the model's folder or occur twice. kUnsupported for other hashes and methods, and for
// signatures of before version 1.0.
Result<Statement> decode_statement(ByteView payload);

// A file's part in a resource name of kShards.
struct Shard {
  std::string_view file;
  std::uint64_t start = 0;
  std::uint64_t end = 0;
};
// From the last two colons. kCorrupt.
Result<Shard> parse_shard(std::string_view name);

}  // namespace holdfast::signing
