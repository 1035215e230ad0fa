// Where a model came from, who brought it here, and what it may be used for: part of its manifest
// (docs/formats/store.md, "Provenance").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/json/json.h"

namespace holdfast::registry {

// Texts of a provenance; a longer one is cut when it is recorded and damage when it is read.
inline constexpr std::size_t kOriginBytesMax = 2048;
inline constexpr std::size_t kUserBytesMax = 256;
// Sites that a model passed through on its way here; more than that is no history but an attack.
inline constexpr std::size_t kHopsMax = 16;

enum class OriginKind : std::uint8_t { kFile = 1, kFolder = 2, kUrl = 3, kBundle = 4 };

struct Origin {
  OriginKind kind = OriginKind::kFile;
  // Base name of a file or folder: paths tell of the machine. A URL without credentials and query.
  std::string location;
  std::string revision;  // of a repository; may be empty
};

// Somebody, at a time.
struct Act {
  std::string user;  // as the operating system names it; may be empty
  std::uint32_t uid = 0;
  std::int64_t at_unix = 0;  // seconds
};

// One way from site to site in a bundle.
struct Hop {
  Act exported;
  std::optional<Act> imported;  // none in the bundle itself
};

struct Provenance {
  Origin origin;  // of the first import, wherever that was
  Act imported;   // the first import
  std::vector<Hop> hops;
};

// What a model may be used for. A retired one stays in the store and is not served.
enum class Stage : std::uint8_t { kCandidate = 1, kProduction = 2, kRetired = 3 };

std::string_view origin_kind_name(OriginKind kind);
std::string_view stage_name(Stage stage);
// kInvalidArgument with the names that there are.
Result<Stage> parse_stage(std::string_view name);

// `location` of a URL: without user, password, query and fragment.
std::string url_to_record(std::string_view url);

json::Object provenance_json(const Provenance& provenance);
// kCorrupt names the member; unknown members are ignored.
Result<Provenance> decode_provenance(const json::Value& value);

}  // namespace holdfast::registry
