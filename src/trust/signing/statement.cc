#include "holdfast/signing/statement.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "holdfast/json/json.h"

namespace holdfast::signing {
namespace {

constexpr std::string_view kStatementType = "https://in-toto.io/Statement/v1";
constexpr std::string_view kOldPredicate = "https://model_signing/Digests/v0.1";
constexpr std::size_t kIgnoredMax = 4096;

Error malformed(std::string_view what) {
  return corrupt("the signature's statement is malformed", std::string(what));
}

Result<std::string> text_of(const json::Value& value, std::string_view member) {
  const json::Value* v = value.find(member);
  if (v == nullptr || !v->is_string()) return malformed(member);
  return v->as_string();
}

Result<crypto::Sha256Digest> digest_of(std::string_view hex, std::string_view what) {
  const auto bytes = from_hex(hex);
  crypto::Sha256Digest digest;
  if (!bytes.ok() || bytes->size() != digest.size()) return malformed(what);
  std::copy(bytes->begin(), bytes->end(), digest.begin());
  return digest;
}

// A path below the model: it cannot leave it, and has one spelling.
bool is_inside(std::string_view path) {
  if (path == ".") return true;
  if (path.empty() || path.front() == '/' || path.back() == '/' ||
      path.find('\0') != std::string_view::npos)
    return false;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == "..") return false;
    at = end + 1;
  }
  return true;
}

Status decode_subject(const json::Value& statement, Statement& out) {
  const json::Value* subjects = statement.find("subject");
  if (subjects == nullptr || !subjects->is_array() || subjects->as_array().size() != 1)
    return malformed("subject");
  const json::Value& subject = subjects->as_array().front();
  HF_TRY_ASSIGN(out.model, text_of(subject, "name"));
  const json::Value* digest = subject.find("digest");
  if (digest == nullptr) return malformed("subject's digest");
  HF_TRY_ASSIGN(const std::string hex, text_of(*digest, "sha256"));
  HF_TRY_ASSIGN(out.root, digest_of(hex, "subject's digest"));
  return ok_status();
}

Status decode_serialization(const json::Value& predicate, Statement& out) {
  const json::Value* how = predicate.find("serialization");
  if (how == nullptr || !how->is_object()) return malformed("serialization");
  HF_TRY_ASSIGN(const std::string method, text_of(*how, "method"));
  HF_TRY_ASSIGN(const std::string hash, text_of(*how, "hash_type"));
  if (hash != "sha256")
    return unsupported("unsupported hash of the signature's statement: " + hash);
  if (method == "shards") {
    out.method = Method::kShards;
    const json::Value* size = how->find("shard_size");
    // Other programs write numbers of a protobuf Struct, which are doubles.
    if (size == nullptr || !size->is_number() || size->as_double() < 1 ||
        size->as_double() > 9007199254740992.0)
      return malformed("shard_size");
    out.shard_size = static_cast<std::uint64_t>(size->as_double());
  } else if (method != "files") {
    return unsupported("unsupported method of the signature's statement: " + method);
  }
  const json::Value* ignored = how->find("ignore_paths");
  if (ignored == nullptr) return ok_status();
  if (!ignored->is_array() || ignored->as_array().size() > kIgnoredMax)
    return malformed("ignore_paths");
  for (const json::Value& path : ignored->as_array()) {
    if (!path.is_string()) return malformed("ignore_paths");
    out.ignore_paths.push_back(path.as_string());
  }
  return ok_status();
}

Status decode_resources(const json::Value& predicate, Statement& out) {
  const json::Value* resources = predicate.find("resources");
  if (resources == nullptr || !resources->is_array() || resources->as_array().empty() ||
      resources->as_array().size() > kResourcesMax)
    return malformed("resources");
  std::set<std::string_view> seen;
  out.resources.reserve(resources->as_array().size());
  for (const json::Value& value : resources->as_array()) {
    Resource r;
    HF_TRY_ASSIGN(r.name, text_of(value, "name"));
    HF_TRY_ASSIGN(const std::string algorithm, text_of(value, "algorithm"));
    HF_TRY_ASSIGN(const std::string hex, text_of(value, "digest"));
    if (!algorithm.starts_with("sha256"))
      return unsupported("unsupported hash of the signature's statement: " + algorithm);
    HF_TRY_ASSIGN(r.digest, digest_of(hex, "a resource's digest"));
    std::string_view path = r.name;
    if (out.method == Method::kShards) {
      HF_TRY_ASSIGN(const Shard shard, parse_shard(r.name));
      path = shard.file;
    }
    if (r.name.size() > kResourceNameBytesMax || !is_inside(path))
      return corrupt("the signature names a file outside of the model", r.name);
    out.resources.push_back(std::move(r));
  }
  for (const Resource& r : out.resources) {
    if (!seen.insert(r.name).second) return malformed("a resource that occurs twice");
  }
  return ok_status();
}

