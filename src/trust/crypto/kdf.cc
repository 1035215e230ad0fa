#include "holdfast/crypto/kdf.h"

#include <argon2.h>
#include <openssl/evp.h>

#include "holdfast/base/check.h"
#include "holdfast/crypto/hmac.h"

namespace holdfast::crypto {

Result<Secret> hkdf_sha256(ByteView key, ByteView salt, ByteView info, std::size_t bytes) {
  HF_CHECK(bytes > 0 && bytes <= 255 * sizeof(Sha256Digest));
  HF_TRY_ASSIGN(Secret out, Secret::of_size(bytes));
  const std::byte no_salt[sizeof(Sha256Digest)] = {};
  Sha256Digest extracted = hmac_sha256(salt.empty() ? ByteView(no_salt) : salt, {key});
  Sha256Digest block{};
  std::size_t done = 0;
  for (std::byte counter{1}; done < bytes; counter = std::byte(std::to_integer<int>(counter) + 1)) {
    const ByteView before = done == 0 ? ByteView() : ByteView(block);
    block = hmac_sha256(extracted, {before, info, ByteView(&counter, 1)});
    const std::size_t n = std::min(block.size(), bytes - done);
    std::memcpy(out.bytes().data() + done, block.data(), n);
    done += n;
  }
  platform::wipe(block);
  platform::wipe(extracted);
  return out;
}

Result<Secret> argon2id(ByteView passphrase, ByteView salt, const Argon2Cost& cost) {
  HF_TRY_ASSIGN(Secret out, Secret::of_size(kKeyBytes));
  const int status =
      argon2id_hash_raw(cost.passes, cost.memory_kib, cost.lanes, passphrase.data(),
                        passphrase.size(), salt.data(), salt.size(), out.bytes().data(), kKeyBytes);
  if (status == ARGON2_OK) return out;
  if (status == ARGON2_MEMORY_ALLOCATION_ERROR || status == ARGON2_THREAD_FAIL)
    return exhausted("not enough memory for the passphrase",
                     "Argon2id needs " + std::to_string(cost.memory_kib / 1024) + " MiB");
  return invalid_argument("the passphrase's parameters are out of range",
                          argon2_error_message(status));
}

Result<Secret> pbkdf2_sha256(ByteView passphrase, ByteView salt, std::uint32_t iterations) {
  HF_TRY_ASSIGN(Secret out, Secret::of_size(kKeyBytes));
  HF_CHECK(PKCS5_PBKDF2_HMAC(reinterpret_cast<const char*>(passphrase.data()),
                             static_cast<int>(passphrase.size()),
                             reinterpret_cast<const unsigned char*>(salt.data()),
                             static_cast<int>(salt.size()), static_cast<int>(iterations),
                             EVP_sha256(), static_cast<int>(kKeyBytes),
                             reinterpret_cast<unsigned char*>(out.bytes().data())) == 1);
  return out;
}

}  // namespace holdfast::crypto
