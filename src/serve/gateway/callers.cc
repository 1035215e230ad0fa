#include "callers.h"

#include <algorithm>

#include "holdfast/crypto/hmac.h"

namespace holdfast::gateway {
namespace {

constexpr std::size_t kFairnessIdBytesMax = 128;
// English text has about four bytes to a token.
constexpr std::uint64_t kBytesPerToken = 4;
// Reserved for an answer whose length the client leaves open.
constexpr std::uint64_t kAnswerGuessTokens = 1024;

std::uint64_t text_bytes(const json::Value& value) {
  std::uint64_t out = 0;
  if (value.is_string()) return value.as_string().size();
  if (value.is_array()) {
    for (const json::Value& item : value.as_array()) out += text_bytes(item);
  } else if (value.is_object()) {
    for (const auto& [key, item] : value.as_object()) out += key.size() + text_bytes(item);
  }
  return out;
}

std::uint64_t prompt_tokens(const backend::Prompt& prompt) {
  if (const auto* tokens = std::get_if<backend::TokenPrompt>(&prompt)) return tokens->tokens.size();
  std::uint64_t bytes = 0;
  if (const auto* text = std::get_if<backend::TextPrompt>(&prompt)) bytes = text->text.size();
  if (const auto* chat = std::get_if<backend::ChatPrompt>(&prompt))
    bytes = text_bytes(chat->messages) + text_bytes(chat->tools);
  return bytes / kBytesPerToken + 1;
}

std::uint64_t to_ms(std::int64_t ns) {
  return static_cast<std::uint64_t>((ns + 999'999) / 1'000'000);
}

}  // namespace

const RequestContext* context_of(const http::Request& request) {
  return static_cast<const RequestContext*>(request.context.get());
}

std::string cache_domain(ByteView key, std::string_view tenant, std::string_view client_salt) {
  using namespace std::string_view_literals;
  const ByteView separator = as_bytes_view("\0"sv);
  const ByteView label = as_bytes_view("holdfast/cache-domain/v1"sv);
  if (client_salt.empty())
    return to_hex(crypto::hmac_sha256(key, {label, separator, as_bytes_view(tenant)}));
  return to_hex(crypto::hmac_sha256(
      key, {label, separator, as_bytes_view(tenant), separator, as_bytes_view(client_salt)}));
}

Parsed<std::string> fairness_tenant(const identity::Principal& caller,
                                    const http::Headers& headers) {
  const std::string* id = headers.find("x-llm-d-inference-fairness-id");
  if (id == nullptr || id->empty()) return caller.tenant;
  const bool good =
      id->size() <= kFairnessIdBytesMax &&
      std::all_of(id->begin(), id->end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!good) {
    return invalid_value("",
                         "Invalid header x-llm-d-inference-fairness-id: at most 128 visible "
                         "characters.");
  }
  return caller.role == identity::Role::kAdmin ? caller.tenant + "/" + *id : caller.tenant;
}

ServiceTier service_tier(const identity::Principal& caller, const GenerationSpec& spec) {
  if (spec.service_tier == "flex" || spec.priority > 0) return {backend::Priority::kBatch, "flex"};
  if (spec.service_tier == "priority" && caller.role == identity::Role::kAdmin)
    return {backend::Priority::kRealtime, "priority"};
  return {};
}

bool same_model(const backend::ModelFacts& model, std::string_view name) {
  if (model.id == name || model.id == std::string(name) + ":latest") return true;
  return std::find(model.aliases.begin(), model.aliases.end(), name) != model.aliases.end();
}

bool may_use(const identity::Principal* caller, const backend::ModelFacts& model) {
  if (caller == nullptr || caller->models.empty()) return true;
  return std::any_of(caller->models.begin(), caller->models.end(),
                     [&](const std::string& name) { return same_model(model, name); });
}

TokenEstimate estimate_tokens(const GenerationSpec& spec, std::uint64_t context_length) {
  const auto cap = [&](std::uint64_t n) {
    return context_length > 0 ? std::min(n, context_length) : n;
  };
  TokenEstimate out;
  for (const backend::Prompt& prompt : spec.prompts) out.needed += cap(prompt_tokens(prompt));
  out.wanted = out.needed;
  const std::uint64_t answers = spec.prompts.size() * spec.best_of;
  out.needed += answers * (spec.max_tokens ? cap(*spec.max_tokens) : 1);
  out.wanted += answers * cap(spec.max_tokens.value_or(kAnswerGuessTokens));
  return out;
}

identity::AccountLimits limits_of(const identity::Principal& caller, const CallerLimits& defaults) {
  if (caller.is_local()) return {};
  const auto own = [](std::uint64_t of_key, std::uint64_t of_server) {
    return of_key > 0 ? of_key : of_server;
  };
  return {own(caller.quotas.requests_per_minute, defaults.quotas.requests_per_minute),
          own(caller.quotas.tokens_per_day, defaults.quotas.tokens_per_day),
          defaults.requests_per_key};
}

ApiError limit_error(const identity::Refused& refused) {
  // Requests end when they end: a second is a guess that does not hurt.
  constexpr std::uint64_t kPlaceRetryMs = 1000;
  const std::uint64_t retry = to_ms(refused.retry_ns);
  switch (refused.why) {
    case identity::Refusal::kConcurrency:
      return rate_limited("concurrency_exceeded",
                          "Too many requests of this API key run at the same time.", kPlaceRetryMs);
    case identity::Refusal::kTokens: {
      ApiError error = rate_limited("insufficient_quota",
                                    "The tokens of this API key for today do not suffice.", retry);
      error.no_retry = true;
      return error;
    }
    case identity::Refusal::kRequests:
      return rate_limited("rate_limit_exceeded", "This API key asks more often than it may.",
                          std::max<std::uint64_t>(retry, 1));
    case identity::Refusal::kNoRoom:
      break;
  }
  return overloaded("overloaded", "The server is at its capacity. Try again shortly.",
                    kPlaceRetryMs);
}

std::string go_duration(std::int64_t ns) {
  const auto ms = static_cast<std::int64_t>(to_ms(std::max<std::int64_t>(ns, 0)));
  if (ms == 0) return "0s";
  if (ms < 1000) return std::to_string(ms) + "ms";
  std::string out;
  const std::int64_t seconds = ms / 1000;
  if (seconds >= 3600) out += std::to_string(seconds / 3600) + "h";
  if (seconds >= 60) out += std::to_string(seconds / 60 % 60) + "m";
  out += std::to_string(seconds % 60);
  if (const std::int64_t rest = ms % 1000; rest > 0) {
    std::string fraction = std::to_string(1000 + rest).substr(1);
    fraction.erase(fraction.find_last_not_of('0') + 1);
    out += "." + fraction;
  }
  return out + "s";
}

void add_limit_headers(const identity::AccountLimits& limits, const identity::AccountState& state,
                       http::Headers& headers) {
  const auto add = [&](std::string_view what, std::uint64_t limit, std::uint64_t remaining,
                       std::int64_t full_in_ns) {
    if (limit == 0) return;
    const std::string kind(what);
    headers.set("x-ratelimit-limit-" + kind, std::to_string(limit));
    headers.set("x-ratelimit-remaining-" + kind, std::to_string(remaining));
    headers.set("x-ratelimit-reset-" + kind, go_duration(full_in_ns));
  };
  add("requests", limits.requests_per_minute, state.remaining_requests, state.requests_full_in_ns);
  add("tokens", limits.tokens_per_day, state.remaining_tokens, state.tokens_full_in_ns);
}

}  // namespace holdfast::gateway
