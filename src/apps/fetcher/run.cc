#include <sys/resource.h>

#include <algorithm>

#include "holdfast/fetch/transfer.h"
#include "holdfast/fetcher/fetcher.h"
#include "holdfast/jail/jail.h"
#include "holdfast/platform/file.h"
#include "holdfast/platform/process.h"
#include "holdfast/platform/signals.h"

namespace holdfast::fetcher {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);
constexpr auto kLookUpPatience = std::chrono::seconds(40);
constexpr std::uint64_t kAuthoritiesBytesMax = 8u << 20;
// Libraries, certificates, and a buffer and a TLS session for each connection.
constexpr std::uint64_t kAddressSpaceBytes = std::uint64_t{1} << 30;

platform::Deadline patience() { return platform::Deadline::after(kPatience); }

template <typename Expected>
Result<Expected> expect() {
  HF_TRY_ASSIGN(fetch::Message message, fetch::receive_message(kControlFd, patience()));
  if (auto* expected = std::get_if<Expected>(&message)) return std::move(*expected);
  return corrupt("the fetcher did not expect this message");
}

Result<std::string> read_authorities(const std::string& path) {
  if (path.empty()) return std::string();
  auto file = platform::File::open_read(path);
  if (!file.ok()) {
    return Error(std::move(file).error())
        .add_context("certificates of authorities")
        .with_hint("install the package ca-certificates");
  }
  HF_TRY_ASSIGN(const Bytes bytes, platform::read_all(*file, kAuthoritiesBytesMax));
  return std::string(as_string_view(bytes));
}

// Layers that have to be there and are not: all but the network's, which it needs.
std::string missing_layers(const jail::JailReport& report) {
  jail::JailReport without = report;
  std::erase_if(without.layers, [](const jail::LayerState& s) {
    return s.layer == jail::Layer::k_network_namespace;
  });
  return without.describe_missing();
}

Status close_jail(const fetch::Start& start) {
  jail::Profile profile;
  profile.kind = jail::ProfileKind::kFetcher;
  profile.keep_fds = {kControlFd};
  if (start.output_bytes > 0) profile.keep_fds.push_back(kOutputFd);
  profile.address_space_bytes = kAddressSpaceBytes;
  profile.threads_max = 1;
  profile.file_bytes_max = start.output_bytes;  // without an output nothing
  profile.connect_port = start.port;
  HF_TRY_ASSIGN(const jail::JailReport report, jail::enter_jail(profile));
  return fetch::send_message(kControlFd, fetch::Ready{missing_layers(report)}, patience());
}

Status serve() {
  fetch::TransferSetup setup;
  HF_TRY_ASSIGN(setup.start, expect<fetch::Start>());
  HF_TRY_ASSIGN(setup.ca_pem, read_authorities(setup.start.ca_file));
  HF_TRY(fetch::prepare_transfers());
  HF_TRY_ASSIGN(const std::string program, platform::own_executable_path());
  HF_TRY_ASSIGN(
      std::vector<fetch::IpAddress> found,
      fetch::look_up(program, setup.start.host, platform::Deadline::after(kLookUpPatience)));
  HF_TRY(fetch::send_message(kControlFd, fetch::Resolved{std::move(found)}, patience()));
  HF_TRY_ASSIGN(fetch::Pin pin, expect<fetch::Pin>());
  setup.pinned = std::move(pin.addresses);
  setup.control_fd = kControlFd;
  if (setup.start.output_bytes > 0) setup.output_fd = kOutputFd;
  HF_TRY(close_jail(setup.start));
  return fetch::serve_transfers(setup);
}

}  // namespace

int run_look_up() {
  platform::ignore_sigpipe();
  const Status served = fetch::serve_look_up(kControlFd);
  return served.ok() ? 0 : error_code_exit_status(served.error().code());
}

int run_fetcher() {
  platform::ignore_sigpipe();
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  const Status served = serve();
  if (served.ok()) return 0;
  ignore_error(fetch::send_message(kControlFd, fetch::Failed{served.error()}, patience()),
               "nobody is left to tell");
  return error_code_exit_status(served.error().code());
}

}  // namespace holdfast::fetcher
