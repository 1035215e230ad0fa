#include "holdfast/fetch/transfer.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "holdfast/platform/socket.h"

namespace holdfast::fetch {
namespace {

constexpr long kConnectTimeoutMs = 20'000;
constexpr int kPollMs = 1000;
// The other side reads at once; one that does not is gone.
constexpr auto kPatience = std::chrono::seconds(60);
// Of the bandwidth; so that no sum overflows.
constexpr std::chrono::duration<double> kWaitMax = std::chrono::hours(24 * 365);
constexpr std::uint64_t kProgressBytes = 128 * 1024;
constexpr std::size_t kFieldBytesMax = 8 * 1024;
constexpr std::uint64_t kReceiveBufferBytes = 128 * 1024;
constexpr std::uint64_t kReceiveBufferBytesMin = 1024;  // libcurl's own

// Fields of answers that mean something to pulls.
constexpr std::string_view kFieldNames[] = {"etag",
                                            "content-range",
                                            "content-length",
                                            "content-encoding",
                                            "content-digest",
                                            "location",
                                            "link",
                                            "retry-after",
                                            "www-authenticate",
                                            "x-repo-commit",
                                            "x-linked-etag",
                                            "x-linked-size",
                                            "x-error-code",
                                            "x-error-message",
                                            "content-type",
                                            "docker-content-digest"};

platform::Deadline patience() { return platform::Deadline::after(kPatience); }

using Clock = std::chrono::steady_clock;

class Loop;

struct Transfer {
  Loop* loop = nullptr;
  Request request;
  CURL* easy = nullptr;
  curl_slist* fields_sent = nullptr;
  std::string url;
  std::string range;
  Head head;
  std::size_t header_bytes = 0;
  bool judged = false;
  Use use = Use::kDrop;
  std::uint64_t written = 0;
  std::uint64_t reported = 0;
  Clock::time_point began;  // of the body
  bool waits = false;       // for its share of the bandwidth
  std::optional<Error> error;
  char reason[CURL_ERROR_SIZE] = {};
  ~Transfer() {
    curl_slist_free_all(fields_sent);
    curl_easy_cleanup(easy);
  }
};

class Loop {
 public:
  explicit Loop(const TransferSetup& setup) : setup_(setup) {}
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop() {
    for (auto& [id, transfer] : transfers_) curl_multi_remove_handle(multi_, transfer->easy);
    transfers_.clear();
    curl_slist_free_all(resolve_);
    curl_multi_cleanup(multi_);
  }
  Status run();

  // From libcurl's callbacks: false ends the transfer.
  bool take_header(Transfer& t, std::string_view line);
  bool take_body(Transfer& t, std::string_view bytes);
  // When it may take more: what it has taken lasts until then at its bandwidth.
  static Clock::time_point due(const Transfer& t);
  bool is_pinned(const curl_sockaddr& address) const;

 private:
  void pin_name();
  Status take_messages();
  Status start(Request request);
  void set_options(Transfer& t);
  void set_target(Transfer& t);
  Status judge(Transfer& t);
  bool write_output(Transfer& t, std::string_view bytes);
  bool send_body(Transfer& t, std::string_view bytes);
  Status resume_due();
  int wait_ms() const;  // until the next transfer is due, at most kPollMs
  Status finish_done();
  Error error_of(const Transfer& t, CURLcode code) const;
  Status end(std::uint32_t id, CURLcode code);

