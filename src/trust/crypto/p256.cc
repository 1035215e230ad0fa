#include "holdfast/crypto/p256.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include "holdfast/base/check.h"
#include "holdfast/crypto/kdf.h"
#include "holdfast/crypto/openssl_owned.h"

namespace holdfast::crypto {
namespace {

using Number = Owned<BIGNUM, BN_clear_free>;
using Group = Owned<EC_GROUP, EC_GROUP_free>;
using Point = Owned<EC_POINT, EC_POINT_clear_free>;
using PKey = Owned<EVP_PKEY, EVP_PKEY_free>;
using KeyContext = Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using DigestContext = Owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using ParameterBuilder = Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using Parameters = Owned<OSSL_PARAM, OSSL_PARAM_free>;

// 0x04, x, y.
constexpr std::size_t kPointBytes = 65;

const EC_GROUP* curve() {
  static const Group kCurve = [] {
    // A jailed process may not open the library's configuration file.
    HF_CHECK(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) == 1);
    return Group(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1));
  }();
  HF_CHECK(kCurve != nullptr);
  return kCurve.get();
}

Number number_of(const Secret& key) {
  if (key.size() != kKeyBytes) return nullptr;
  Number number(BN_secure_new());
  HF_CHECK(number != nullptr);
  HF_CHECK(BN_bin2bn(reinterpret_cast<const unsigned char*>(key.view().data()),
                     static_cast<int>(key.size()), number.get()) != nullptr);
  BN_set_flags(number.get(), BN_FLG_CONSTTIME);
  const bool in_range =
      BN_is_zero(number.get()) == 0 && BN_cmp(number.get(), EC_GROUP_get0_order(curve())) < 0;
  return in_range ? std::move(number) : nullptr;
}

Result<PKey> key_of(const Secret& secret) {
  const Number number = number_of(secret);
  if (number == nullptr) return invalid_argument("these bytes are no private key of P-256");
  const Point point(EC_POINT_new(curve()));
  HF_CHECK(point != nullptr);
  unsigned char encoded[kPointBytes];
  if (EC_POINT_mul(curve(), point.get(), number.get(), nullptr, nullptr, nullptr) != 1 ||
      EC_POINT_point2oct(curve(), point.get(), POINT_CONVERSION_UNCOMPRESSED, encoded,
                         sizeof encoded, nullptr) != sizeof encoded)
    return internal_error("the public key of a P-256 key could not be computed");
  const ParameterBuilder builder(OSSL_PARAM_BLD_new());
  HF_CHECK(builder != nullptr);
  HF_CHECK(OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1",
                                           0) == 1);
  HF_CHECK(OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, encoded,
                                            sizeof encoded) == 1);
  HF_CHECK(OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, number.get()) == 1);
  const Parameters parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  HF_CHECK(parameters != nullptr && context != nullptr);
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, parameters.get()) != 1)
    return internal_error("a P-256 key was not accepted");
  return PKey(key);
}

}  // namespace

bool is_p256_key(const Secret& key) { return number_of(key) != nullptr; }

Result<Bytes> p256_public_key(const Secret& key) {
  HF_TRY_ASSIGN(const PKey pair, key_of(key));
  unsigned char* der = nullptr;
  const int length = i2d_PUBKEY(pair.get(), &der);
  if (length <= 0) return internal_error("a public key could not be encoded");
  const auto* bytes = reinterpret_cast<const std::byte*>(der);
  Bytes out(bytes, bytes + length);
  OPENSSL_free(der);
  return out;
}

Result<Bytes> p256_sign(const Secret& key, ByteView message) {
  HF_TRY_ASSIGN(const PKey pair, key_of(key));
  const DigestContext context(EVP_MD_CTX_new());
  HF_CHECK(context != nullptr);
  static const unsigned char kNothing = 0;
  const auto* data =
      message.empty() ? &kNothing : reinterpret_cast<const unsigned char*>(message.data());
  std::size_t length = 0;
  Bytes out;
  const bool sized = EVP_DigestSignInit_ex(context.get(), nullptr, "SHA256", nullptr, nullptr,
                                           pair.get(), nullptr) == 1 &&
                     EVP_DigestSign(context.get(), nullptr, &length, data, message.size()) == 1;
  if (sized) out.resize(length);
  if (!sized || EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &length,
                               data, message.size()) != 1)
    return internal_error("a signature could not be made");
  out.resize(length);
  return out;
}

}  // namespace holdfast::crypto
