#include "chunk_cipher.h"

#include <algorithm>

namespace holdfast::vault {

ChunkCipher::ChunkCipher(const ContentKeys& keys, const PackHeader& header,
                         const crypto::Sha256Digest& header_digest)
    : aead_(keys.algorithm, keys.content_key.view()),
      prefix_(keys.nonce_prefix),
      n_chunks_(header.n_chunks()) {
  ByteWriter associated;
  associated.raw(header_digest).be(header.plaintext_len);
  associated_ = std::move(associated).take();
}

// prefix | be32(chunk) | last: neither place nor end of a chunk can be another's.
crypto::Nonce ChunkCipher::nonce_of(std::uint64_t chunk) const {
  crypto::Nonce nonce{};
  std::ranges::copy(prefix_, nonce.begin());
  store_be(nonce.data() + kNoncePrefixBytes, static_cast<std::uint32_t>(chunk));
  const bool last = chunk + 1 == n_chunks_;
  nonce.back() = static_cast<std::byte>(last);
  return nonce;
}

void ChunkCipher::seal(std::uint64_t chunk, ByteView plain, MutableBytes out, MutableBytes tag) {
  aead_.seal(nonce_of(chunk), associated_, plain, out, tag);
}

bool ChunkCipher::open(std::uint64_t chunk, MutableBytes bytes, ByteView tag) {
  return aead_.open(nonce_of(chunk), associated_, bytes, tag, bytes);
}

std::unique_ptr<ChunkCipher> ChunkCiphers::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto cipher = std::move(idle_.back());
      idle_.pop_back();
      return cipher;
    }
  }
  return std::make_unique<ChunkCipher>(keys_, header_, header_digest_);
}

void ChunkCiphers::put_back(std::unique_ptr<ChunkCipher> cipher) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(cipher));
}

}  // namespace holdfast::vault