  const TransferSetup& setup_;
  CURLM* multi_ = nullptr;
  curl_slist* resolve_ = nullptr;
  std::map<std::uint32_t, std::unique_ptr<Transfer>> transfers_;
  Status sending_;  // the first failure to report something
};

std::size_t on_header(char* text, std::size_t size, std::size_t count, void* user) {
  auto* t = static_cast<Transfer*>(user);
  return t->loop->take_header(*t, {text, size * count}) ? size * count : 0;
}

std::size_t on_body(char* text, std::size_t size, std::size_t count, void* user) {
  auto* t = static_cast<Transfer*>(user);
  // Not CURLOPT_MAX_RECV_SPEED_LARGE: it waits only between rounds of a hundred full buffers, which
  // is more than a part of a file.
  t->waits = Clock::now() < Loop::due(*t);
  if (t->waits) return CURL_WRITEFUNC_PAUSE;
  return t->loop->take_body(*t, {text, size * count}) ? size * count : 0;
}

// The last word on where a connection goes, whatever libcurl made of the URL.
curl_socket_t on_socket(void* user, curlsocktype purpose, curl_sockaddr* address) {
  const auto* t = static_cast<Transfer*>(user);
  if (purpose != CURLSOCKTYPE_IPCXN || !t->loop->is_pinned(*address)) return CURL_SOCKET_BAD;
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

bool Loop::is_pinned(const curl_sockaddr& address) const {
  IpAddress target;
  std::uint16_t port = 0;
  if (address.family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address.addr, sizeof v4);
    std::memcpy(target.bytes.data(), &v4.sin_addr, 4);
    target.v4 = true;
    port = v4.sin_port;
  } else if (address.family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address.addr, std::min<std::size_t>(sizeof v6, address.addrlen));
    std::memcpy(target.bytes.data(), &v6.sin6_addr, 16);
    port = v6.sin6_port;
  } else {
    return false;
  }
  return port == htons(setup_.start.port) && std::ranges::count(setup_.pinned, target) > 0;
}

bool Loop::take_header(Transfer& t, std::string_view line) {
  t.header_bytes += line.size();
  if (t.header_bytes > kHeaderBytesMax) {
    t.error = exhausted("the header of the answer is too long");
    return false;
  }
  if (line.starts_with("HTTP/")) {  // also after an interim answer
    t.head.fields.clear();
    return true;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return true;
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (std::ranges::count(kFieldNames, std::string_view(name)) == 0) return true;
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.back() == '\r' || value.back() == '\n' || value.back() == ' '))
    value.remove_suffix(1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  if (value.size() > kFieldBytesMax) {
    t.error = exhausted("a field of the answer's header is too long");
    return false;
  }
  t.head.fields.emplace_back(std::move(name), value);
  return true;
}

// Reports the head, once.
Status Loop::judge(Transfer& t) {
  if (t.judged) return ok_status();
  t.judged = true;
  long status = 0;
  curl_easy_getinfo(t.easy, CURLINFO_RESPONSE_CODE, &status);
  t.head.id = t.request.id;
  t.head.status = static_cast<std::uint32_t>(std::clamp(status, 0L, 999L));
  if (t.head.status == 0) return ok_status();
  HF_TRY(send_message(setup_.control_fd, t.head, patience()));
  auto use = judge_answer(t.request, t.head.status, t.head.fields);
  if (use.ok()) {
    t.use = *use;
  } else {
    t.error = std::move(use).error();
  }
  return ok_status();
}

bool Loop::write_output(Transfer& t, std::string_view bytes) {
  const std::uint64_t room =
      t.request.ranged ? t.request.last - t.request.first + 1 : t.request.total;
  if (bytes.size() > room - std::min(t.written, room)) {
    t.error = corrupt("the server sends more than it announced");
    return false;
  }
  const std::uint64_t start = t.request.ranged ? t.request.first : 0;
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(setup_.output_fd, bytes.data(), bytes.size(),
                               static_cast<off_t>(start + t.written));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      t.error = os_error(errno, "write what was fetched");
      return false;
    }
    t.written += static_cast<std::uint64_t>(n);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  if (t.written - t.reported < kProgressBytes) return true;
  t.reported = t.written;
  sending_ = send_message(setup_.control_fd, Progress{t.request.id, t.written}, patience());
  return sending_.ok();
}

bool Loop::send_body(Transfer& t, std::string_view bytes) {
  if (bytes.size() > t.request.total - std::min(t.written, t.request.total)) {
    t.error = exhausted("the answer is too long");
    return false;
  }
  t.written += bytes.size();
  while (!bytes.empty() && sending_.ok()) {
    const std::string_view piece = bytes.substr(0, kBodyPieceBytes);
    sending_ = send_message(setup_.control_fd, Body{t.request.id, std::string(piece)}, patience());
    bytes.remove_prefix(piece.size());
  }
  return sending_.ok();
}

Clock::time_point Loop::due(const Transfer& t) {
  if (t.request.bytes_per_second == 0 || t.written == 0) return Clock::time_point::min();
  // In double: bytes times nanoseconds overflow.
  const std::chrono::duration<double> lasts(static_cast<double>(t.written) /
                                            static_cast<double>(t.request.bytes_per_second));
  return t.began + std::chrono::duration_cast<Clock::duration>(std::min(lasts, kWaitMax));
}