// Ours alone; other programs ignore it.
Status decode_version(const json::Value& predicate, Statement& out) {
  const json::Value* own = predicate.find("holdfast");
  if (own == nullptr) return ok_status();
  const json::Value* version = own->find("model_version");
  if (version == nullptr || !version->is_string()) return malformed("model_version");
  const std::string& text = version->as_string();
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), out.model_version);
  if (error != std::errc() || end != text.data() + text.size()) return malformed("model_version");
  return ok_status();
}

}  // namespace

crypto::Sha256Digest root_digest(const std::vector<Resource>& resources) {
  crypto::Sha256 hash;
  for (const Resource& r : resources) hash.update(r.digest);
  return hash.finish();
}

Result<Shard> parse_shard(std::string_view name) {
  const std::size_t second = name.rfind(':');
  const std::size_t first =
      second == std::string_view::npos || second == 0 ? second : name.rfind(':', second - 1);
  if (first == std::string_view::npos) return malformed("a shard's name");
  Shard out;
  out.file = name.substr(0, first);
  const auto number = [](std::string_view text, std::uint64_t& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
  };
  if (!number(name.substr(first + 1, second - first - 1), out.start) ||
      !number(name.substr(second + 1), out.end) || out.end <= out.start)
    return malformed("a shard's name");
  return out;
}

std::string encode_statement(const Statement& statement) {
  std::vector<Resource> sorted = statement.resources;
  std::sort(sorted.begin(), sorted.end(),
            [](const Resource& a, const Resource& b) { return a.name < b.name; });
  json::Array resources;
  for (const Resource& r : sorted) {
    resources.emplace_back(
        json::Object{{"name", r.name}, {"algorithm", "sha256"}, {"digest", to_hex(r.digest)}});
  }
  json::Array ignored;
  for (const std::string& path : statement.ignore_paths) ignored.emplace_back(path);
  json::Object how{{"method", "files"},
                   {"hash_type", "sha256"},
                   {"allow_symlinks", false},
                   {"ignore_paths", std::move(ignored)}};
  json::Object predicate{{"serialization", std::move(how)}, {"resources", std::move(resources)}};
  if (statement.model_version != 0) {
    predicate.set("holdfast",
                  json::Object{{"model_version", std::to_string(statement.model_version)}});
  }
  json::Object subject{{"name", statement.model},
                       {"digest", json::Object{{"sha256", to_hex(root_digest(sorted))}}}};
  return json::write(json::Object{{"_type", kStatementType},
                                  {"subject", json::Array{std::move(subject)}},
                                  {"predicateType", kPredicateType},
                                  {"predicate", std::move(predicate)}});
}

Result<Statement> decode_statement(ByteView payload) {
  if (payload.size() > kStatementBytesMax) return malformed("longer than 16 MiB");
  const auto parsed = json::parse(as_string_view(payload), {.bytes_max = kStatementBytesMax});
  if (!parsed.ok()) return malformed(parsed.error().client_message());
  HF_TRY_ASSIGN(const std::string type, text_of(*parsed, "_type"));
  HF_TRY_ASSIGN(const std::string predicate_type, text_of(*parsed, "predicateType"));
  if (predicate_type == kOldPredicate) {
    return unsupported("the signature was made with a release of before 1.0 of model-signing")
        .with_hint("sign the model again with a present release");
  }
  if (type != kStatementType || predicate_type != kPredicateType)
    return corrupt("the signature is not about a model", predicate_type);
  Statement out;
  HF_TRY(decode_subject(*parsed, out));
  const json::Value* predicate = parsed->find("predicate");
  if (predicate == nullptr || !predicate->is_object()) return malformed("predicate");
  HF_TRY(decode_serialization(*predicate, out));
  HF_TRY(decode_resources(*predicate, out));
  HF_TRY(decode_version(*predicate, out));
  if (root_digest(out.resources) != out.root)
    return corrupt("the signature's root digest is not that of its files");
  return out;
}

}  // namespace holdfast::signing
