// OpenSSL's objects with owners.
#pragma once

#include <openssl/bio.h>

#include <string_view>

#include "holdfast/base/check.h"
#include "holdfast/crypto/openssl_owned.h"

namespace holdfast::signing {

using crypto::Owned;

// Reads `text`, which outlives it.
inline Owned<BIO, BIO_free> memory_bio(std::string_view text) {
  Owned<BIO, BIO_free> bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  HF_CHECK(bio != nullptr);
  return bio;
}

}  // namespace holdfast::signing
