// Encrypts and decrypts the chunks of one sealed pack, each bound to its place in it.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "holdfast/vault/content_keys.h"
#include "holdfast/vault/pack_format.h"

namespace holdfast::vault {

// Thread-compatible: several threads need one each.
class ChunkCipher {
 public:
  ChunkCipher(const ContentKeys& keys, const PackHeader& header,
              const crypto::Sha256Digest& header_digest);

  // `out` has the length of `plain` and may be the same memory.
  void seal(std::uint64_t chunk, ByteView plain, MutableBytes out, MutableBytes tag);
  // Decrypts in place. False: keys, pack, place, tag or ciphertext are not those of the sealing,
  // and the bytes are wiped.
  [[nodiscard]] bool open(std::uint64_t chunk, MutableBytes bytes, ByteView tag);

 private:
  crypto::Nonce nonce_of(std::uint64_t chunk) const;

  crypto::Aead aead_;
  NoncePrefix prefix_;
  std::uint64_t n_chunks_;
  Bytes associated_;
};

// One cipher for each thread that decrypts at the same time. Thread-safe.
class ChunkCiphers {
 public:
  ChunkCiphers(ContentKeys keys, const PackHeader& header,
               const crypto::Sha256Digest& header_digest)
      : keys_(std::move(keys)), header_(header), header_digest_(header_digest) {}

  std::unique_ptr<ChunkCipher> take();
  void put_back(std::unique_ptr<ChunkCipher> cipher);

 private:
  const ContentKeys keys_;
  const PackHeader header_;
  const crypto::Sha256Digest header_digest_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<ChunkCipher>> idle_;
};

}  // namespace holdfast::vault
