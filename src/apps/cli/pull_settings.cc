#include "pull_settings.h"

#include <algorithm>

#include "holdfast/fetch/fetcher_process.h"
#include "holdfast/platform/process.h"
#include "output.h"

namespace holdfast::cli {
namespace {

constexpr std::uint64_t kTokenBytesMax = 16 * 1024;
// Where distributions keep the certificates of authorities, in one file.
constexpr const char* kAuthorities[] = {"/etc/ssl/certs/ca-certificates.crt",
                                        "/etc/pki/tls/certs/ca-bundle.crt",
                                        "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};

std::string variable(const Context& context, std::string_view name) {
  return std::string(config::lookup(context.environment, name));
}

bool is_on(std::string_view text) {
  return text == "1" || text == "true" || text == "TRUE" || text == "ON" || text == "YES";
}

// The setting; where it is not set, the hub's own variable.
Result<fetch::Url> hub_endpoint(const Context& context) {
  using config::Setting;
  std::string text = context.settings.text(Setting::pull_hf_endpoint);
  const std::string own = variable(context, "HF_ENDPOINT");
  if (context.settings.source(Setting::pull_hf_endpoint) == "default" && !own.empty()) text = own;
  auto url = fetch::parse_url(text);
  if (!url.ok()) return Error(std::move(url).error()).add_context("pull.hf_endpoint " + text);
  return url;
}

// $HF_HOME or ~/.cache/huggingface.
std::string hub_home(const Context& context) {
  std::string home = variable(context, "HF_HOME");
  if (!home.empty()) return home;
  std::string cache = variable(context, "XDG_CACHE_HOME");
  if (cache.empty()) cache = variable(context, "HOME") + "/.cache";
  return cache + "/huggingface";
}

using Token = observe::SecretText;

Result<Token> read_token(const std::string& path) {
  platform::PosixFileSystem fs;
  HF_TRY_ASSIGN(Bytes bytes, platform::read_file(fs, path, kTokenBytesMax));
  std::string token(as_string_view(bytes));
  observe::wipe_memory(bytes.data(), bytes.size());
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' '))
    token.pop_back();
  return Token(std::move(token));
}

// Of a file that was named, or of the hub's variables and files, in its order.
Result<Token> find_token(const Context& context, const PullFlags& flags,
                         const fetch::Source& source) {
  if (!flags.token_file.empty()) return read_token(flags.token_file);
  if (source.kind != fetch::SourceKind::kHub) return Token();
  if (std::string token = variable(context, "HF_TOKEN"); !token.empty())
    return Token(std::move(token));
  std::string path = variable(context, "HF_TOKEN_PATH");
  if (path.empty()) path = hub_home(context) + "/token";
  auto token = read_token(path);
  if (!token.ok() && token.error().code() == ErrorCode::kNotFound) return Token();
  return token;
}

Status check_token(const Token& token) {
  const bool plain =
      std::ranges::all_of(token.reveal(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (plain) return ok_status();
  return invalid_argument("the token has characters that no token has")
      .with_hint("the file holds the token alone, on one line");
}

std::string hub_cache(const Context& context, const fetch::Source& source) {
  std::string cache = variable(context, "HF_HUB_CACHE");
  if (cache.empty()) cache = hub_home(context) + "/hub";
  std::string repository = source.repository;
  for (std::size_t at = 0; (at = repository.find('/', at)) != std::string::npos;)
    repository.replace(at, 1, "--");
  return cache + "/models--" + repository + "/blobs";
}

Result<fetch::FetcherOptions> fetcher_options(const Context& context) {
  fetch::FetcherOptions options;
  HF_TRY_ASSIGN(const std::string self, platform::own_executable_path());
  options.program = platform::join_path(platform::parent_path(self), "holdfast-fetcher");
  options.ca_file = variable(context, "SSL_CERT_FILE");
  platform::PosixFileSystem fs;
  for (const char* path : kAuthorities) {
    if (options.ca_file.empty() && fs.exists(path)) options.ca_file = path;
  }
  if (options.ca_file.empty()) options.ca_file = kAuthorities[0];
  options.proxy = variable(context, "HTTPS_PROXY");
  if (options.proxy.empty()) options.proxy = variable(context, "https_proxy");
  options.jail_must_be_complete =
      context.settings.text(config::Setting::server_profile) == "regulated";
  options.on_degraded = [&context](const std::string& missing) {
    if (context.flags.verbose)
      notice(context, "note: the sandbox of the fetcher misses " + missing);
  };
  return options;
}

}  // namespace

Result<fetch::Source> pull_source(const Context& context, const PullFlags& flags) {
  if (context.settings.text(config::Setting::server_profile) == "classified") {
    return Error(ErrorCode::kDenied, "the profile \"classified\" pulls nothing")
        .with_hint("bring the model as a file: holdfast import PATH");
  }
  HF_TRY_ASSIGN(const fetch::Url hub, hub_endpoint(context));
  HF_TRY_ASSIGN(fetch::Source source, fetch::parse_source(flags.source, hub));
  if (source.kind != fetch::SourceKind::kHub) {
    if (!flags.revision.empty() || flags.hub_cache)
      return invalid_argument("--revision and --import-hf-cache are for repositories of the hub");
    return source;
  }
  if (is_on(variable(context, "HF_HUB_OFFLINE")))
    return Error(ErrorCode::kDenied, "HF_HUB_OFFLINE forbids to ask the hub");
  if (flags.revision.empty()) return source;
  if (!source.revision.empty() && source.revision != flags.revision)
    return invalid_argument("the source and --revision name two revisions");
  // The same rules as behind "@".
  return fetch::parse_source(flags.source.substr(0, flags.source.find('@')) + "@" + flags.revision,
                             hub);
}

Result<fetch::PullOptions> pull_options(const Context& context, const PullFlags& flags,
                                        const fetch::Source& source, std::string directory) {
  using config::Setting;
  const config::Settings& settings = context.settings;
  fetch::PullOptions options;
  HF_TRY_ASSIGN(fetch::PrivateRules rules,
                fetch::PrivateRules::parse(settings.list(Setting::pull_allow_private)));
  HF_TRY_ASSIGN(options.policy, fetch::HostPolicy::create(settings.list(Setting::pull_registries),
                                                          std::move(rules)));
  HF_TRY_ASSIGN(fetch::FetcherOptions fetcher, fetcher_options(context));
  options.connect = [fetcher = std::move(fetcher), policy = options.policy](
                        const fetch::Url& url, int output_fd, std::uint64_t output_bytes) {
    return fetch::start_fetcher(fetcher, url, policy.rules(), output_fd, output_bytes);
  };
  options.directory = std::move(directory);
  HF_TRY_ASSIGN(options.token, find_token(context, flags, source));
  HF_TRY(check_token(options.token));
  options.token_origin = source.url.origin();
  if (flags.hub_cache) options.hub_cache = hub_cache(context, source);
  options.parts = static_cast<unsigned>(settings.integer(Setting::pull_parts));
  options.bandwidth_max = settings.size_bytes(Setting::pull_bandwidth_max);
  options.stall = settings.duration(Setting::http_stall_timeout);
  return options;
}

}  // namespace holdfast::cli
