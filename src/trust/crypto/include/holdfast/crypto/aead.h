// Authenticated encryption with associated data over OpenSSL: AES-256-GCM (NIST SP 800-38D) and
// ChaCha20-Poly1305 (RFC 8439), 96-bit nonces, 128-bit tags.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "holdfast/base/bytes.h"

namespace holdfast::crypto {

inline constexpr std::size_t kNonceBytes = 12;
inline constexpr std::size_t kTagBytes = 16;
using Nonce = std::array<std::byte, kNonceBytes>;

// Numbers as in the formats (docs/formats/pack.md).
enum class AeadAlgorithm : std::uint8_t { kAes256Gcm = 1, kChaCha20Poly1305 = 2 };

std::optional<AeadAlgorithm> aead_algorithm(std::uint8_t number);
std::string_view aead_algorithm_name(AeadAlgorithm algorithm);
// AES-256-GCM where the CPU has instructions for it, else ChaCha20-Poly1305, which is ten times
// faster there.
AeadAlgorithm fastest_aead();

// One key ready for use. The caller never gives a nonce twice with one key. Owned by one thread at
// a time (thread-compatible): several threads need one each. Opens no file.
class Aead {
 public:
  // `key` has 32 bytes and is copied into OpenSSL's context, which wipes it at the end.
  Aead(AeadAlgorithm algorithm, ByteView key);
  Aead(Aead&&) noexcept;
  Aead& operator=(Aead&&) noexcept;
  ~Aead();

  // `out` has the length of `plain` and may be the same memory; `tag` 16 bytes. At most 2^31-1
  // bytes.
  void seal(const Nonce& nonce, ByteView associated, ByteView plain, MutableBytes out,
            MutableBytes tag);
  // False: key, nonce, associated data, ciphertext or tag are not those of the sealing; `out` is
  // wiped then.
  [[nodiscard]] bool open(const Nonce& nonce, ByteView associated, ByteView sealed, ByteView tag,
                          MutableBytes out);

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace holdfast::crypto
