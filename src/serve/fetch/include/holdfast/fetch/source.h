// What `holdfast pull` is asked for: hub repositories, registries, single URLs and local files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/crypto/sha256.h"
#include "holdfast/fetch/url.h"

namespace holdfast::fetch {

enum class SourceKind : std::uint8_t {
  kHub,       // hf://org/repo[:QUANT|/file.gguf][@rev], org/repo[:QUANT]
  kRegistry,  // ollama://name[:tag], oci://host/repo[:tag|@sha256:...]; oci+http:// without TLS
  kUrl,       // https://...#sha256=...
  kFile,      // file://, bundle://: nothing is fetched
};

// Value.
struct Source {
  SourceKind kind = SourceKind::kHub;
  // Of the hub and of registries: where they are. Of a URL: the file.
  Url url;
  std::string repository;  // "org/repo", "library/llama3"
  std::string quantization;
  std::string file;       // a path in the repository
  std::string revision;   // of the hub; empty: "main"
  std::string reference;  // of registries: a tag, or "sha256:..."
  bool ollama = false;
  std::optional<crypto::Sha256Digest> digest;  // of kUrl
  std::string path;                            // of kFile
};

// kInvalidArgument says what a source looks like; kUnsupported for s3://. `hub` is the setting
// pull.hf_endpoint.
Result<Source> parse_source(std::string_view text, const Url& hub);

// For commands that take names and sources: a known scheme, or "org/repo" with a quantisation or
// not. A name of the store can look the same; names that exist come first.
bool looks_like_source(std::string_view text);

// A name for the store, from what was asked for: "org/repo:Q4_K_M", "llama3:8b". Empty where the
// file's name has to do.
std::string model_name_of(const Source& source);

// "sha256:" and 64 lower-case hexadecimal digits; kInvalidArgument for every other spelling.
Result<crypto::Sha256Digest> parse_digest(std::string_view text);
// The 64 digits.
Result<crypto::Sha256Digest> parse_hex_digest(std::string_view text);

// Letters, digits, "._-+" and nothing else, not starting with a dot: what a file from elsewhere may
// be called here.
bool is_plain_file_name(std::string_view name);

}  // namespace holdfast::fetch
