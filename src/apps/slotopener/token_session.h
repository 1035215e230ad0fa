// A PKCS#11 token that a URI (RFC 7512) names: its module, a session, its key.
#pragma once

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/crypto/secret.h"

namespace holdfast::slotopener {

struct UriFree {
  void operator()(P11KitUri* uri) const { p11_kit_uri_free(uri); }
};
using TokenUri = std::unique_ptr<P11KitUri, UriFree>;

// kInvalidArgument; also for a URI that has the PIN itself in it.
Result<TokenUri> parse_token_uri(const std::string& text);

// Thread-compatible.
class TokenSession {
 public:
  // Exactly one token must fit. kUnavailable where none does, kInvalidArgument where several do.
  static Result<TokenSession> open(P11KitUri* uri, bool for_writing);
  TokenSession(TokenSession&& other) noexcept;
  TokenSession& operator=(TokenSession&&) = delete;
  ~TokenSession();

  // One attempt. `automatic`: nobody is there, and a PIN that was wrong once is not tried again.
  // `pin` empty: the token asks for it itself, or needs none.
  Status log_in(const crypto::Secret& pin, bool automatic);
  // The AES key that the URI names; none, where the token has none.
  Result<std::optional<CK_OBJECT_HANDLE>> find_key(P11KitUri* uri);
  // One that never leaves the token, with the label and id of the URI.
  Result<CK_OBJECT_HANDLE> generate_key(P11KitUri* uri);
  bool may(CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE use);

  CK_FUNCTION_LIST* module() const { return module_; }
  CK_SESSION_HANDLE handle() const { return session_; }

 private:
  TokenSession() = default;
  Status load_modules(P11KitUri* uri);
  Status choose_token(P11KitUri* uri);

  CK_FUNCTION_LIST** modules_ = nullptr;    // registered with the system
  CK_FUNCTION_LIST* own_module_ = nullptr;  // named by the URI
  CK_FUNCTION_LIST* module_ = nullptr;
  CK_SLOT_ID slot_ = 0;
  CK_FLAGS flags_ = 0;
  CK_SESSION_HANDLE session_ = CK_INVALID_HANDLE;
};

// What a failed call means for a slot.
Error token_error(CK_RV code, std::string_view doing);

}  // namespace holdfast::slotopener
