#include "upstreams.h"

#include <algorithm>

#include "holdfast/base/bytes.h"
#include "holdfast/platform/filesystem.h"

namespace holdfast::cli {
namespace {

constexpr std::uint64_t kCredentialBytesMax = 4096;
constexpr std::string_view kFilePrefix = "file:";

// It goes into a header: nothing but printable ASCII, without the line's end.
Result<std::string> key_of(std::string_view text, const config::UpstreamSettings& upstream) {
  while (text.ends_with('\n') || text.ends_with('\r')) text.remove_suffix(1);
  const bool good = !text.empty() && std::all_of(text.begin(), text.end(),
                                                 [](char c) { return c > ' ' && c < 0x7f; });
  if (good) return std::string(text);
  return invalid_argument("the credential of upstream." + upstream.name +
                          " is not one line of printable characters")
      .with_hint("see " + upstream.source);
}

Result<std::string> from_keyring(const config::UpstreamSettings& upstream,
                                 custody::Custody* custody) {
  const std::string name = upstream.credential.substr(config::kKeyringPrefix.size());
  if (custody == nullptr || !custody->exists()) {
    return not_found("there is no keyring, and upstream." + upstream.name +
                     " has its credential there")
        .with_hint("see " + upstream.source);
  }
  const auto value = custody->value(name);
  if (!value.ok()) {
    Error error = value.error();
    if (error.code() == ErrorCode::kNotFound)
      return std::move(error).with_hint("holdfast seal credential put " + name);
    return std::move(error).add_context("the credential of upstream." + upstream.name);
  }
  return key_of(as_string_view(value->view()), upstream);
}

Result<std::string> read_credential(const config::UpstreamSettings& upstream,
                                    custody::Custody* custody) {
  if (upstream.credential.empty()) return std::string();
  if (upstream.credential.starts_with(config::kKeyringPrefix))
    return from_keyring(upstream, custody);
  platform::PosixFileSystem files;
  const auto bytes = platform::read_file(files, upstream.credential.substr(kFilePrefix.size()),
                                         kCredentialBytesMax);
  if (!bytes.ok()) {
    return invalid_argument("the credential of upstream." + upstream.name + " cannot be read",
                            bytes.error().to_string())
        .with_hint("see " + upstream.source);
  }
  return key_of(as_string_view(*bytes), upstream);
}

Result<backend::UpstreamOptions> options_of(const config::UpstreamSettings& u, bool egress,
                                            custody::Custody* custody) {
  backend::UpstreamOptions out;
  out.name = u.name;
  out.url = u.url;
  HF_TRY_ASSIGN(out.bearer, read_credential(u, custody));
  out.ca_file = u.ca;
  out.models = u.models;
  out.concurrency = u.concurrency;
  out.context_length = u.context_length;
  out.connect_timeout = u.connect_timeout;
  out.first_token_timeout = u.first_token_timeout;
  out.idle_timeout = u.idle_timeout;
  out.timeout = u.timeout;
  out.egress_allowed = egress;
  if (u.kind == config::UpstreamKind::kProcess) {
    backend::ProcessOptions process;
    process.command = u.command;
    process.model_file = u.model_file;
    process.health = u.health;
    process.start_timeout = u.start_timeout;
    process.read = u.read;
    process.write = u.write;
    process.address_space_max = u.address_space_max;
    out.process = std::move(process);
  }
  return out;
}

}  // namespace

Result<std::vector<router::Target>> upstream_targets(const config::Settings& settings,
                                                     const observe::Logger& logger,
                                                     backend::UpstreamTracing tracing,
                                                     custody::Custody* custody) {
  const bool egress = settings.text(config::Setting::policy_egress) == "listed";
  std::vector<router::Target> out;
  for (const config::UpstreamSettings& upstream : settings.upstreams()) {
    HF_TRY_ASSIGN(backend::UpstreamOptions options, options_of(upstream, egress, custody));
    auto made = backend::UpstreamBackend::create(std::move(options), logger, tracing);
    if (!made.ok()) return std::move(made).error().add_context(upstream.source);
    out.push_back({upstream.name, config::upstream_kind_name(upstream.kind),
                   std::move(made).value(), upstream.concurrency, true});
  }
  return out;
}

}  // namespace holdfast::cli
