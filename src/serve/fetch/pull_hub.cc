#include <algorithm>
#include <utility>

#include "web.h"

namespace holdfast::fetch {
namespace {

// "<hub><path>", where the hub may lie below a path itself.
Result<Url> below(const Url& hub, const std::string& path) {
  std::string base = hub.origin().text() + hub.path;
  while (base.ends_with('/')) base.pop_back();
  return parse_url(base + path);
}

// What the status of an answer means of a repository.
Error explain(const Answer& answer, const Url& hub, const std::string& repository, bool gated) {
  if (answer.status == 404)
    return not_found("there is no repository " + repository + " at " + hub.authority() +
                     ", or it has no such revision");
  const Error error = error_of_status(answer);
  if (answer.status != 401 && answer.status != 403) return error;
  const std::string page = hub.origin().text() + "/" + repository;
  const std::string what =
      gated ? repository + " is gated" : repository + " is gated, private or not there";
  return Error(error.code(), what, error.client_message())
      .with_hint("accept its licence at " + page +
                 " and give a token with read access in HF_TOKEN or with --token-file");
}

// A file of a repository at one commit: signed places are asked for anew when they expire.
class HubServer final : public PlainServer {
 public:
  HubServer(Web& web, Url url, RemoteFile file, std::string commit, std::string repository)
      : PlainServer(web, std::move(url)),
        file_(std::move(file)),
        commit_(std::move(commit)),
        repository_(std::move(repository)) {}

  Result<Url> locate() override {
    HF_TRY_ASSIGN(const Answer answer, web_.ask({url_, true, false, false, {}}));
    const bool redirect = answer.status >= 300 && answer.status < 400;
    if (answer.status != 200 && !redirect)
      return explain(answer, web_.source(), repository_, false);
    HF_TRY(check(answer));
    const std::string_view location = field(answer.fields, "location");
    if (!redirect) return url_;
    return web_.follow(url_, location);
  }

 private:
  // The hub must still mean the file that it listed.
  Status check(const Answer& answer) const {
    const std::string_view commit = field(answer.fields, "x-repo-commit");
    const std::string etag = plain_etag(field(answer.fields, "x-linked-etag"));
    const auto size = parse_length(field(answer.fields, "x-linked-size"));
    const bool other = (!commit.empty() && commit != commit_) ||
                       (file_.sha256 && !etag.empty() && etag != to_hex(*file_.sha256)) ||
                       (size && *size != file_.size_bytes);
    if (other) return corrupt("the hub lists one file and offers another", file_.path);
    return ok_status();
  }

  const RemoteFile file_;
  const std::string commit_;
  const std::string repository_;
};

Result<Answer> get(Web& web, const Url& url, const std::string& repository, bool gated) {
  HF_TRY_ASSIGN(Answer answer, web.ask({url, false, false, true, {}}));
  if (answer.status != 200) return explain(answer, web.source(), repository, gated);
  return answer;
}

Result<std::vector<RemoteFile>> read_tree(Web& web, Url url, const std::string& repository,
                                          bool gated) {
  std::vector<RemoteFile> tree;
  for (std::size_t page = 0; page < kTreePagesMax; ++page) {
    HF_TRY_ASSIGN(const Answer answer, get(web, url, repository, gated));
    HF_TRY_ASSIGN(std::vector<RemoteFile> files, parse_hub_tree(answer.body));
    std::ranges::move(files, std::back_inserter(tree));
    if (tree.size() > kTreeEntriesMax) return exhausted("the repository has too many files");
    const std::string next = next_page(field(answer.fields, "link"));
    if (next.empty()) return tree;
    HF_TRY_ASSIGN(Url following, web.follow(answer.url, next));
    if (following.origin() != answer.url.origin())
      return corrupt("the list of files goes on at another host", following.shown());
    url = std::move(following);
  }
  return exhausted("the repository has too many files");
}

}  // namespace

Result<Plan> plan_hub(Web& web, const Source& source) {
  const Url& hub = source.url;
  const std::string api = "/api/models/" + encode_path(source.repository);
  const std::string revision = source.revision.empty() ? "main" : source.revision;
  // A branch may have slashes, which stay one component here.
  std::string component = encode_path(revision);
  for (std::size_t at = 0; (at = component.find('/', at)) != std::string::npos;)
    component.replace(at, 1, "%2F");
  HF_TRY_ASSIGN(const Url about, below(hub, api + "/revision/" + component));
  HF_TRY_ASSIGN(const Answer answer, get(web, about, source.repository, false));
  HF_TRY_ASSIGN(const HubRevision pinned, parse_hub_revision(answer.body));
  HF_TRY_ASSIGN(Url tree_url, below(hub, api + "/tree/" + pinned.commit));
  tree_url.query = "recursive=true";
  HF_TRY_ASSIGN(const std::vector<RemoteFile> tree,
                read_tree(web, tree_url, source.repository, pinned.gated));
  HF_TRY_ASSIGN(Selection selection, select_files(tree, source.file, source.quantization));
  Plan plan;
  plan.files = std::move(selection.files);
  plan.entry = std::move(selection.entry);
  plan.revision = pinned.commit;
  plan.license = pinned.license;
  HF_TRY_ASSIGN(const Url page, below(hub, "/" + source.repository));
  plan.url = page.shown();
  std::map<std::string, Url> places;
  for (const RemoteFile& file : plan.files) {
    HF_TRY_ASSIGN(Url url, below(hub, "/" + encode_path(source.repository) + "/resolve/" +
                                          pinned.commit + "/" + encode_path(file.path)));
    places.emplace(file.path, std::move(url));
  }
  plan.server_of = [&web, places = std::move(places), commit = pinned.commit,
                    repository = source.repository](const RemoteFile& file) {
    return std::make_unique<HubServer>(web, places.at(file.path), file, commit, repository);
  };
  return plan;
}

}  // namespace holdfast::fetch
