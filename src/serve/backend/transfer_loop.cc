#include "transfer_loop.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "holdfast/backend/upstream_backend.h"
#include "holdfast/http/address.h"
#include "holdfast/http/message.h"
#include "holdfast/platform/thread.h"

namespace holdfast::backend {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kHeaderBytesMax = 64 * 1024;
// Transfers look at their limits at least this often.
constexpr std::chrono::milliseconds kTick{500};
// Connections kept for the next request, and for how long.
constexpr long kIdleConnectionsMax = 16;
constexpr long kConnectionAgeMaxS = 60;

void initialise_curl() {
  static const CURLcode kDone = curl_global_init(CURL_GLOBAL_DEFAULT);
  HF_CHECK(kDone == CURLE_OK);
}

std::uint64_t retry_after_ms(std::string_view text) {
  std::uint64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size()) return 0;
  return std::min<std::uint64_t>(seconds, 3600) * 1000;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && static_cast<unsigned char>(text.front()) <= ' ') text.remove_prefix(1);
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
  return text;
}

// Headers go to libcurl as a list that lives as long as the transfer.
class HeaderList {
 public:
  ~HeaderList() { curl_slist_free_all(list_); }
  void add(const std::string& line) {
    curl_slist* grown = curl_slist_append(list_, line.c_str());
    HF_CHECK(grown != nullptr);
    list_ = grown;
  }
  curl_slist* get() const { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

// A request while it waits or runs.
struct Running {
  std::uint64_t number = 0;
  TransferRequest request;
  std::shared_ptr<Transfer> transfer;
  TransferHead head;
  HeaderList headers;
  std::string url;
  CURL* easy = nullptr;
  std::size_t header_bytes = 0;
  bool progressed = false;
  bool aborted = false;
  SteadyTime last_progress{};
};

std::size_t on_header(char* bytes, std::size_t size, std::size_t count, void* user) {
  auto& r = *static_cast<Running*>(user);
  const std::string_view line(bytes, size * count);
  r.header_bytes += line.size();
  if (r.header_bytes > kHeaderBytesMax) return 0;
  if (line.starts_with("HTTP/")) {  // also after a 100
    r.head.status = 0;
    r.head.content_type.clear();
    r.head.retry_after_ms = 0;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (http::equal_ignoring_case(name, "content-type")) r.head.content_type = value;
  if (http::equal_ignoring_case(name, "retry-after")) r.head.retry_after_ms = retry_after_ms(value);
  return line.size();
}

void read_status(Running& r) {
  long status = 0;
  curl_easy_getinfo(r.easy, CURLINFO_RESPONSE_CODE, &status);
  r.head.status = static_cast<int>(status);
}

std::size_t on_body(char* bytes, std::size_t size, std::size_t count, void* user) {
  auto& r = *static_cast<Running*>(user);
  read_status(r);
  const auto taken = r.transfer->take(r.head, std::string_view(bytes, size * count));
  if (taken == Transfer::Taken::kAbort) {
    r.aborted = true;
    return 0;
  }
  if (taken == Transfer::Taken::kProgress) {
    r.progressed = true;
    r.last_progress = Clock::now();
  }
  return size * count;
}

TransferEnd end_of(CURLcode code, bool aborted) {
  if (aborted) return TransferEnd::kAborted;
  switch (code) {
    case CURLE_OK:
      return TransferEnd::kComplete;
    case CURLE_OPERATION_TIMEDOUT:
      return TransferEnd::kTimeout;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return TransferEnd::kUntrusted;
    default:
      return TransferEnd::kUnreachable;
  }
}

// A part of a parsed URL; empty where it has none.
std::string part_of(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return {};
  const std::string out(text);
  curl_free(text);
  return out;
}

}  // namespace

Result<UpstreamAddress> parse_upstream_url(const std::string& text) {
  UpstreamAddress out;
  if (text.starts_with("unix:/")) {
    out.unix_path = text.substr(5);
    out.root = "http://localhost";
    out.host = out.unix_path;
    out.local = true;
    return out;
  }
  const std::unique_ptr<CURLU, void (*)(CURLU*)> url(curl_url(), curl_url_cleanup);
  HF_CHECK(url != nullptr);
  if (curl_url_set(url.get(), CURLUPART_URL, text.c_str(), CURLU_DISALLOW_USER) != CURLUE_OK ||
      !part_of(url.get(), CURLUPART_QUERY).empty() ||
      !part_of(url.get(), CURLUPART_FRAGMENT).empty()) {
    return invalid_argument("'" + text + "' is not the URL of an upstream")
        .with_hint(
            "write https://HOST/v1, http://127.0.0.1:PORT or unix:/PATH, without user, query"
            " or fragment");
  }
  const std::string scheme = part_of(url.get(), CURLUPART_SCHEME);
  out.host = part_of(url.get(), CURLUPART_HOST);
  out.local = http::is_loopback(out.host);
  if (out.host.starts_with('[')) out.host = out.host.substr(1, out.host.size() - 2);
  const std::string port = part_of(url.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (scheme != "https" && !(scheme == "http" && out.local)) {
    return invalid_argument("'" + text + "' must be https: only this machine may be http")
        .with_hint("write https://HOST, http://127.0.0.1:PORT or unix:/PATH");
  }
  out.root = part_of(url.get(), CURLUPART_URL);
  while (out.root.ends_with('/')) out.root.pop_back();
  if (out.root.ends_with("/v1")) out.root.resize(out.root.size() - 3);
  while (out.root.ends_with('/')) out.root.pop_back();
  return out;
}

Result<UpstreamReach> upstream_reach(const std::string& url) {
  HF_TRY_ASSIGN(const UpstreamAddress address, parse_upstream_url(url));
  if (!address.unix_path.empty()) return UpstreamReach{};
  unsigned char bytes[sizeof(in6_addr)];
  const bool literal = ::inet_pton(AF_INET, address.host.c_str(), bytes) == 1 ||
                       ::inet_pton(AF_INET6, address.host.c_str(), bytes) == 1;
  return UpstreamReach{address.port, !literal && !address.local};
}

struct TransferLoop::Impl {
  Impl(TransferOptions o, bool is_open) : options(std::move(o)), open(is_open) {
    initialise_curl();
    multi = curl_multi_init();
    HF_CHECK(multi != nullptr);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, kIdleConnectionsMax);
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    thread = std::thread([this] {
      platform::ask_for_short_turns();
      run();
    });
  }

  ~Impl() { curl_multi_cleanup(multi); }

  void post(std::function<void()> job) {
    {
      const std::lock_guard lock(mutex);
      jobs.push_back(std::move(job));
    }
    curl_multi_wakeup(multi);
  }

  void run();
  void run_jobs();
  void start_waiting();
  void set_options(Running& r);
  void check_limits();
  void read_results();
  SteadyTime due(const Running& r, TransferEnd& how) const;
  void end(std::uint64_t number, TransferEnd how);
  int poll_ms() const;

  TransferOptions options;
  CURLM* multi = nullptr;
  std::thread thread;

  std::mutex mutex;  // of what follows
  std::deque<std::function<void()>> jobs;
  std::uint64_t next_number = 1;
  bool stopping = false;

  // Loop's thread only.
  bool open;
  std::map<std::uint64_t, std::unique_ptr<Running>> all;
  std::deque<std::uint64_t> waiting[3];  // by class
  std::uint32_t running = 0;
};

void TransferLoop::Impl::run() {
  platform::set_current_thread_name("hf-upstream");
  while (true) {
    run_jobs();
    {
      const std::lock_guard lock(mutex);
      if (stopping) break;
    }
    start_waiting();
    int active = 0;
    curl_multi_perform(multi, &active);
    read_results();
    check_limits();
    start_waiting();
    curl_multi_poll(multi, nullptr, 0, poll_ms(), nullptr);
  }
  while (!all.empty()) end(all.begin()->first, TransferEnd::kStopped);
}

void TransferLoop::Impl::run_jobs() {
  std::deque<std::function<void()>> now;
  {
    const std::lock_guard lock(mutex);
    now.swap(jobs);
  }
  for (const auto& job : now) job();
}

void TransferLoop::Impl::start_waiting() {
  for (auto& line : waiting) {
    while (open && running < options.concurrency && !line.empty()) {
      const auto found = all.find(line.front());
      line.pop_front();
      if (found == all.end()) continue;  // it was cancelled
      Running& r = *found->second;
      r.easy = curl_easy_init();
      if (r.easy == nullptr) {
        end(r.number, TransferEnd::kUnreachable);
        continue;
      }
      r.head.root = options.root;
      r.head.sent = Clock::now();
      set_options(r);
      ++running;
      curl_multi_add_handle(multi, r.easy);
    }
  }
}

void TransferLoop::Impl::set_options(Running& r) {
  CURL* e = r.easy;
  r.url = options.root + r.request.path;
  curl_easy_setopt(e, CURLOPT_URL, r.url.c_str());
  if (!options.unix_path.empty())
    curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, options.unix_path.c_str());
  curl_easy_setopt(e, CURLOPT_PRIVATE, &r);
  curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(e, CURLOPT_PROXY, "");  // nor the one that the environment names
  curl_easy_setopt(e, CURLOPT_NETRC, CURL_NETRC_IGNORED);
  curl_easy_setopt(e, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(e, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  if (!options.ca_file.empty()) {
    curl_easy_setopt(e, CURLOPT_CAINFO, options.ca_file.c_str());
    curl_easy_setopt(e, CURLOPT_CAPATH, nullptr);
  }
  curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(options.connect_timeout.count()));
  curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, kConnectionAgeMaxS);
  curl_easy_setopt(e, CURLOPT_USERAGENT, "holdfast");
  r.headers.add("Content-Type: application/json");
  r.headers.add(r.request.stream ? "Accept: text/event-stream" : "Accept: application/json");
  r.headers.add("Expect:");
  for (const auto& [name, value] : r.request.headers) r.headers.add(name + ": " + value);
  if (!options.bearer.empty()) r.headers.add("Authorization: Bearer " + options.bearer);
  curl_easy_setopt(e, CURLOPT_HTTPHEADER, r.headers.get());
  if (!r.request.body.empty()) {
    curl_easy_setopt(e, CURLOPT_POST, 1L);
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(r.request.body.size()));
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, r.request.body.data());
  }
  curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(e, CURLOPT_HEADERDATA, &r);
  curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(e, CURLOPT_WRITEDATA, &r);
}

