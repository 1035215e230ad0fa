#include "token_session.h"

#include <utility>

namespace holdfast::slotopener {
namespace {

constexpr CK_ULONG kSlotsMax = 256;
constexpr CK_ULONG kKeyBytes = 32;

Error no_token(std::string_view detail) {
  return unavailable("no token that the URI names is plugged in", std::string(detail))
      .with_hint(
          "check the token, its module, and that this user may use it; p11tool --list-tokens "
          "shows what there is");
}

template <typename T>
CK_ATTRIBUTE attribute(CK_ATTRIBUTE_TYPE type, T& value) {
  return {type, &value, sizeof value};
}

}  // namespace

Error token_error(CK_RV code, std::string_view doing) {
  const std::string detail = std::string(doing) + ": " + p11_kit_strerror(code);
  switch (code) {
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
      return Error(ErrorCode::kUnauthenticated, "the PIN of the token is wrong", detail)
          .with_hint("it is not tried again by itself: a token locks after a few wrong ones");
    case CKR_PIN_LOCKED:
      return exhausted("the token is locked: it had too many wrong PINs", detail)
          .with_hint("its security officer unlocks it; meanwhile use another slot");
    case CKR_USER_NOT_LOGGED_IN:
      return Error(ErrorCode::kDenied, "the token wants its PIN", detail)
          .with_hint("give it with --pin-file FILE or on a terminal");
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_DEVICE_REMOVED:
      return no_token(detail);
    default:
      return unavailable("the token failed", detail)
          .with_hint("try again, or open with another slot: holdfast seal status lists them");
  }
}

Result<TokenUri> parse_token_uri(const std::string& text) {
  TokenUri uri(p11_kit_uri_new());
  const int code = p11_kit_uri_parse(text.c_str(), P11_KIT_URI_FOR_ANY, uri.get());
  if (code != P11_KIT_URI_OK || p11_kit_uri_any_unrecognized(uri.get()) != 0) {
    return invalid_argument("this is no PKCS#11 URI", p11_kit_uri_message(code))
        .with_hint("such as pkcs11:token=NAME;object=LABEL?module-path=/usr/lib/.../module.so");
  }
  if (p11_kit_uri_get_pin_value(uri.get()) != nullptr) {
    return invalid_argument("a PIN does not belong into a URI, which is stored and shown")
        .with_hint("pin-source=file:PATH names a file with it; or give it with --pin-file");
  }
  return uri;
}

Result<TokenSession> TokenSession::open(P11KitUri* uri, bool for_writing) {
  TokenSession out;
  HF_TRY(out.load_modules(uri));
  HF_TRY(out.choose_token(uri));
  const CK_FLAGS flags = CKF_SERIAL_SESSION | (for_writing ? CKF_RW_SESSION : 0);
  const CK_RV code = out.module_->C_OpenSession(out.slot_, flags, nullptr, nullptr, &out.session_);
  if (code != CKR_OK) return token_error(code, "open a session");
  return out;
}

Status TokenSession::load_modules(P11KitUri* uri) {
  const char* path = p11_kit_uri_get_module_path(uri);
  if (path == nullptr) {
    modules_ = p11_kit_modules_load_and_initialize(0);
    if (modules_ == nullptr) return no_token("no modules");
    return ok_status();
  }
  if (*path != '/')
    return invalid_argument("module-path must begin at the root").with_hint("write it out in full");
  own_module_ = p11_kit_module_load(path, 0);
  if (own_module_ == nullptr) return no_token(std::string("cannot load ") + path);
  const CK_RV code = p11_kit_module_initialize(own_module_);
  if (code == CKR_OK) return ok_status();
  p11_kit_module_release(std::exchange(own_module_, nullptr));
  return token_error(code, "initialise the module");
}

Status TokenSession::choose_token(P11KitUri* uri) {
  CK_FUNCTION_LIST* own[] = {own_module_, nullptr};
  int found = 0;
  for (CK_FUNCTION_LIST** module = modules_ != nullptr ? modules_ : own; *module != nullptr;
       ++module) {
    CK_INFO info{};
    if ((*module)->C_GetInfo(&info) != CKR_OK || p11_kit_uri_match_module_info(uri, &info) == 0)
      continue;
    CK_SLOT_ID slots[kSlotsMax];
    CK_ULONG count = kSlotsMax;
    if ((*module)->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK) continue;
    for (CK_ULONG i = 0; i < count; ++i) {
      CK_TOKEN_INFO token{};
      if ((*module)->C_GetTokenInfo(slots[i], &token) != CKR_OK ||
          p11_kit_uri_match_token_info(uri, &token) == 0 ||
          (token.flags & CKF_TOKEN_INITIALIZED) == 0)
        continue;
      ++found;
      module_ = *module;
      slot_ = slots[i];
      flags_ = token.flags;
    }
  }
  if (found == 0) return no_token("no token fits");
  if (found == 1) return ok_status();
  return invalid_argument("the URI fits several tokens")
      .with_hint("name one by token= and serial=");
}

TokenSession::TokenSession(TokenSession&& other) noexcept
    : modules_(std::exchange(other.modules_, nullptr)),
      own_module_(std::exchange(other.own_module_, nullptr)),
      module_(std::exchange(other.module_, nullptr)),
      slot_(other.slot_),
      flags_(other.flags_),
      session_(std::exchange(other.session_, CK_INVALID_HANDLE)) {}

TokenSession::~TokenSession() {
  if (module_ != nullptr && session_ != CK_INVALID_HANDLE) module_->C_CloseSession(session_);
  if (own_module_ != nullptr) {
    p11_kit_module_finalize(own_module_);
    p11_kit_module_release(own_module_);
  }
  if (modules_ != nullptr) p11_kit_modules_finalize_and_release(modules_);
}

Status TokenSession::log_in(const crypto::Secret& pin, bool automatic) {
  if ((flags_ & CKF_LOGIN_REQUIRED) == 0) return ok_status();
  if ((flags_ & CKF_USER_PIN_LOCKED) != 0) return token_error(CKR_PIN_LOCKED, "log in");
  if ((flags_ & CKF_USER_PIN_FINAL_TRY) != 0) {
    return exhausted("one more wrong PIN would lock the token: Holdfast does not risk that")
        .with_hint("log in once with the token's own tool, which sets its counter back");
  }
  if (automatic && (flags_ & CKF_USER_PIN_COUNT_LOW) != 0) {
    return Error(ErrorCode::kDenied, "the token had a wrong PIN, so none is tried without anybody")
        .with_hint(
            "correct the PIN's file, then open once by hand: holdfast seal unseal --pin-file");
  }
  // A Secret may lie where the kernel cannot read; modules talk to devices through it.
  Bytes copy(pin.view().begin(), pin.view().end());
  const bool by_token = copy.empty() && (flags_ & CKF_PROTECTED_AUTHENTICATION_PATH) != 0;
  const CK_RV code =
      copy.empty() && !by_token
          ? static_cast<CK_RV>(CKR_USER_NOT_LOGGED_IN)
          : module_->C_Login(session_, CKU_USER,
                             by_token ? nullptr : reinterpret_cast<CK_UTF8CHAR*>(copy.data()),
                             copy.size());
  platform::wipe(copy);
  if (code == CKR_OK || code == CKR_USER_ALREADY_LOGGED_IN) return ok_status();
  return token_error(code, "log in");
}

Result<std::optional<CK_OBJECT_HANDLE>> TokenSession::find_key(P11KitUri* uri) {
  CK_OBJECT_CLASS secret_key = CKO_SECRET_KEY;
  CK_KEY_TYPE aes = CKK_AES;
  std::vector<CK_ATTRIBUTE> wanted = {attribute(CKA_CLASS, secret_key),
                                      attribute(CKA_KEY_TYPE, aes)};
  for (const CK_ATTRIBUTE_TYPE type : {CKA_LABEL, CKA_ID}) {
    const CK_ATTRIBUTE* named = p11_kit_uri_get_attribute(uri, type);
    if (named != nullptr) wanted.push_back(*named);
  }
  CK_RV code = module_->C_FindObjectsInit(session_, wanted.data(), wanted.size());
  if (code != CKR_OK) return token_error(code, "look for the key");
  CK_OBJECT_HANDLE found[2] = {};
  CK_ULONG count = 0;
  code = module_->C_FindObjects(session_, found, 2, &count);
  module_->C_FindObjectsFinal(session_);
  if (code != CKR_OK) return token_error(code, "look for the key");
  if (count == 0) return std::optional<CK_OBJECT_HANDLE>();
  if (count == 1) return std::optional<CK_OBJECT_HANDLE>(found[0]);
  return Error(invalid_argument("the URI fits several AES keys of the token")
                   .with_hint("name one by object= and id="));
}

Result<CK_OBJECT_HANDLE> TokenSession::generate_key(P11KitUri* uri) {
  const CK_ATTRIBUTE* label = p11_kit_uri_get_attribute(uri, CKA_LABEL);
  if (label == nullptr) {
    return invalid_argument("a new key needs a name").with_hint("add object=LABEL to the URI");
  }
  CK_BBOOL yes = CK_TRUE;
  CK_BBOOL no = CK_FALSE;
  CK_ULONG bytes = kKeyBytes;
  std::vector<CK_ATTRIBUTE> wanted = {
      attribute(CKA_TOKEN, yes),       attribute(CKA_PRIVATE, yes),
      attribute(CKA_SENSITIVE, yes),   attribute(CKA_EXTRACTABLE, no),
      attribute(CKA_ENCRYPT, yes),     attribute(CKA_DECRYPT, yes),
      attribute(CKA_VALUE_LEN, bytes), *label};
  const CK_ATTRIBUTE* id = p11_kit_uri_get_attribute(uri, CKA_ID);
  if (id != nullptr) wanted.push_back(*id);
  CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
  CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
  const CK_RV code =
      module_->C_GenerateKey(session_, &mechanism, wanted.data(), wanted.size(), &key);
  if (code != CKR_OK) return token_error(code, "make a key");
  return key;
}

bool TokenSession::may(CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE use) {
  CK_BBOOL value = CK_FALSE;
  CK_ATTRIBUTE wanted = attribute(use, value);
  return module_->C_GetAttributeValue(session_, key, &wanted, 1) == CKR_OK && value == CK_TRUE;
}

}  // namespace holdfast::slotopener
