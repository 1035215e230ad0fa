#include "holdfast/fetch/source.h"

#include <algorithm>

namespace holdfast::fetch {
namespace {

constexpr std::size_t kNameBytesMax = 128;
constexpr std::size_t kPathBytesMax = 512;
constexpr std::size_t kFileNameBytesMax = 200;
constexpr std::string_view kOllamaRegistry = "https://registry.ollama.ai/";

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_word(char c) {
  return is_letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

// One component of a repository's name or path; "." and ".." are none.
bool is_component(std::string_view text) {
  return !text.empty() && text.size() <= kNameBytesMax && text.front() != '.' &&
         std::ranges::all_of(text, is_word);
}

// Components with "/" between; how many, or 0 where one is none.
std::size_t components(std::string_view text) {
  if (text.size() > kPathBytesMax) return 0;
  for (std::size_t n = 1;; ++n) {
    const std::size_t slash = text.find('/');
    if (!is_component(text.substr(0, slash))) return 0;
    if (slash == std::string_view::npos) return n;
    text.remove_prefix(slash + 1);
  }
}

// What other programs call a model by.
bool is_plain_name(std::string_view text) {
  return !text.empty() && text.size() <= 100 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == ':';
  });
}

Error bad_source(std::string_view text) {
  if (is_plain_name(text)) {
    const std::string name(text);
    return invalid_argument("not a source to pull from: " + name)
        .with_hint("a name alone does not say from where: ollama://" + name +
                   ", or org/repo on the hub");
  }
  return invalid_argument("not a source to pull from: " + std::string(text.substr(0, 200)))
      .with_hint(
          "write org/repo:Q4_K_M, hf://org/repo/file.gguf@revision, ollama://name:tag, "
          "oci://host/repo:tag or https://host/file.gguf#sha256=DIGITS");
}

// org/repo[:QUANT|/file.gguf][@rev]
Result<Source> parse_hub(std::string_view text, const Url& hub) {
  const std::string_view whole = text;
  Source source;
  source.kind = SourceKind::kHub;
  source.url = hub;
  if (const std::size_t at = text.find('@'); at != std::string_view::npos) {
    source.revision = text.substr(at + 1);
    if (components(source.revision) == 0) return bad_source(whole);
    text = text.substr(0, at);
  }
  if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    source.quantization = text.substr(colon + 1);
    if (!is_component(source.quantization)) return bad_source(whole);
    text = text.substr(0, colon);
  }
  if (components(text) < 2) return bad_source(whole);
  const std::size_t slash = text.find('/');
  const std::size_t second = text.find('/', slash + 1);
  source.repository = text.substr(0, second);
  if (second != std::string_view::npos) source.file = text.substr(second + 1);
  if (!source.file.empty() && (!source.quantization.empty() || !source.file.ends_with(".gguf")))
    return bad_source(whole);
  return source;
}

// repo[:tag|@sha256:...] of a registry.
Result<Source> parse_registry(std::string_view text, std::string_view whole, Url url) {
  Source source;
  source.kind = SourceKind::kRegistry;
  source.url = std::move(url);
  source.reference = "latest";
  if (const std::size_t at = text.find('@'); at != std::string_view::npos) {
    source.reference = text.substr(at + 1);
    if (!parse_digest(source.reference).ok()) return bad_source(whole);
    text = text.substr(0, at);
  } else if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    source.reference = text.substr(colon + 1);
    if (!is_component(source.reference)) return bad_source(whole);
    text = text.substr(0, colon);
  }
  source.repository = text;
  if (components(text) == 0) return bad_source(whole);
  return source;
}

Result<Source> parse_ollama(std::string_view text, std::string_view whole) {
  HF_TRY_ASSIGN(Url url, parse_url(kOllamaRegistry));
  HF_TRY_ASSIGN(Source source, parse_registry(text, whole, std::move(url)));
  if (source.repository.find('/') == std::string::npos)
    source.repository = "library/" + source.repository;
  source.ollama = true;
  return source;
}

