#include <netdb.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cstring>

#include "holdfast/fetch/transfer.h"
#include "holdfast/jail/child.h"
#include "holdfast/jail/external.h"

namespace holdfast::fetch {
namespace {

constexpr std::size_t kAddressesMax = 32;
constexpr auto kPatience = std::chrono::seconds(10);
// Name service modules, stacks of their threads, and what they map of caches.
constexpr rlim_t kAddressSpaceBytes = rlim_t{1} << 30;

// What the C library reads to look up a name. Absent ones are left out.
const std::vector<std::string> kResolverFiles = {
    "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/host.conf",       "/etc/gai.conf",
    "/etc/services",    "/etc/protocols",     "/run/systemd/resolve", "/run/resolvconf"};

platform::Deadline patience() { return platform::Deadline::after(kPatience); }

IpAddress from_sockaddr(const sockaddr* address) {
  IpAddress out;
  if (address->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof v4);
    std::memcpy(out.bytes.data(), &v4.sin_addr, 4);
    out.v4 = true;
  } else {
    sockaddr_in6 v6{};
    std::memcpy(&v6, address, sizeof v6);
    std::memcpy(out.bytes.data(), &v6.sin6_addr, 16);
  }
  return out;
}

// The answer of the C library as a message.
Message ask(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error == EAI_NONAME) return Failed{not_found("no such host: " + host)};
  if (error != 0)
    return Failed{unavailable("the name " + host + " cannot be looked up", ::gai_strerror(error))};
  Resolved out;
  for (const addrinfo* a = found; a != nullptr && out.addresses.size() < kAddressesMax;
       a = a->ai_next) {
    if (a->ai_family == AF_INET || a->ai_family == AF_INET6)
      out.addresses.push_back(from_sockaddr(a->ai_addr));
  }
  ::freeaddrinfo(found);
  return out;
}

// For good: what this process may still do is to read the files above and to ask.
bool confine() {
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::setrlimit(RLIMIT_FSIZE, &none);
  jail::ExternalProfile profile;
  profile.read = kResolverFiles;
  if (!jail::confine_calling_thread(profile).ok()) return false;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const rlimit memory{kAddressSpaceBytes, kAddressSpaceBytes};
  ::setrlimit(RLIMIT_AS, &memory);
#endif
  return true;
}

}  // namespace

Status serve_look_up(int control_fd) {
  HF_TRY_ASSIGN(const Message message, receive_message(control_fd, patience()));
  const auto* start = std::get_if<Start>(&message);
  if (start == nullptr) return corrupt("the look-up did not expect this message");
  const Message answer =
      confine() ? ask(start->host) : Message(Failed{unsupported("look-ups cannot be confined")});
  return send_message(control_fd, answer, patience());
}

Result<std::vector<IpAddress>> look_up(const std::string& program, const std::string& host,
                                       platform::Deadline deadline) {
  if (const auto literal = parse_address(host); literal.ok()) return std::vector{*literal};
  jail::ChildOptions options;
  options.program = program;
  options.arguments = {"look-up"};
  HF_TRY_ASSIGN(const jail::JailedChild child, jail::start_child(options));
  HF_TRY(send_message(child.control.get(), Start{host, 0, false, "", 0}, deadline));
  auto answer = receive_message(child.control.get(), deadline);
  if (!answer.ok() && answer.error().code() == ErrorCode::kUnavailable)
    return unavailable("the look-up of " + host + " ended without an answer");
  HF_TRY_ASSIGN(const Message message, std::move(answer));
  if (const auto* failed = std::get_if<Failed>(&message)) return failed->error;
  if (const auto* resolved = std::get_if<Resolved>(&message)) return resolved->addresses;
  return corrupt("the look-up of " + host + " ended with nonsense");
}

}  // namespace holdfast::fetch
