// Owners of OpenSSL's objects: Owned<EVP_PKEY, EVP_PKEY_free>.
#pragma once

#include <memory>

namespace holdfast::crypto {

template <auto kFree>
struct OpensslDeleter {
  template <typename T>
  void operator()(T* p) const {
    kFree(p);
  }
};
template <typename T, auto kFree>
using Owned = std::unique_ptr<T, OpensslDeleter<kFree>>;

}  // namespace holdfast::crypto
