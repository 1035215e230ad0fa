// TLS for servers, without I/O: a context made from a certificate and its key, and sessions that
// turn bytes of the peer into plain bytes and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"

namespace holdfast::tls {

enum class MinVersion : std::uint8_t {
  k13,
  k12,  // with AEAD ciphers and ephemeral keys only
};

// A certificate chain with its key. Immutable; shared by the sessions that began with it, which
// keep it when a server changes to another. Thread-safe.
class ServerContext {
 public:
  // PEM texts; the certificate first, then those that issued it. kInvalidArgument says which of
  // the two is wrong, or that they do not belong together. A key behind a passphrase is refused.
  static Result<std::shared_ptr<const ServerContext>> create(std::string_view certificate_pem,
                                                             std::string_view key_pem,
                                                             MinVersion min_version);
  ~ServerContext();
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;

  // When the certificate ends.
  std::int64_t not_after_unix() const;

  struct Impl;
  Impl& impl() const { return *impl_; }

 private:
  explicit ServerContext(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The largest PEM file that a server reads: a chain has a few kilobytes.
inline constexpr std::size_t kPemBytesMax = 1u << 20;

// One connection. It holds no buffers of its own between calls. Thread-compatible.
class ServerSession {
 public:
  enum class State : std::uint8_t {
    kHandshake,
    kOpen,
    kEnded,   // the peer has said that it sends no more; sending goes on
    kFailed,  // not TLS, or not acceptable: `out` may hold an alert; nothing else works any more
  };

  // kExhausted without memory.
  static Result<std::unique_ptr<ServerSession>> create(
      std::shared_ptr<const ServerContext> context);
  ~ServerSession();
  ServerSession(const ServerSession&) = delete;
  ServerSession& operator=(const ServerSession&) = delete;

  // Takes bytes of the peer: appends what they say to `plain`, at most as many bytes, and what has
  // to be sent in return to `out`.
  State receive(std::string_view bytes, std::string& plain, std::string& out);
  // Appends `plain`, encrypted, to `out`. Precondition: established().
  void send(std::string_view plain, std::string& out);
  // Tells the peer that no more comes.
  void send_end(std::string& out);
  State state() const;
  // The handshake is complete and the session has not failed.
  bool established() const;

 private:
  struct Impl;
  explicit ServerSession(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace holdfast::tls
