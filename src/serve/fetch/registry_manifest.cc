#include <algorithm>
#include <charconv>

#include "catalog_json.h"
#include "holdfast/fetch/catalog.h"
#include "holdfast/fetch/source.h"

namespace holdfast::fetch {
namespace {

constexpr std::size_t kLayersMax = 256;
constexpr std::size_t kTokenBytesMax = 16 * 1024;
constexpr std::size_t kJsonDepthMax = 16;
constexpr std::size_t kJsonValuesMax = 512 * 1024;

enum class Layer : std::uint8_t { kOther, kModel, kFolder, kSignature, kAdapter };

// What is read of each packaging; everything else (templates, parameters, documents) is left out.
Layer kind_of(std::string_view type) {
  if (type == "application/vnd.ollama.image.model") return Layer::kModel;
  if (type == "application/vnd.ollama.image.adapter") return Layer::kAdapter;
  if (type == "application/vnd.docker.ai.gguf.v3") return Layer::kModel;
  if (type == "application/vnd.cncf.model.weight.v1.raw") return Layer::kFolder;
  if (type == "application/vnd.cncf.model.weight.config.v1.raw") return Layer::kFolder;
  if (type == "application/vnd.dev.sigstore.bundle.v0.3+json") return Layer::kSignature;
  return Layer::kOther;
}

// The name that the packaging gives, or one made from the digest.
Result<std::string> name_of(const json::Value& layer, const std::string& hex) {
  const json::Value* annotations = layer.find("annotations");
  const json::Value* path =
      annotations == nullptr ? nullptr : annotations->find("org.cncf.model.filepath");
  if (path == nullptr || !path->is_string()) return hex.substr(0, 32) + ".gguf";
  const std::string& text = path->as_string();
  if (!is_plain_file_name(text)) return bad_catalog("org.cncf.model.filepath is no plain name");
  return text;
}

Result<RemoteFile> parse_layer(const json::Value& layer, Layer kind) {
  RemoteFile file;
  HF_TRY_ASSIGN(file.path, member_text(layer, "digest"));
  const auto digest = parse_digest(file.path);
  if (!digest.ok()) return bad_catalog("the digest of a layer is none");
  file.sha256 = *digest;
  HF_TRY_ASSIGN(file.size_bytes, member_size(layer, "size"));
  if (kind == Layer::kSignature) {
    file.name = "model.sig";
  } else {
    HF_TRY_ASSIGN(file.name, name_of(layer, file.path.substr(7)));
  }
  return file;
}

Status add_layer(const json::Value& layer, RegistryModel& model) {
  HF_TRY_ASSIGN(const std::string type, member_text(layer, "mediaType"));
  const Layer kind = kind_of(type);
  if (kind == Layer::kAdapter)
    return unsupported("the model is an adapter for another one, which is not supported");
  if (kind == Layer::kOther) return ok_status();
  HF_TRY_ASSIGN(RemoteFile file, parse_layer(layer, kind));
  const bool first = model.selection.entry.empty();
  if (kind != Layer::kSignature && file.name.ends_with(".gguf") && first)
    model.selection.entry = file.name;
  model.selection.files.push_back(std::move(file));
  return ok_status();
}

// key="value" or key=value of an authentication header.
std::string parameter(std::string_view header, std::string_view key) {
  const std::string start = std::string(key) + "=";
  std::size_t at = header.find(start);
  while (at != std::string_view::npos && at > 0 && header[at - 1] != ' ' && header[at - 1] != ',')
    at = header.find(start, at + 1);
  if (at == std::string_view::npos) return "";
  header.remove_prefix(at + start.size());
  if (!header.starts_with('"')) return std::string(header.substr(0, header.find_first_of(", ")));
  header.remove_prefix(1);
  const std::size_t end = header.find('"');
  return end == std::string_view::npos ? "" : std::string(header.substr(0, end));
}

bool is_token(std::string_view text) {
  return !text.empty() && text.size() <= kTokenBytesMax &&
         std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

Error bad_catalog(std::string_view why) {
  return corrupt("the other side's description of the model makes no sense", std::string(why));
}

Result<json::Value> parse_catalog(std::string_view text) {
  auto value = json::parse(
      text,
      {.bytes_max = kCatalogBytesMax, .depth_max = kJsonDepthMax, .values_max = kJsonValuesMax});
  if (!value.ok() && value.error().code() == ErrorCode::kExhausted)
    return exhausted("the other side's description of the model is too large");
  if (!value.ok()) return bad_catalog(value.error().client_message());
  return value;
}

Result<std::string> member_text(const json::Value& value, std::string_view name) {
  const json::Value* member = value.find(name);
  if (member == nullptr || !member->is_string())
    return bad_catalog("member " + std::string(name) + " is missing");
  return member->as_string();
}

Result<std::uint64_t> member_size(const json::Value& value, std::string_view name) {
  const json::Value* member = value.find(name);
  if (member == nullptr || !member->is_int() || member->as_int() < 0 ||
      static_cast<std::uint64_t>(member->as_int()) > kFileBytesMax)
    return bad_catalog("member " + std::string(name) + " is no size");
  return static_cast<std::uint64_t>(member->as_int());
}

Result<RegistryModel> parse_manifest(std::string_view text) {
  HF_TRY_ASSIGN(const json::Value manifest, parse_catalog(text));
  if (manifest.find("manifests") != nullptr) {
    return unsupported("the tag is an index of several models")
        .with_hint("name one of them by its digest: @sha256:...");
  }
  const json::Value* layers = manifest.find("layers");
  if (layers == nullptr || !layers->is_array()) return bad_catalog("member layers is missing");
  if (layers->as_array().size() > kLayersMax) return exhausted("the model has too many layers");
  RegistryModel model;
  for (const json::Value& layer : layers->as_array()) HF_TRY(add_layer(layer, model));
  std::vector<std::string> names;
  for (const RemoteFile& f : model.selection.files) names.push_back(f.name);
  std::ranges::sort(names);
  if (std::ranges::adjacent_find(names) != names.end())
    return bad_catalog("two layers have one name");
  const bool weights = std::ranges::any_of(model.selection.files, [](const RemoteFile& f) {
    return f.name.ends_with(".gguf") || f.name.ends_with(".safetensors");
  });
  if (!weights) return not_found("there are no model weights under that name");
  return model;
}

Result<BearerChallenge> parse_challenge(std::string_view header) {
  constexpr std::string_view kBearer = "bearer ";
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  std::string start(header.substr(0, kBearer.size()));
  std::ranges::transform(start, start.begin(), lower);
  if (start != kBearer)
    return unsupported("the registry asks for a kind of login that is not known");
  BearerChallenge out{parameter(header, "realm"), parameter(header, "service"),
                      parameter(header, "scope")};
  if (out.realm.empty()) return bad_catalog("the registry names no realm");
  return out;
}

Result<std::string> parse_token(std::string_view text) {
  HF_TRY_ASSIGN(const json::Value answer, parse_catalog(text));
  for (const std::string_view name : {"token", "access_token"}) {
    const json::Value* token = answer.find(name);
    if (token != nullptr && token->is_string() && is_token(token->as_string()))
      return token->as_string();
  }
  return bad_catalog("the registry gives no token");
}

std::string plain_etag(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"')
    etag = etag.substr(1, etag.size() - 2);
  return std::string(etag);
}

std::optional<std::uint64_t> parse_length(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return value;
}

Result<ContentRange> parse_content_range(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  const std::size_t dash = text.find('-');
  const std::size_t slash = text.find('/');
  if (!text.starts_with(kUnit) || dash == std::string_view::npos ||
      slash == std::string_view::npos || dash > slash)
    return corrupt("the server answers a range without saying which");
  const auto first = parse_length(text.substr(kUnit.size(), dash - kUnit.size()));
  const auto last = parse_length(text.substr(dash + 1, slash - dash - 1));
  const auto total = parse_length(text.substr(slash + 1));
  if (!first || !last || !total || *first > *last || *last >= *total)
    return corrupt("the server answers a range that makes no sense");
  return ContentRange{*first, *last, *total};
}

std::optional<crypto::Sha256Digest> parse_content_digest(std::string_view text) {
  constexpr std::string_view kStart = "sha-256=:";
  const std::size_t at = text.find(kStart);
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + kStart.size());
  const auto bytes = from_base64(text.substr(0, text.find(':')));
  crypto::Sha256Digest digest{};
  if (!bytes.ok() || bytes->size() != digest.size()) return std::nullopt;
  std::ranges::copy(*bytes, digest.begin());
  return digest;
}

}  // namespace holdfast::fetch
