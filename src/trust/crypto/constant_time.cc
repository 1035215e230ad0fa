#include "holdfast/crypto/constant_time.h"

#include <openssl/crypto.h>

namespace holdfast::crypto {

bool constant_time_equal(ByteView a, ByteView b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace holdfast::crypto
