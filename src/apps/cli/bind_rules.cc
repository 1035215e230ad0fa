#include "bind_rules.h"

#include "holdfast/http/address.h"

namespace holdfast::cli {
namespace {

constexpr std::string_view kKeyLine = "holdfast key create --role admin --tenant NAME";
constexpr std::string_view kTlsLine =
    "server.tls_cert = \"/path/cert.pem\", server.tls_key = \"/path/key.pem\" (or "
    "server.tls_terminated_upstream = [\"address of the proxy\"])";

}  // namespace

bool is_loopback(std::string_view listen) {
  return http::is_loopback(listen.substr(0, listen.rfind(':')));
}

Result<BindTrust> check_bind(const BindFacts& facts) {
  if (facts.listen.rfind(':') == std::string::npos) {
    return invalid_argument("'" + facts.listen + "' is not ADDRESS:PORT")
        .with_hint("for example --listen 127.0.0.1:11435");
  }
  if (is_loopback(facts.listen)) return BindTrust::kThisMachine;
  if (facts.auth_mode == gateway::AuthMode::kOff) {
    return invalid_argument("auth.mode = \"off\" is for this machine alone, and " + facts.listen +
                            " can be reached from outside")
        .with_hint("remove auth.mode, or listen on 127.0.0.1:PORT");
  }
  const bool encrypted = facts.certificate || facts.proxies;
  if (!facts.keys || !encrypted) {
    std::string missing;
    if (!facts.keys) missing += "\n  " + std::string(kKeyLine);
    if (!encrypted) missing += "\n  " + std::string(kTlsLine);
    return invalid_argument(facts.listen + " can be reached from outside: it needs " +
                            (facts.keys  ? "TLS"
                             : encrypted ? "keys"
                                         : "keys and TLS"))
        .with_hint("add:" + missing);
  }
  return facts.certificate ? BindTrust::kTls : BindTrust::kProxies;
}

}  // namespace holdfast::cli
