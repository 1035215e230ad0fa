// Slots in a PKCS#11 token: 32 random bytes under an AES key that does not leave the token.
#include <algorithm>
#include <array>

#include "holdfast/keyring/slot_params.h"
#include "holdfast/platform/entropy.h"
#include "request.h"
#include "token_session.h"

namespace holdfast::slotopener {
namespace {

constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kIvBytes = 12;
constexpr CK_ULONG kTagBits = 128;
constexpr std::size_t kWrappedBytesMax = 256;
constexpr std::uint8_t kKeyWrap = 1;
constexpr std::uint8_t kGcm = 2;
constexpr std::string_view kGenerate = "generate ";

CK_BYTE* raw(ByteView bytes) {
  return const_cast<CK_BYTE*>(reinterpret_cast<const CK_BYTE*>(bytes.data()));
}

CK_GCM_PARAMS gcm_params(ByteView iv) {
  CK_GCM_PARAMS out{};
  out.pIv = raw(iv);
  out.ulIvLen = iv.size();
  out.ulIvBits = iv.size() * 8;
  out.ulTagBits = kTagBits;
  return out;
}

struct TokenKey {
  TokenSession& token;
  CK_OBJECT_HANDLE key;
};

Result<Bytes> gcm_seal(const TokenKey& k, ByteView iv, ByteView secret) {
  CK_GCM_PARAMS params = gcm_params(iv);
  CK_MECHANISM mechanism{CKM_AES_GCM, &params, sizeof params};
  const CK_SESSION_HANDLE session = k.token.handle();
  CK_RV code = k.token.module()->C_EncryptInit(session, &mechanism, k.key);
  if (code != CKR_OK) return token_error(code, "AES-GCM");
  Bytes out(kWrappedBytesMax);
  CK_ULONG n = out.size();
  code = k.token.module()->C_Encrypt(session, raw(secret), secret.size(),
                                     reinterpret_cast<CK_BYTE*>(out.data()), &n);
  if (code != CKR_OK) return token_error(code, "AES-GCM");
  out.resize(n);
  return out;
}

Result<crypto::Secret> gcm_open(const TokenKey& k, const keyring::Pkcs11Params& p) {
  CK_GCM_PARAMS params = gcm_params(p.iv);
  CK_MECHANISM mechanism{CKM_AES_GCM, &params, sizeof params};
  const CK_SESSION_HANDLE session = k.token.handle();
  CK_RV code = k.token.module()->C_DecryptInit(session, &mechanism, k.key);
  if (code != CKR_OK) return token_error(code, "AES-GCM");
  std::array<std::byte, kWrappedBytesMax> out{};
  CK_ULONG n = out.size();
  code = k.token.module()->C_Decrypt(session, raw(p.wrapped), p.wrapped.size(),
                                     reinterpret_cast<CK_BYTE*>(out.data()), &n);
  if (code != CKR_OK) return keyring::does_not_open();
  auto secret = crypto::Secret::copy_of(ByteView(out).first(std::min<std::size_t>(n, out.size())));
  platform::wipe(out);
  return secret;
}

Result<Bytes> wrap(const TokenKey& k, const crypto::Secret& secret) {
  CK_OBJECT_CLASS secret_key = CKO_SECRET_KEY;
  CK_KEY_TYPE generic = CKK_GENERIC_SECRET;
  CK_BBOOL yes = CK_TRUE;
  CK_BBOOL no = CK_FALSE;
  CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &secret_key, sizeof secret_key},
                           {CKA_KEY_TYPE, &generic, sizeof generic},
                           {CKA_TOKEN, &no, sizeof no},
                           {CKA_EXTRACTABLE, &yes, sizeof yes},
                           {CKA_VALUE, raw(secret.view()), secret.size()}};
  const CK_SESSION_HANDLE session = k.token.handle();
  CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
  CK_RV code = k.token.module()->C_CreateObject(session, wanted, std::size(wanted), &object);
  if (code != CKR_OK) return token_error(code, "AES key wrap");
  CK_MECHANISM mechanism{CKM_AES_KEY_WRAP, nullptr, 0};
  Bytes out(kWrappedBytesMax);
  CK_ULONG n = out.size();
  code = k.token.module()->C_WrapKey(session, &mechanism, k.key, object,
                                     reinterpret_cast<CK_BYTE*>(out.data()), &n);
  k.token.module()->C_DestroyObject(session, object);
  if (code != CKR_OK) return token_error(code, "AES key wrap");
  out.resize(n);
  return out;
}

