#include "holdfast/fetch/fetcher_process.h"

#include <poll.h>

#include <utility>

#include "holdfast/jail/child.h"

namespace holdfast::fetch {
namespace {

// Name servers have their own timeouts, some ten seconds for each that does not answer.
constexpr auto kLookUpPatience = std::chrono::seconds(45);
constexpr auto kPatience = std::chrono::seconds(30);

class FetcherProcess final : public Link {
 public:
  FetcherProcess(jail::JailedChild child, std::string host)
      : child_(std::move(child)), host_(std::move(host)) {}

  Status send(const Request& request) override { return tell(request); }
  Status cancel(std::uint32_t id) override { return tell(Cancel{id}); }

  Result<std::optional<Event>> next(platform::Deadline deadline) override {
    pollfd readable{child_.control.get(), POLLIN, 0};
    if (::poll(&readable, 1, deadline.poll_timeout_ms()) <= 0) return std::optional<Event>();
    HF_TRY_ASSIGN(Message message, hear(kPatience));
    if (auto* head = std::get_if<Head>(&message)) return std::optional<Event>(std::move(*head));
    if (auto* body = std::get_if<Body>(&message)) return std::optional<Event>(std::move(*body));
    if (auto* progress = std::get_if<Progress>(&message)) return std::optional<Event>(*progress);
    if (auto* done = std::get_if<Done>(&message)) return std::optional<Event>(std::move(*done));
    return corrupt("the fetcher sent a message that does not belong here");
  }

  Status tell(const Message& message) {
    return send_message(child_.control.get(), message, platform::Deadline::after(kPatience));
  }

  // A failure that the fetcher reports is the error.
  Result<Message> hear(std::chrono::nanoseconds patience) {
    auto message = receive_message(child_.control.get(), platform::Deadline::after(patience));
    if (!message.ok() && message.error().code() == ErrorCode::kUnavailable)
      return unavailable("the fetcher for " + host_ + " ended", how_it_ended());
    HF_TRY_ASSIGN(Message m, std::move(message));
    if (auto* failed = std::get_if<Failed>(&m)) return std::move(failed->error);
    return m;
  }

 private:
  std::string how_it_ended() {
    auto status = child_.process.wait(platform::Deadline::after(std::chrono::seconds(1)));
    return status.ok() && *status ? (*status)->describe() : std::string();
  }

  jail::JailedChild child_;
  std::string host_;
};

template <typename Expected>
Result<Expected> expect(Result<Message> message) {
  HF_TRY_ASSIGN(Message m, std::move(message));
  if (auto* expected = std::get_if<Expected>(&m)) return std::move(*expected);
  return corrupt("the fetcher sent a message that does not belong here");
}

// The first steps of both sides: where to, which addresses, jail closed.
Status open_up(FetcherProcess& fetcher, const FetcherOptions& options, const Start& start,
               const Url& url, const PrivateRules& rules) {
  HF_TRY(fetcher.tell(start));
  HF_TRY_ASSIGN(const auto resolved, expect<Resolved>(fetcher.hear(kLookUpPatience)));
  std::vector<IpAddress> pinned = resolved.addresses;
  // The administrator named the proxy; it looks up the names of others.
  if (!start.proxy) {
    HF_TRY_ASSIGN(pinned, usable_addresses(url, resolved.addresses, rules));
  }
  HF_TRY(fetcher.tell(Pin{std::move(pinned)}));
  HF_TRY_ASSIGN(const auto ready, expect<Ready>(fetcher.hear(kPatience)));
  if (ready.missing.empty()) return ok_status();
  if (options.jail_must_be_complete) {
    return unsupported("the sandbox of the fetcher is not complete", ready.missing)
        .with_hint("`holdfast doctor` says what this machine withholds");
  }
  if (options.on_degraded) options.on_degraded(ready.missing);
  return ok_status();
}

}  // namespace

Result<std::unique_ptr<Link>> start_fetcher(const FetcherOptions& options, const Url& url,
                                            const PrivateRules& rules, int output_fd,
                                            std::uint64_t output_bytes) {
  Start start{url.host, url.port, false, url.scheme == "https" ? options.ca_file : "",
              output_fd < 0 ? 0 : output_bytes};
  if (!options.proxy.empty() && !rules.names(url)) {
    if (url.is_address()) {
      HF_TRY_ASSIGN(const IpAddress address, parse_address(url.host));
      HF_TRY(usable_addresses(url, {address}, rules));
    }
    HF_TRY_ASSIGN(const Url proxy, parse_url(options.proxy));
    if (proxy.scheme != "http")
      return unsupported("only http:// proxies are supported", options.proxy);
    start.host = proxy.host;
    start.port = proxy.port;
    start.proxy = true;
  }
  jail::ChildOptions child;
  child.program = options.program;
  child.arguments = {"serve"};
  if (output_fd >= 0) child.listed_fds.push_back(output_fd);
  HF_TRY_ASSIGN(jail::JailedChild started, jail::start_child(child));
  auto fetcher = std::make_unique<FetcherProcess>(std::move(started), url.host);
  HF_TRY(open_up(*fetcher, options, start, url, rules));
  return std::unique_ptr<Link>(std::move(fetcher));
}

}  // namespace holdfast::fetch
