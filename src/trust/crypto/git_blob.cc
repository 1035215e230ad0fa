#include "holdfast/crypto/git_blob.h"

#include <openssl/evp.h>

#include <array>
#include <memory>

#include "holdfast/base/check.h"

namespace holdfast::crypto {

std::string git_blob_id(ByteView content) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  std::string head = "blob " + std::to_string(content.size());
  head.push_back('\0');
  std::array<std::byte, 20> digest{};
  HF_CHECK(context && EVP_DigestInit_ex(context.get(), EVP_sha1(), nullptr) == 1 &&
           EVP_DigestUpdate(context.get(), head.data(), head.size()) == 1 &&
           EVP_DigestUpdate(context.get(), content.data(), content.size()) == 1 &&
           EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(digest.data()),
                              nullptr) == 1);
  return to_hex(digest);
}

}  // namespace holdfast::crypto
