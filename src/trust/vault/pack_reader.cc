#include "holdfast/vault/pack_reader.h"

#include <algorithm>
#include <cstring>

#include "chunk_cipher.h"
#include "holdfast/crypto/constant_time.h"

namespace holdfast::vault {
namespace {

Error bad_chunk(std::uint64_t chunk) {
  return corrupt("the model pack is damaged: chunk " + std::to_string(chunk) +
                 " does not match its tag");
}

Result<Bytes> header_bytes(const platform::ByteSource& source) {
  if (source.size() < kHeaderBytes) return corrupt("the model pack is truncated");
  Bytes bytes(kHeaderBytes);
  HF_TRY(source.read_at(0, bytes));
  return bytes;
}

Status check_length(const PackHeader& header, std::uint64_t bytes) {
  if (bytes < header.file_bytes()) return corrupt("the model pack is truncated");
  if (bytes > header.file_bytes()) return corrupt("the model pack has bytes to spare");
  return ok_status();
}

// A cipher of the pool for as long as one call takes; none for a pack that is not sealed.
class BorrowedCipher {
 public:
  explicit BorrowedCipher(ChunkCiphers* pool) : pool_(pool) {
    if (pool_ != nullptr) cipher_ = pool_->take();
  }
  BorrowedCipher(const BorrowedCipher&) = delete;
  BorrowedCipher& operator=(const BorrowedCipher&) = delete;
  ~BorrowedCipher() {
    if (pool_ != nullptr) pool_->put_back(std::move(cipher_));
  }
  ChunkCipher* get() const { return cipher_.get(); }

