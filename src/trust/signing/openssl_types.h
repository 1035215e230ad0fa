// OpenSSL's objects with owners.
#pragma once

#include <openssl/bio.h>

#include <memory>
#include <string_view>

#include "holdfast/base/check.h"

namespace holdfast::signing {

template <auto kFree>
struct Deleter {
  template <typename T>
  void operator()(T* p) const {
    kFree(p);
  }
};
template <typename T, auto kFree>
using Owned = std::unique_ptr<T, Deleter<kFree>>;

// Reads `text`, which outlives it.
inline Owned<BIO, BIO_free> memory_bio(std::string_view text) {
  Owned<BIO, BIO_free> bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  HF_CHECK(bio != nullptr);
  return bio;
}

}  // namespace holdfast::signing