Status Loop::resume_due() {
  std::vector<std::pair<std::uint32_t, CURLcode>> failed;
  for (auto& [id, t] : transfers_) {
    if (!t->waits || Clock::now() < due(*t)) continue;
    t->waits = false;
    const CURLcode code = curl_easy_pause(t->easy, CURLPAUSE_CONT);  // may deliver, and wait again
    if (code != CURLE_OK) failed.emplace_back(id, code);
  }
  for (const auto& [id, code] : failed) HF_TRY(end(id, code));
  return ok_status();
}

int Loop::wait_ms() const {
  int wait = kPollMs;
  for (const auto& [id, t] : transfers_) {
    if (!t->waits) continue;
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(due(*t) - Clock::now()).count();
    wait = static_cast<int>(std::clamp<std::int64_t>(ms, 0, wait));
  }
  return wait;
}

bool Loop::take_body(Transfer& t, std::string_view bytes) {
  if (t.written == 0) t.began = Clock::now();
  if (Status told = judge(t); !told.ok()) {
    sending_ = std::move(told);
    return false;
  }
  if (t.error || t.use == Use::kDrop) return false;  // nothing to wait for
  return t.request.sink == Sink::kOutput ? write_output(t, bytes) : send_body(t, bytes);
}

void Loop::set_target(Transfer& t) {
  CURL* e = t.easy;
  t.url = t.request.url.text();
  curl_easy_setopt(e, CURLOPT_URL, t.url.c_str());
  curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(e, CURLOPT_RESOLVE, resolve_);
  curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, -1L);
  curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket);
  curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, &t);
  if (setup_.start.proxy) {
    const std::string proxy = Origin{"http", setup_.start.host, setup_.start.port}.text();
    curl_easy_setopt(e, CURLOPT_PROXY, proxy.c_str());
    curl_easy_setopt(e, CURLOPT_HTTPPROXYTUNNEL, 1L);
    curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  } else {
    curl_easy_setopt(e, CURLOPT_PROXY, "");  // nor the one that the environment names
  }
  curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(e, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  curl_blob ca{const_cast<char*>(setup_.ca_pem.data()), setup_.ca_pem.size(), CURL_BLOB_NOCOPY};
  curl_easy_setopt(e, CURLOPT_CAINFO, nullptr);
  curl_easy_setopt(e, CURLOPT_CAPATH, nullptr);
  if (!setup_.ca_pem.empty()) curl_easy_setopt(e, CURLOPT_CAINFO_BLOB, &ca);
}

void Loop::set_options(Transfer& t) {
  CURL* e = t.easy;
  set_target(t);
  curl_easy_setopt(e, CURLOPT_PRIVATE, &t);
  curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t.reason);
  curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(e, CURLOPT_NETRC, CURL_NETRC_IGNORED);
  curl_easy_setopt(e, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, std::max(1L, long{t.request.stall_ms} / 1000));
  curl_easy_setopt(e, CURLOPT_USERAGENT, "holdfast");
  std::uint64_t buffer = kReceiveBufferBytes;
  if (t.request.bytes_per_second > 0)  // an eighth of a second of it comes at once
    buffer = std::clamp(t.request.bytes_per_second / 8, kReceiveBufferBytesMin, buffer);
  curl_easy_setopt(e, CURLOPT_BUFFERSIZE, static_cast<long>(buffer));
  if (t.request.head) curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
  if (t.request.ranged) {
    t.range = std::to_string(t.request.first) + "-" + std::to_string(t.request.last);
    curl_easy_setopt(e, CURLOPT_RANGE, t.range.c_str());
  }
  t.fields_sent = curl_slist_append(t.fields_sent, "Accept-Encoding: identity");
  for (const auto& [name, value] : t.request.fields)
    t.fields_sent = curl_slist_append(t.fields_sent, (name + ": " + value).c_str());
  curl_easy_setopt(e, CURLOPT_HTTPHEADER, t.fields_sent);
  curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(e, CURLOPT_HEADERDATA, &t);
  curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(e, CURLOPT_WRITEDATA, &t);
}

