#include "web.h"

#include <algorithm>

#include "holdfast/platform/entropy.h"

namespace holdfast::fetch {
namespace {

constexpr unsigned kAttemptsMax = 4;
constexpr auto kPauseFirst = std::chrono::milliseconds(250);
constexpr auto kPoll = std::chrono::milliseconds(100);

bool is_redirect(std::uint32_t status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool is_transient(const Result<Answer>& answer) {
  if (answer.ok()) return answer->status == 429 || answer->status >= 500;
  return answer.error().code() == ErrorCode::kUnavailable ||
         answer.error().code() == ErrorCode::kDeadline;
}

void pause(unsigned attempt) {
  const std::chrono::milliseconds usual = kPauseFirst * (1 << attempt);
  const auto random = static_cast<std::int64_t>(platform::random_u64().value_or(0) % 1000);
  platform::pause_for(usual / 2 + usual * random / 1000);
}

// A text of the other side for people: one short line.
std::string shown(std::string_view text) {
  std::string out(text.substr(0, 200));
  std::erase_if(out, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  return out;
}

}  // namespace

Error error_of_status(const Answer& answer) {
  const std::string what = answer.url.authority() + " answers " + std::to_string(answer.status);
  const std::string detail = shown(field(answer.fields, "x-error-message"));
  switch (answer.status) {
    case 401:
      return Error(ErrorCode::kUnauthenticated, what, detail);
    case 403:
      return Error(ErrorCode::kDenied, what, detail);
    case 404:
      return not_found(what, detail.empty() ? answer.url.shown() : detail);
    default:
      return unavailable(what, detail);
  }
}

Fields Web::credential_for(const Url& url) const {
  const Origin origin = url.origin();
  if (const auto given = tokens_.find(origin.text()); given != tokens_.end())
    return {{"Authorization", "Bearer " + given->second.reveal()}};
  if (options_.token.empty() || !(origin == options_.token_origin)) return {};
  return {{"Authorization", "Bearer " + options_.token.reveal()}};
}

void Web::use_token(const Origin& origin, observe::SecretText token) {
  tokens_[origin.text()] = std::move(token);
}

Result<Url> Web::follow(const Url& from, std::string_view location) const {
  auto to = resolve_url(from, location);
  if (!to.ok()) {
    return Error(ErrorCode::kDenied, from.authority() + " sends on to what cannot be followed",
                 to.error().client_message());
  }
  HF_TRY(options_.policy.check_redirect(source_, from, *to));
  return to;
}

Result<Answer> Web::exchange(Link& link, const Question& question) {
  Request request;
  request.id = next_id_++;
  request.head = question.head;
  request.url = question.url;
  request.fields = question.fields;
  for (auto& field : credential_for(question.url)) request.fields.push_back(std::move(field));
  request.sink = question.head || question.probe ? Sink::kNone : Sink::kMemory;
  if (question.probe) request.fields.emplace_back("Range", "bytes=0-0");
  request.total = kCatalogBytesMax;
  request.stall_ms = static_cast<std::uint32_t>(options_.stall.count());
  HF_TRY(link.send(request));
  Answer answer;
  answer.url = question.url;
  while (true) {
    if (options_.cancel != nullptr && *options_.cancel) return cancelled("the pull was stopped");
    HF_TRY_ASSIGN(auto event, link.next(platform::Deadline::after(kPoll)));
    if (!event) continue;
    if (auto* head = std::get_if<Head>(&*event); head != nullptr && head->id == request.id) {
      answer.status = head->status;
      answer.fields = std::move(head->fields);
    } else if (const auto* body = std::get_if<Body>(&*event);
               body != nullptr && body->id == request.id) {
      answer.body += body->bytes;
      if (answer.body.size() > kCatalogBytesMax) return exhausted("the answer is too long");
    } else if (auto* done = std::get_if<Done>(&*event); done != nullptr && done->id == request.id) {
      if (done->error) return *std::move(done->error);
      if (answer.status == 0) return unavailable(question.url.authority() + " gave no answer");
      return answer;
    }
  }
}

Result<Answer> Web::ask_once(const Question& question) {
  std::unique_ptr<Link>& link = links_[question.url.origin().text()];
  if (!link) {
    HF_TRY_ASSIGN(link, options_.connect(question.url, -1, 0));
  }
  auto answer = exchange(*link, question);
  if (!answer.ok()) link.reset();
  return answer;
}

Result<Answer> Web::ask(const Question& first) {
  Question question = first;
  for (unsigned redirects = 0;; ++redirects) {
    auto answer = ask_once(question);
    for (unsigned attempt = 0; is_transient(answer) && attempt + 1 < kAttemptsMax; ++attempt) {
      pause(attempt);
      answer = ask_once(question);
    }
    if (!answer.ok() || !question.follow || !is_redirect(answer->status)) return answer;
    if (redirects == kRedirectsMax)
      return unavailable(question.url.authority() + " sends in circles");
    HF_TRY_ASSIGN(question.url, follow(question.url, field(answer->fields, "location")));
  }
}

}  // namespace holdfast::fetch
