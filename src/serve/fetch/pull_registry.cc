#include <utility>

#include "web.h"

namespace holdfast::fetch {
namespace {

constexpr std::string_view kManifestTypes =
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.oci.image.index.v1+json";

// What a challenge may put into a query; everything else is ours.
bool is_plain_service(std::string_view text) {
  return text.size() <= 256 && text.find_first_not_of(
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqr"
                                   "stuvwxyz0123456789.-_:/") == std::string_view::npos;
}

// A token of the registry's realm, which is the registry itself or listed. The scope is what
// a pull needs, whatever the challenge says.
Status log_in(Web& web, const Url& registry, const std::string& repository,
              std::string_view challenge_text) {
  HF_TRY_ASSIGN(const BearerChallenge challenge, parse_challenge(challenge_text));
  auto realm = parse_url(challenge.realm);
  if (!realm.ok()) return corrupt("the realm of the registry is no URL");
  HF_TRY(web.options().policy.check_realm(registry, *realm));
  if (!is_plain_service(challenge.service)) return corrupt("the registry's service is no name");
  if (!realm->query.empty()) realm->query += "&";
  if (!challenge.service.empty()) realm->query += "service=" + challenge.service + "&";
  realm->query += "scope=repository:" + repository + ":pull";
  HF_TRY_ASSIGN(const Answer answer, web.ask({*realm, false, false, false, {}}));
  if (answer.status != 200) return error_of_status(answer);
  HF_TRY_ASSIGN(std::string token, parse_token(answer.body));
  web.use_token(registry.origin(), observe::SecretText(std::move(token)));
  return ok_status();
}

Result<Answer> get_manifest(Web& web, const Source& source, const Url& url) {
  const Web::Question question{url, false, false, true, {{"Accept", std::string(kManifestTypes)}}};
  HF_TRY_ASSIGN(Answer answer, web.ask(question));
  const std::string_view challenge = field(answer.fields, "www-authenticate");
  if (answer.status == 401 && !challenge.empty()) {
    HF_TRY(log_in(web, source.url, source.repository, challenge));
    HF_TRY_ASSIGN(answer, web.ask(question));
  }
  if (answer.status == 200) return answer;
  if (answer.status == 404)
    return not_found("there is no " + source.repository + ":" + source.reference + " at " +
                     source.url.authority());
  return error_of_status(answer);
}

}  // namespace

Result<Plan> plan_registry(Web& web, const Source& source) {
  const std::string base =
      source.url.origin().text() + "/v2/" + encode_path(source.repository) + "/";
  HF_TRY_ASSIGN(const Url url, parse_url(base + "manifests/" + source.reference));
  HF_TRY_ASSIGN(const Answer answer, get_manifest(web, source, url));
  const std::string digest = "sha256:" + to_hex(crypto::sha256(as_bytes_view(answer.body)));
  if (source.reference.starts_with("sha256:") && source.reference != digest)
    return corrupt("the registry sent another manifest than the digest names");
  HF_TRY_ASSIGN(RegistryModel model, parse_manifest(answer.body));
  Plan plan;
  plan.files = std::move(model.selection.files);
  plan.entry = std::move(model.selection.entry);
  plan.license = std::move(model.license);
  plan.url = source.url.origin().text() + "/" + source.repository + ":" + source.reference;
  if (source.reference.starts_with("sha256:"))
    plan.url = source.url.origin().text() + "/" + source.repository;
  plan.revision = digest;
  HF_TRY_ASSIGN(const Url blobs, parse_url(base + "blobs/"));
  plan.server_of = [&web, blobs](const RemoteFile& file) {
    Url place = blobs;
    place.path += file.path;  // a checked digest
    return std::make_unique<PlainServer>(web, std::move(place));
  };
  return plan;
}

// One file at one URL, whose digest the user gave. Its size is asked for first.
Result<Plan> plan_url(Web& web, const Source& source) {
  HF_TRY_ASSIGN(const Answer answer, web.ask({source.url, false, true, true, {}}));
  RemoteFile file;
  file.path = file.name = source.file;
  file.sha256 = source.digest;
  std::optional<std::uint64_t> size;
  if (answer.status == 206) {
    HF_TRY_ASSIGN(const ContentRange range,
                  parse_content_range(field(answer.fields, "content-range")));
    size = range.total;
  } else if (answer.status == 200) {
    size = parse_length(field(answer.fields, "content-length"));
  } else {
    return error_of_status(answer);
  }
  if (!size || *size > kFileBytesMax)
    return unsupported(answer.url.authority() + " does not say how large the file is");
  file.size_bytes = *size;
  Plan plan;
  plan.files.push_back(file);
  plan.entry = file.name;
  plan.url = source.url.shown();
  plan.server_of = [&web, url = source.url](const RemoteFile&) {
    return std::make_unique<PlainServer>(web, url);
  };
  return plan;
}

}  // namespace holdfast::fetch