Result<Source> parse_oci(std::string_view text, std::string_view whole, std::string_view scheme) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return bad_source(whole);
  HF_TRY_ASSIGN(Url url,
                parse_url(std::string(scheme) + "://" + std::string(text.substr(0, slash)) + "/"));
  return parse_registry(text.substr(slash + 1), whole, std::move(url));
}

Result<Source> parse_plain_url(std::string_view text) {
  constexpr std::string_view kMark = "#sha256=";
  const std::size_t mark = text.find(kMark);
  if (mark == std::string_view::npos) {
    return invalid_argument("the URL does not say which bytes are meant")
        .with_hint("append #sha256= and the 64 hexadecimal digits that its publisher states");
  }
  Source source;
  source.kind = SourceKind::kUrl;
  HF_TRY_ASSIGN(source.digest, parse_hex_digest(text.substr(mark + kMark.size())));
  HF_TRY_ASSIGN(source.url, parse_url(text.substr(0, mark)));
  source.file = source.url.path.substr(source.url.path.rfind('/') + 1);
  if (!is_plain_file_name(source.file)) {
    return invalid_argument("the URL does not end in a plain file name")
        .with_hint("a model file is called something like model-q4_k_m.gguf");
  }
  return source;
}

}  // namespace

Result<crypto::Sha256Digest> parse_hex_digest(std::string_view text) {
  const bool lower = std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  crypto::Sha256Digest digest{};
  const auto bytes = from_hex(text);
  if (!lower || !bytes.ok() || bytes->size() != digest.size())
    return invalid_argument("a digest has 64 hexadecimal digits in lower case");
  std::ranges::copy(*bytes, digest.begin());
  return digest;
}

Result<crypto::Sha256Digest> parse_digest(std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  if (!text.starts_with(kPrefix)) return invalid_argument("a digest begins with sha256:");
  return parse_hex_digest(text.substr(kPrefix.size()));
}

bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name.size() <= kFileNameBytesMax && name.front() != '.' &&
         name.front() != '-' &&
         std::ranges::all_of(name, [](char c) { return is_word(c) || c == '+'; });
}

Result<Source> parse_source(std::string_view text, const Url& hub) {
  const std::size_t mark = text.find("://");
  if (mark == std::string_view::npos) return parse_hub(text, hub);
  const std::string_view scheme = text.substr(0, mark);
  const std::string_view rest = text.substr(mark + 3);
  if (scheme == "hf") return parse_hub(rest, hub);
  if (scheme == "ollama") return parse_ollama(rest, text);
  if (scheme == "oci") return parse_oci(rest, text, "https");
  if (scheme == "oci+http") return parse_oci(rest, text, "http");
  if (scheme == "https" || scheme == "http") return parse_plain_url(text);
  if (scheme == "s3") {
    return unsupported("s3:// is not supported by this version")
        .with_hint("pull a presigned https:// URL with #sha256=");
  }
  if (scheme != "file" && scheme != "bundle") return bad_source(text);
  Source source;
  source.kind = SourceKind::kFile;
  source.path = rest;
  if (!source.path.starts_with('/')) {
    return invalid_argument("the path is not absolute")
        .with_hint("write file:///path/to/model.gguf");
  }
  return source;
}

bool looks_like_source(std::string_view text) {
  for (const std::string_view scheme :
       {"hf://", "ollama://", "oci://", "oci+http://", "https://", "http://", "s3://"}) {
    if (text.starts_with(scheme)) return true;
  }
  const std::string_view name = text.substr(0, text.find_first_of(":@"));
  return text.find("://") == std::string_view::npos && components(name) >= 2 &&
         !text.ends_with("/");
}

std::string model_name_of(const Source& source) {
  if (source.kind == SourceKind::kHub && source.file.empty()) {
    return source.repository + (source.quantization.empty() ? "" : ":" + source.quantization);
  }
  if (source.kind == SourceKind::kRegistry) {
    std::string name = source.repository;
    if (source.ollama && name.starts_with("library/")) name.erase(0, 8);
    const bool tag = source.reference != "latest" && !source.reference.starts_with("sha256:");
    return name + (tag ? ":" + source.reference : "");
  }
  return "";
}

}  // namespace holdfast::fetch