// The next limit that a transfer can reach, and what it then is.
SteadyTime TransferLoop::Impl::due(const Running& r, TransferEnd& how) const {
  SteadyTime out = SteadyTime::max();
  const auto limit = [&](SteadyTime at, TransferEnd end) {
    if (at >= out) return;
    out = at;
    how = end;
  };
  if (r.request.deadline) limit(*r.request.deadline, TransferEnd::kDeadline);
  if (r.easy == nullptr) return out;
  limit(r.head.sent + options.timeout, TransferEnd::kTimeout);
  limit(r.progressed ? r.last_progress + options.idle_timeout
                     : r.head.sent + options.first_token_timeout,
        TransferEnd::kTimeout);
  return out;
}

void TransferLoop::Impl::check_limits() {
  const SteadyTime now = Clock::now();
  std::vector<std::pair<std::uint64_t, TransferEnd>> over;
  for (const auto& [number, r] : all) {
    TransferEnd how{};
    if (due(*r, how) <= now) over.emplace_back(number, how);
  }
  for (const auto& [number, how] : over) end(number, how);
}

int TransferLoop::Impl::poll_ms() const {
  const SteadyTime now = Clock::now();
  auto wait = std::chrono::duration_cast<Clock::duration>(all.empty() ? kTick * 20 : kTick);
  for (const auto& [number, r] : all) {
    TransferEnd how{};
    wait = std::min(wait, due(*r, how) - now);
  }
  return static_cast<int>(std::max<std::int64_t>(
      0, std::chrono::duration_cast<std::chrono::milliseconds>(wait).count() + 1));
}

