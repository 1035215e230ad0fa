// TransferLoop: HTTP requests to one upstream, all on one thread, through libcurl. The only file
// with its .cc that knows libcurl.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/backend/backend.h"

namespace holdfast::backend {

using SteadyTime = std::chrono::steady_clock::time_point;

struct UpstreamAddress {
  std::string root;        // "https://host:1", without slash and /v1 at its end
  std::string unix_path;   // not empty: a unix socket
  bool local = false;      // loopback or a unix socket: no egress
  std::string host;        // without brackets; of a unix socket its path
  std::uint16_t port = 0;  // 0: a unix socket
};
// kInvalidArgument: no URL, another scheme than https, or http that leaves the machine.
Result<UpstreamAddress> parse_upstream_url(const std::string& text);

struct TransferRequest {
  std::string path;  // below the root of the upstream: "/v1/chat/completions"
  std::string body;  // JSON; empty: GET
  std::vector<std::pair<std::string, std::string>> headers;  // more of them, printable
  bool stream = false;
  Priority priority = Priority::kInteractive;
  std::optional<SteadyTime> deadline;  // the caller's; passing it is kDeadline
};

// How a transfer ended, where it was not the transfer itself that ended it.
enum class TransferEnd : std::uint8_t {
  kComplete,  // the whole answer was read
  kAborted,   // take() asked for it
  kCancelled,
  kDeadline,     // of the caller
  kTimeout,      // connecting, first token, idle or total
  kUnreachable,  // not connected, or cut before or within the answer
  kUntrusted,    // TLS: the certificate or the handshake
  kStopped,      // the loop ended, or the upstream is not there
};

struct TransferHead {
  std::string root;  // where it was sent to; empty: it never was
  SteadyTime sent{};
  int status = 0;
  std::string content_type;
  std::uint64_t retry_after_ms = 0;
};

// One request. All calls come on the loop's thread: any number of take(), then one end().
class Transfer {
 public:
  virtual ~Transfer() = default;
  enum class Taken : std::uint8_t { kQuiet, kProgress, kAbort };
  // Bytes of the body. kProgress: they hold a piece of the answer, which the idle timeout waits
  // for.
  virtual Taken take(const TransferHead& head, std::string_view bytes) = 0;
  virtual void end(TransferEnd how, const TransferHead& head) = 0;
};

struct TransferOptions {
  std::string root;       // "https://host:1", without the /v1; of a unix socket "http://localhost"
  std::string unix_path;  // not empty: a unix socket
  std::string bearer;     // credential; empty: none
  std::string ca_file;    // empty: the system's certificates
  std::uint32_t concurrency = 8;
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds first_token_timeout{300'000};
  std::chrono::milliseconds idle_timeout{60'000};
  std::chrono::milliseconds timeout{600'000};
};

// Requests above `concurrency` wait here, higher classes first. No redirect is followed, no proxy
// used, certificates are always checked. Thread-safe.
class TransferLoop {
 public:
  // `open`: whether requests may be sent at once, or wait for open().
  TransferLoop(TransferOptions options, bool open);
  ~TransferLoop();  // ends everything with kStopped
  TransferLoop(const TransferLoop&) = delete;
  TransferLoop& operator=(const TransferLoop&) = delete;

  std::uint64_t start(TransferRequest request, std::shared_ptr<Transfer> transfer);
  void cancel(std::uint64_t number);
  // Cancels that one; may be called when the loop is gone.
  std::function<void()> canceller(std::uint64_t number);
  // The upstream is there now, at that root.
  void open(std::string root);
  // It is not there any more: what is sent from now on waits for open().
  void close();
  // It cannot be started: whatever waits ends with kStopped.
  void refuse_waiting();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace holdfast::backend