 private:
  ChunkCiphers* pool_;
  std::unique_ptr<ChunkCipher> cipher_;
};

}  // namespace

Result<PackHeader> read_pack_header(const platform::ByteSource& source) {
  HF_TRY_ASSIGN(const Bytes bytes, header_bytes(source));
  HF_TRY_ASSIGN(const PackHeader header, decode_header(bytes));
  HF_TRY(check_length(header, source.size()));
  return header;
}

PackReader::PackReader(const platform::ByteSource& source) : source_(&source) {}
PackReader::PackReader(PackReader&&) noexcept = default;
PackReader& PackReader::operator=(PackReader&&) noexcept = default;
PackReader::~PackReader() = default;

Result<PackReader> PackReader::open(const platform::ByteSource& source, TensorBytes tensor_bytes,
                                    std::optional<ContentKeys> keys) {
  PackReader reader(source);
  HF_TRY(reader.read_header(std::move(keys)));
  HF_TRY(reader.read_tags());
  HF_TRY(reader.read_index(tensor_bytes));
  return reader;
}

// Before any other field of a sealed header is believed.
Status PackReader::check_seal(ByteView header, const std::optional<ContentKeys>& keys) const {
  HF_TRY_ASSIGN(const PackIdentity identity, decode_identity(header));
  if (!identity.seal) {
    if (!keys) return ok_status();
    return corrupt("the model pack is not sealed, but a sealed one was expected");
  }
  if (!keys) {
    return unavailable("the model is sealed and its keys are not here")
        .with_hint("Unseal the keyring first: holdfast seal unseal.");
  }
  const crypto::Sha256Digest mac = header_mac(header, keys->header_key);
  if (!crypto::constant_time_equal(mac, header.subspan(kHeaderDigestedBytes, mac.size()))) {
    return corrupt("the model pack is damaged, or sealed with other keys: header field HM");
  }
  if (*identity.seal != keys->algorithm) return corrupt("the keys are of another model pack: alg");
  return ok_status();
}

Status PackReader::read_header(std::optional<ContentKeys> keys) {
  HF_TRY_ASSIGN(const Bytes bytes, header_bytes(*source_));
  HF_TRY(check_seal(bytes, keys));
  HF_TRY_ASSIGN(header_, decode_header(bytes));
  HF_TRY(check_length(header_, source_->size()));
  digest_ = vault::header_digest(bytes);
  if (keys) {
    keys->header_key = crypto::Secret();  // it has done its work
    ciphers_ = std::make_unique<ChunkCiphers>(*std::move(keys), header_, digest_);
  }
  return ok_status();
}

// The file is as long as the header says, so this allocates at most one 16,384th of what is there.
Status PackReader::read_tags() {
  tags_.resize(header_.data_off() - kHeaderBytes);
  HF_TRY(source_->read_at(kHeaderBytes, tags_));
  const std::size_t used = header_.n_chunks() * kTagBytes;
  if (!all_zero(ByteView(tags_).subspan(used))) {
    return corrupt("the model pack is damaged: bytes after its tags");
  }
  tags_.resize(used);
  return ok_status();
}

Status PackReader::read_index(TensorBytes tensor_bytes) {
  Bytes bytes(header_.index_len);
  std::size_t at = 0;
  for (std::uint64_t chunk = payload_chunks(); chunk < header_.n_chunks(); ++chunk) {
    const std::uint64_t n = chunk_bytes(chunk);
    HF_TRY(read_chunk(chunk, MutableBytes(bytes).subspan(at, n)).context("index"));
    at += n;
  }
  HF_TRY_ASSIGN(index_, decode_index(bytes, header_.index_off, tensor_bytes));
  const auto check = [&](ObjectKind kind, const crypto::Sha256Digest& digest) {
    const ObjectEntry* object = index_.find_object(kind);
    const crypto::Sha256Digest none{};
    return (object == nullptr ? none : object->digest) == digest;
  };
  if (!check(ObjectKind::kTokenizer, header_.tokenizer_digest) ||
      !check(ObjectKind::kTemplate, header_.template_digest)) {
    return corrupt("the model pack is damaged: header and index disagree on a digest");
  }
  return ok_status();
}

std::uint64_t PackReader::chunk_bytes(std::uint64_t chunk) const {
  return std::min(kChunkBytes, header_.plaintext_len - chunk * kChunkBytes);
}

ByteView PackReader::tag(std::uint64_t chunk) const {
  return ByteView(tags_).subspan(chunk * kTagBytes, kTagBytes);
}

bool PackReader::matches_tag(std::uint64_t chunk, ByteView bytes) const {
  return std::ranges::equal(chunk_tag(bytes, digest_), tag(chunk));
}

Status PackReader::read_chunk(std::uint64_t chunk, MutableBytes out) const {
  const BorrowedCipher cipher(ciphers_.get());
  return read_chunk_with(cipher.get(), chunk, out);
}

// The ciphertext is read into the place of the plaintext: one chunk, which stays in the
// second-level cache in between.
Status PackReader::read_chunk_with(ChunkCipher* cipher, std::uint64_t chunk,
                                   MutableBytes out) const {
  HF_TRY(source_->read_at(header_.data_off() + chunk * kChunkBytes, out));
  const bool good =
      cipher == nullptr ? matches_tag(chunk, out) : cipher->open(chunk, out, tag(chunk));
  if (good) return ok_status();
  // What does not match its tag is not left behind for a careless caller.
  std::fill(out.begin(), out.end(), std::byte{0});
  return bad_chunk(chunk);
}

Result<Bytes> PackReader::read_object(ObjectKind kind) const {
  const ObjectEntry* object = index_.find_object(kind);
  if (object == nullptr) return not_found("the model pack has no " + object_kind_name(kind));
  return read_object(*object);
}

Result<Bytes> PackReader::read_object(const ObjectEntry& object) const {
  Bytes content(object.length);
  HF_TRY(read_range(object.offset, content).context(object_kind_name(object.kind)));
  if (crypto::sha256(content) != object.digest) {
    return corrupt("the model pack is damaged: " + object_kind_name(object.kind) +
                   " does not match its digest");
  }
  return content;
}

Status PackReader::read_chunks(std::uint64_t first, MutableBytes out) const {
  check_chunks(first, out.size());
  const BorrowedCipher cipher(ciphers_.get());
  for (std::uint64_t at = 0; at < out.size(); at += kChunkBytes) {
    HF_TRY(read_chunk_with(cipher.get(), first + at / kChunkBytes, out.subspan(at, kChunkBytes)));
  }
  return ok_status();
}

Status PackReader::verify_chunks(std::uint64_t first, ByteView chunks) const {
  HF_CHECK(!sealed());
  check_chunks(first, chunks.size());
  for (std::uint64_t at = 0; at < chunks.size(); at += kChunkBytes) {
    const std::uint64_t chunk = first + at / kChunkBytes;
    if (!matches_tag(chunk, chunks.subspan(at, kChunkBytes))) return bad_chunk(chunk);
  }
  return ok_status();
}

void PackReader::check_chunks(std::uint64_t first, std::uint64_t bytes) const {
  HF_CHECK(bytes % kChunkBytes == 0 && first <= payload_chunks() &&
           bytes / kChunkBytes <= payload_chunks() - first);
}

Status PackReader::read_range(std::uint64_t offset, MutableBytes out) const {
  HF_TRY(platform::check_range(offset, out.size(), header_.plaintext_len));
  Bytes chunk;
  while (!out.empty()) {
    const std::uint64_t number = offset / kChunkBytes;
    chunk.resize(chunk_bytes(number));
    HF_TRY(read_chunk(number, chunk));
    const std::size_t skip = offset % kChunkBytes;
    const std::size_t n = std::min(chunk.size() - skip, out.size());
    std::memcpy(out.data(), chunk.data() + skip, n);
    out = out.subspan(n);
    offset += n;
  }
  return ok_status();
}

Status PackReader::verify_all() const {
  Bytes chunk;
  for (std::uint64_t i = 0; i < header_.n_chunks(); ++i) {
    chunk.resize(chunk_bytes(i));
    HF_TRY(read_chunk(i, chunk));
  }
  for (const ObjectEntry& object : index_.objects) {
    const auto content = read_object(object);
    if (!content.ok()) return content.error();
  }
  return ok_status();
}

}  // namespace holdfast::vault
