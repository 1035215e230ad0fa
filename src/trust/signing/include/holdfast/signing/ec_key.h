// Keys of model signatures: ECDSA over P-256, P-384 and P-521 with the hash of their size.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/crypto/sha256.h"

struct evp_pkey_st;

namespace holdfast::signing {

inline constexpr std::size_t kPemBytesMax = 64 * 1024;

// Value; copies share the key. Thread-safe.
class PublicKey {
 public:
  // "-----BEGIN PUBLIC KEY-----". kInvalidArgument for what is none, kUnsupported for a key of
  // another kind or curve.
  static Result<PublicKey> from_pem(std::string_view pem);
  // SubjectPublicKeyInfo in DER (RFC 5480).
  static Result<PublicKey> from_spki(ByteView der);

  const Bytes& spki() const { return spki_; }
  std::string pem() const;
  // SHA-256 of the SPKI: how policies name a key.
  crypto::Sha256Digest id() const { return crypto::sha256(spki_); }
  // SHA-256 of the PEM text in hexadecimal: how bundles name it.
  std::string hint() const;
  // `signature` in DER (RFC 3279). kCorrupt where it is not this key's of these bytes.
  Status verify(ByteView message, ByteView signature) const;

 private:
  friend class PemSigner;
  static Result<PublicKey> from_key(std::shared_ptr<evp_pkey_st> key);
  std::shared_ptr<evp_pkey_st> key_;
  Bytes spki_;
};

// Whoever has a private key, in this process or another. Thread rule: the implementation's.
class Signer {
 public:
  virtual ~Signer() = default;
  virtual Result<PublicKey> public_key() = 0;
  // A signature of `message` in DER.
  virtual Result<Bytes> sign(ByteView message) = 0;
};

// A private key from a PEM file without a passphrase. Thread-compatible.
class PemSigner final : public Signer {
 public:
  // kInvalidArgument for what is no such key, kUnsupported for another kind of key.
  static Result<PemSigner> load(std::string_view pem);
  Result<PublicKey> public_key() override { return public_; }
  Result<Bytes> sign(ByteView message) override;

 private:
  explicit PemSigner(PublicKey key) : public_(std::move(key)) {}
  PublicKey public_;  // with the private half
};

}  // namespace holdfast::signing