Status Loop::start(Request request) {
  if (transfers_.size() >= kConnectionsMax || transfers_.contains(request.id))
    return invalid_argument("the fetcher cannot take this request");
  const bool needs_output = request.sink == Sink::kOutput;
  if (needs_output && (setup_.output_fd < 0 || request.total > setup_.start.output_bytes))
    return invalid_argument("the fetcher has no such output");
  const Url& url = request.url;
  const bool own = url.host == setup_.start.host && url.port == setup_.start.port;
  if (!own && !setup_.start.proxy) return invalid_argument("the fetcher is for another host");
  auto transfer = std::make_unique<Transfer>();
  transfer->loop = this;
  transfer->request = std::move(request);
  transfer->easy = curl_easy_init();
  if (transfer->easy == nullptr) return exhausted("out of memory");
  set_options(*transfer);
  curl_multi_add_handle(multi_, transfer->easy);
  transfers_.emplace(transfer->request.id, std::move(transfer));
  return ok_status();
}

Status Loop::take_messages() {
  HF_TRY_ASSIGN(Message message, receive_message(setup_.control_fd, patience()));
  if (auto* request = std::get_if<Request>(&message)) {
    const std::uint32_t id = request->id;
    Status started = start(std::move(*request));
    if (started.ok()) return ok_status();
    return send_message(setup_.control_fd, Done{id, 0, std::move(started).error()}, patience());
  }
  const auto* cancel = std::get_if<Cancel>(&message);
  if (cancel == nullptr) return corrupt("the fetcher did not expect this message");
  const auto found = transfers_.find(cancel->id);
  if (found == transfers_.end()) return ok_status();  // it has just ended
  found->second->error = cancelled("the request was cancelled");
  return end(cancel->id, CURLE_ABORTED_BY_CALLBACK);
}

Error Loop::error_of(const Transfer& t, CURLcode code) const {
  const std::string host = t.request.url.authority();
  const std::string why = t.reason[0] == '\0' ? curl_easy_strerror(code) : t.reason;
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return Error(ErrorCode::kDeadline, host + " stopped sending", why);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
      return Error(ErrorCode::kUnauthenticated, host + " cannot prove that it is " + host, why)
          .with_hint("its certificate is not signed by an authority that this machine trusts");
    case CURLE_OUT_OF_MEMORY:
      return exhausted("out of memory");
    default:
      return unavailable("the connection to " + host + " failed", why);
  }
}

Status Loop::end(std::uint32_t id, CURLcode code) {
  const auto found = transfers_.find(id);
  const std::unique_ptr<Transfer> t = std::move(found->second);
  transfers_.erase(found);
  Status told = judge(*t);
  curl_multi_remove_handle(multi_, t->easy);
  HF_TRY(std::move(told));
  Done done{id, t->written, t->error};
  const bool dropped = t->judged && t->head.status != 0 && t->use == Use::kDrop;
  if (!done.error && code != CURLE_OK && !dropped) done.error = error_of(*t, code);
  return send_message(setup_.control_fd, std::move(done), patience());
}

Status Loop::finish_done() {
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    Transfer* t = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
    HF_TRY(end(t->request.id, message->data.result));
  }
  return ok_status();
}

// An address needs no look-up; on_socket() has the last word on it.
void Loop::pin_name() {
  if (parse_address(setup_.start.host).ok()) return;
  std::string pins = setup_.start.host + ":" + std::to_string(setup_.start.port) + ":";
  for (std::size_t i = 0; i < setup_.pinned.size(); ++i) {
    const IpAddress& a = setup_.pinned[i];
    pins += (i == 0 ? "" : ",") + (a.v4 ? a.text() : "[" + a.text() + "]");
  }
  resolve_ = curl_slist_append(nullptr, pins.c_str());
}

Status Loop::run() {
  multi_ = curl_multi_init();
  if (multi_ == nullptr) return exhausted("out of memory");
  curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, long{kConnectionsMax});
  curl_multi_setopt(multi_, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
  pin_name();
  while (true) {
    int active = 0;
    HF_TRY(resume_due());
    curl_multi_perform(multi_, &active);
    HF_TRY(finish_done());
    HF_TRY(std::move(sending_));
    sending_ = ok_status();
    curl_waitfd control{setup_.control_fd, CURL_WAIT_POLLIN, 0};
    curl_multi_poll(multi_, &control, 1, wait_ms(), nullptr);
    if (control.revents == 0) continue;
    Status taken = take_messages();
    if (!taken.ok() && taken.error().code() == ErrorCode::kUnavailable) return ok_status();
    HF_TRY(std::move(taken));
  }
}

}  // namespace

Status prepare_transfers() {
  // Loads the configuration of OpenSSL too.
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    return internal_error("libcurl cannot start");
  return ok_status();
}

Status serve_transfers(const TransferSetup& setup) { return Loop(setup).run(); }

}  // namespace holdfast::fetch