Result<crypto::Secret> unwrap(const TokenKey& k, const keyring::Pkcs11Params& p) {
  CK_OBJECT_CLASS secret_key = CKO_SECRET_KEY;
  CK_KEY_TYPE generic = CKK_GENERIC_SECRET;
  CK_BBOOL yes = CK_TRUE;
  CK_BBOOL no = CK_FALSE;
  CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &secret_key, sizeof secret_key},
                           {CKA_KEY_TYPE, &generic, sizeof generic},
                           {CKA_TOKEN, &no, sizeof no},
                           {CKA_SENSITIVE, &no, sizeof no},
                           {CKA_EXTRACTABLE, &yes, sizeof yes}};
  CK_MECHANISM mechanism{CKM_AES_KEY_WRAP, nullptr, 0};
  const CK_SESSION_HANDLE session = k.token.handle();
  CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
  CK_RV code = k.token.module()->C_UnwrapKey(session, &mechanism, k.key, raw(p.wrapped),
                                             p.wrapped.size(), wanted, std::size(wanted), &object);
  if (code != CKR_OK) return keyring::does_not_open();
  std::array<std::byte, kWrappedBytesMax> out{};
  CK_ATTRIBUTE value{CKA_VALUE, out.data(), out.size()};
  code = k.token.module()->C_GetAttributeValue(session, object, &value, 1);
  k.token.module()->C_DestroyObject(session, object);
  if (code != CKR_OK) return token_error(code, "AES key wrap");
  auto secret = crypto::Secret::copy_of(
      ByteView(out).first(std::min<std::size_t>(value.ulValueLen, out.size())));
  platform::wipe(out);
  return secret;
}

Status log_in(TokenSession& token, const Request& request) {
  crypto::Secret pin;
  if (request.has_secret) {
    HF_TRY_ASSIGN(pin, read_line("PIN"));
  }
  return token.log_in(pin, request.device == "automatic");
}

Error no_key() {
  return unavailable("the token has no AES key of that name")
      .with_hint("check object= and id= of the URI; --pkcs11-generate makes the key");
}

Result<Opened> enrol(const Request& request) {
  keyring::Pkcs11Params params;
  std::string_view uri_text = request.hint;
  const bool generate = uri_text.starts_with(kGenerate);
  if (generate) uri_text.remove_prefix(kGenerate.size());
  params.uri = uri_text;
  HF_TRY_ASSIGN(const TokenUri uri, parse_token_uri(params.uri));
  HF_TRY_ASSIGN(TokenSession token, TokenSession::open(uri.get(), generate));
  HF_TRY(log_in(token, request));
  HF_TRY_ASSIGN(const std::optional<CK_OBJECT_HANDLE> found, token.find_key(uri.get()));
  if (!found && !generate) return no_key();
  TokenKey key{token, found.value_or(CK_INVALID_HANDLE)};
  if (!found) {
    HF_TRY_ASSIGN(key.key, token.generate_key(uri.get()));
  }
  if (token.may(key.key, CKA_EXTRACTABLE)) {
    return invalid_argument("the key can be taken out of the token, which protects nothing")
        .with_hint("make another one with --pkcs11-generate");
  }
  platform::SystemEntropy entropy;
  HF_TRY_ASSIGN(const crypto::Secret secret, crypto::Secret::random(kSecretBytes, entropy));
  if (token.may(key.key, CKA_DECRYPT)) {
    params.mechanism = kGcm;
    params.iv.resize(kIvBytes);
    HF_TRY(platform::fill_random(params.iv));
    HF_TRY_ASSIGN(params.wrapped, gcm_seal(key, params.iv, secret.view()));
  } else {
    params.mechanism = kKeyWrap;
    HF_TRY_ASSIGN(params.wrapped, wrap(key, secret));
  }
  HF_TRY_ASSIGN(keyring::FactorKey factor,
                keyring::derive_factor_key(request.kind, secret, request.slot));
  return Opened{std::move(factor), keyring::encode_params(params)};
}

Result<Opened> open(const Request& request) {
  HF_TRY_ASSIGN(const keyring::Pkcs11Params params, keyring::decode_pkcs11_params(request.params));
  HF_TRY_ASSIGN(const TokenUri uri, parse_token_uri(params.uri));
  HF_TRY_ASSIGN(TokenSession token, TokenSession::open(uri.get(), false));
  HF_TRY(log_in(token, request));
  HF_TRY_ASSIGN(const std::optional<CK_OBJECT_HANDLE> found, token.find_key(uri.get()));
  if (!found) return no_key();
  const TokenKey key{token, *found};
  HF_TRY_ASSIGN(const crypto::Secret secret,
                params.mechanism == kGcm ? gcm_open(key, params) : unwrap(key, params));
  HF_TRY_ASSIGN(keyring::FactorKey factor,
                keyring::derive_factor_key(request.kind, secret, request.slot));
  return Opened{std::move(factor), {}};
}

}  // namespace

Result<Opened> use_token(const Request& request) {
  HF_TRY(harden());
  return request.enrol ? enrol(request) : open(request);
}

}  // namespace holdfast::slotopener