void TransferLoop::Impl::read_results() {
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    Running* r = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &r);
    read_status(*r);
    end(r->number, end_of(message->data.result, r->aborted));
  }
}

void TransferLoop::Impl::end(std::uint64_t number, TransferEnd how) {
  const auto found = all.find(number);
  if (found == all.end()) return;
  const std::unique_ptr<Running> r = std::move(found->second);
  all.erase(found);
  if (r->easy != nullptr) {
    curl_multi_remove_handle(multi, r->easy);
    curl_easy_cleanup(r->easy);
    --running;
  } else {
    std::erase(waiting[static_cast<std::size_t>(r->request.priority)], number);
  }
  r->transfer->end(how, r->head);
}

TransferLoop::TransferLoop(TransferOptions options, bool open)
    : impl_(std::make_shared<Impl>(std::move(options), open)) {}

TransferLoop::~TransferLoop() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  curl_multi_wakeup(impl_->multi);
  impl_->thread.join();
  // Started after the loop had looked the last time.
  impl_->run_jobs();
  while (!impl_->all.empty()) impl_->end(impl_->all.begin()->first, TransferEnd::kStopped);
}

std::uint64_t TransferLoop::start(TransferRequest request, std::shared_ptr<Transfer> transfer) {
  auto r = std::make_shared<std::unique_ptr<Running>>(std::make_unique<Running>());
  (*r)->request = std::move(request);
  (*r)->transfer = std::move(transfer);
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(impl_->mutex);
    number = impl_->next_number++;
  }
  (*r)->number = number;
  impl_->post([impl = impl_.get(), r, number] {
    impl->waiting[static_cast<std::size_t>((*r)->request.priority)].push_back(number);
    impl->all.emplace(number, std::move(*r));
  });
  return number;
}

void TransferLoop::cancel(std::uint64_t number) {
  impl_->post([impl = impl_.get(), number] { impl->end(number, TransferEnd::kCancelled); });
}

std::function<void()> TransferLoop::canceller(std::uint64_t number) {
  return [weak = std::weak_ptr<Impl>(impl_), number] {
    const auto impl = weak.lock();
    if (impl) impl->post([raw = impl.get(), number] { raw->end(number, TransferEnd::kCancelled); });
  };
}

void TransferLoop::open(std::string root) {
  impl_->post([impl = impl_.get(), root = std::move(root)] {
    impl->options.root = root;
    impl->open = true;
  });
}

void TransferLoop::close() {
  impl_->post([impl = impl_.get()] { impl->open = false; });
}

void TransferLoop::refuse_waiting() {
  impl_->post([impl = impl_.get()] {
    std::vector<std::uint64_t> numbers;
    for (const auto& [number, r] : impl->all) {
      if (r->easy == nullptr) numbers.push_back(number);
    }
    for (const std::uint64_t number : numbers) impl->end(number, TransferEnd::kStopped);
  });
}

}  // namespace holdfast::backend
