// Where a server may listen: the rules that keep keys and prompts off open networks.
#pragma once

#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/gateway/gateway.h"

namespace holdfast::cli {

// "127.0.0.1:11435", "[::1]:0", "localhost:8080": nobody outside of this machine can connect.
bool is_loopback(std::string_view listen);

struct BindFacts {
  std::string listen;  // ADDRESS:PORT
  gateway::AuthMode auth_mode = gateway::AuthMode::kAuto;
  bool keys = false;         // there is a key that is valid now
  bool certificate = false;  // the server has a certificate and its key
  bool proxies = false;      // server.tls_terminated_upstream names who takes the TLS off
};

enum class BindTrust : std::uint8_t {
  kThisMachine,  // loopback
  kTls,
  kProxies,  // plain HTTP, for the proxies that are named: worth a warning
};

// kInvalidArgument for what is no address, and for every address that others can reach without
// both keys and encryption; the hint has the lines that are missing.
Result<BindTrust> check_bind(const BindFacts& facts);

}  // namespace holdfast::cli
