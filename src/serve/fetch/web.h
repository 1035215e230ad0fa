// Small answers (descriptions, tokens) over fetchers: redirects, retries and credentials of one
// pull.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/fetch/catalog.h"
#include "holdfast/fetch/download.h"
#include "holdfast/fetch/pull.h"

namespace holdfast::fetch {

struct Answer {
  Url url;  // that gave it, after redirects
  std::uint32_t status = 0;
  Fields fields;
  std::string body;
};

// One fetcher per origin, kept for the next request. Owned by one thread. The options outlive it.
class Web {
 public:
  Web(const PullOptions& options, Url source) : options_(options), source_(std::move(source)) {}

  struct Question {
    Url url;
    bool head = false;
    bool probe = false;  // a GET of the first byte, of which the head counts
    bool follow = true;  // redirects
    Fields fields;
  };
  // Any status. kUnavailable after retries, kDenied for redirects that policy refuses.
  Result<Answer> ask(const Question& question);

  // The credential, at its own origin; nothing elsewhere.
  Fields credential_for(const Url& url) const;
  // A token that a registry gave: for that origin, in place of the user's.
  void use_token(const Origin& origin, observe::SecretText token);
  Result<Url> follow(const Url& from, std::string_view location) const;

  const PullOptions& options() const { return options_; }
  const Url& source() const { return source_; }

 private:
  Result<Answer> ask_once(const Question& question);
  Result<Answer> exchange(Link& link, const Question& question);

  const PullOptions& options_;
  const Url source_;
  std::map<std::string, std::unique_ptr<Link>> links_;  // by the text of their origin
  std::map<std::string, observe::SecretText> tokens_;
  std::uint32_t next_id_ = 1;
};

// The error of a status: 401 and 403 are kUnauthenticated and kDenied, 404 kNotFound, others
// kUnavailable.
Error error_of_status(const Answer& answer);

// What a source turned out to be.
struct Plan {
  std::vector<RemoteFile> files;
  std::string entry;
  std::string url, revision, license;
  // How each file is reached.
  std::function<std::unique_ptr<FileServer>(const RemoteFile&)> server_of;
};
Result<Plan> plan_hub(Web& web, const Source& source);
Result<Plan> plan_registry(Web& web, const Source& source);
Result<Plan> plan_url(Web& web, const Source& source);

// Of a file that is where it says, redirects apart.
class PlainServer : public FileServer {
 public:
  PlainServer(Web& web, Url url) : web_(web), url_(std::move(url)) {}
  Result<Url> locate() override { return url_; }
  Result<Url> follow(const Url& from, std::string_view location) override {
    return web_.follow(from, location);
  }
  Fields fields_for(const Url& url) override { return web_.credential_for(url); }
  Result<std::unique_ptr<Link>> connect(const Url& url, int output_fd,
                                        std::uint64_t output_bytes) override {
    return web_.options().connect(url, output_fd, output_bytes);
  }

 protected:
  Web& web_;
  const Url url_;
};

}  // namespace holdfast::fetch
