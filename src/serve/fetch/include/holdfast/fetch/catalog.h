// What hubs and registries say about a model: foreign JSON and headers, read with limits. Pure
// functions: nothing here talks to anyone.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/crypto/sha256.h"

namespace holdfast::fetch {

inline constexpr std::size_t kCatalogBytesMax = 8u << 20;  // of one answer
inline constexpr std::size_t kTreeEntriesMax = 20'000;     // of a repository, over all pages
inline constexpr std::size_t kTreePagesMax = 64;
inline constexpr std::uint64_t kFileBytesMax = std::uint64_t{1} << 42;
inline constexpr std::size_t kFilesMax = 1000;  // of one model

// A file of a model, wherever it is.
struct RemoteFile {
  std::string path;  // in a repository; of a registry its digest
  std::string name;  // what it is called here: is_plain_file_name()
  std::uint64_t size_bytes = 0;
  std::optional<crypto::Sha256Digest> sha256;
  std::string git_id;  // 40 digits: where there is no sha256
};

// GET /api/models/{repo}/revision/{rev}.
struct HubRevision {
  std::string commit;   // 40 or 64 hexadecimal digits
  std::string license;  // may be empty
  bool gated = false;
};
Result<HubRevision> parse_hub_revision(std::string_view text);

// One page of GET /api/models/{repo}/tree/{commit}?recursive=true. Entries that are no files, or
// whose path could be none of a model's, are left out. kCorrupt, kExhausted.
Result<std::vector<RemoteFile>> parse_hub_tree(std::string_view text);
// The target of rel="next" in a Link header; empty where there is none.
std::string next_page(std::string_view link);

// What makes up the model: the GGUF file that is named or whose name has that quantisation
// (none asked for: Q4_K_M, else Q8_0, else the first) with all its parts; without any GGUF file,
// a folder in safetensors form. A signature (model.sig) at the top comes along. `entry` is the file
// to import; empty: the folder.
struct Selection {
  std::vector<RemoteFile> files;
  std::string entry;
};
// kNotFound lists what there is.
Result<Selection> select_files(const std::vector<RemoteFile>& tree, std::string_view file,
                               std::string_view quantization);

// A manifest of distribution v2: Ollama's, CNCF ModelPack's, Docker's. Layers that are no weights
// are left out; adapters are kUnsupported.
struct RegistryModel {
  Selection selection;
  std::string license;  // a title, where one is given
};
Result<RegistryModel> parse_manifest(std::string_view text);

// WWW-Authenticate: Bearer realm="...",service="...",scope="...".
struct BearerChallenge {
  std::string realm, service, scope;
};
Result<BearerChallenge> parse_challenge(std::string_view header);
// The answer of a realm. kCorrupt without a usable token.
Result<std::string> parse_token(std::string_view text);

// An ETag without W/ and quotes, for comparison with digests.
std::string plain_etag(std::string_view etag);

// "bytes 0-1023/4096".
struct ContentRange {
  std::uint64_t first = 0, last = 0, total = 0;
  friend bool operator==(const ContentRange&, const ContentRange&) = default;
};
// kCorrupt for anything else, unknown totals and ranges outside of them included.
Result<ContentRange> parse_content_range(std::string_view text);
// A decimal number without sign; nullopt otherwise.
std::optional<std::uint64_t> parse_length(std::string_view text);
// The sha-256 of a Content-Digest header (RFC 9530); nullopt where there is none.
std::optional<crypto::Sha256Digest> parse_content_digest(std::string_view text);

}  // namespace holdfast::fetch
