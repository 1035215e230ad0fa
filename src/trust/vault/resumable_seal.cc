#include "holdfast/vault/resumable_seal.h"

#include <algorithm>
#include <optional>

#include "holdfast/crypto/constant_time.h"
#include "holdfast/crypto/hmac.h"
#include "holdfast/crypto/kdf.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kMarkerMagic = "HFCP";
constexpr std::uint16_t kMarkerVersion = 1;
constexpr std::string_view kMarkerKey = "holdfast/weights/v1/unfinished";
// magic, version, 0, chunks, work, A, MAC.
constexpr std::size_t kMarkedBytes = 4 + 2 + 2 + 8 + 32 + kHeaderDigestedBytes;
constexpr std::size_t kMarkerBytes = kMarkedBytes + 32;
static_assert(kMarkerBytes <= kHeaderBytes);
// What an interrupted run loses: 16 MiB, a moment's work.
constexpr std::uint64_t kChunksBetweenMarks = 64;

struct Marker {
  std::uint64_t chunks = 0;
  Bytes digested;  // A of the header that the pack will have
  PackHeader header;
};

// Under a key of its own, so that nobody else can name the work for which chunks were written.
Result<crypto::Sha256Digest> marker_mac(const SealPlan& plan, ByteView marked) {
  HF_TRY_ASSIGN(const crypto::Secret key,
                crypto::hkdf_sha256(plan.dek.view(), plan.salt, as_bytes_view(kMarkerKey), 32));
  return crypto::hmac_sha256(key.view(), {marked});
}

Status write_marker(platform::OpenFile& out, const SealPlan& plan, const ChunkWriter& writer,
                    const crypto::Sha256Digest& work) {
  const Bytes header = encode_header(writer.header());
  ByteWriter marker;
  marker.raw(kMarkerMagic).be(kMarkerVersion).be(std::uint16_t{0}).be(writer.written());
  marker.raw(work).raw(ByteView(header).first(kHeaderDigestedBytes));
  HF_TRY_ASSIGN(const crypto::Sha256Digest mac, marker_mac(plan, marker.view()));
  marker.raw(mac);
  return out.write_at(0, marker.view());
}

// `plan` gets the salt of the marker. nullopt for anything but a marker of this work and key.
Result<std::optional<Marker>> read_marker(const platform::OpenFile& out, SealPlan& plan,
                                          const crypto::Sha256Digest& work) {
  const std::optional<Marker> none;
  Bytes bytes(kMarkerBytes);
  if (out.size() < kHeaderBytes || !out.read_at(0, bytes).ok()) return none;
  ByteReader in(bytes);
  HF_TRY_ASSIGN(const std::string_view magic, in.take_string(kMarkerMagic.size()));
  HF_TRY_ASSIGN(const std::uint16_t version, in.be<std::uint16_t>());
  if (magic != kMarkerMagic || version != kMarkerVersion) return none;
  HF_TRY(in.skip(2));
  Marker marker;
  HF_TRY_ASSIGN(marker.chunks, in.be<std::uint64_t>());
  HF_TRY_ASSIGN(const ByteView named, in.take(work.size()));
  HF_TRY_ASSIGN(const ByteView digested, in.take(kHeaderDigestedBytes));
  HF_TRY_ASSIGN(const ByteView mac, in.take(32));
  marker.digested.assign(digested.begin(), digested.end());
  Bytes whole = marker.digested;
  whole.resize(kHeaderBytes);
  auto header = decode_header(whole);
  if (!header.ok() || !header->seal) return none;
  marker.header = *std::move(header);
  plan.algorithm = *marker.header.seal;
  plan.salt = marker.header.salt;
  plan.created = marker.header.created;
  HF_TRY_ASSIGN(const crypto::Sha256Digest expected,
                marker_mac(plan, ByteView(bytes).first(kMarkedBytes)));
  if (!crypto::constant_time_equal(mac, expected) || !std::ranges::equal(named, work)) return none;
  return std::optional<Marker>(std::move(marker));
}

// A writer that goes on behind the chunks of the earlier run which verify.
Result<std::optional<ChunkWriter>> resume(const PackReader& source, platform::OpenFile& out,
                                          SealPlan& plan, const crypto::Sha256Digest& work,
                                          MutableBytes buffer) {
  std::optional<ChunkWriter> none;
  HF_TRY_ASSIGN(const auto marker, read_marker(out, plan, work));
  if (!marker) return none;
  HF_TRY_ASSIGN(ChunkWriter writer, ChunkWriter::begin(out, source.header(), &plan));
  const Bytes header = encode_header(writer.header());
  if (!std::ranges::equal(marker->digested, ByteView(header).first(kHeaderDigestedBytes))) {
    return none;
  }
  const std::uint64_t n_chunks = source.header().n_chunks();
  for (std::uint64_t i = 0; i < std::min(marker->chunks, n_chunks); ++i) {
    Tag tag;
    if (!out.read_at(kHeaderBytes + i * kTagBytes, tag).ok()) break;
    if (!writer.adopt(tag, buffer.first(source.chunk_bytes(i)))) break;
  }
  return std::optional<ChunkWriter>(std::move(writer));
}

}  // namespace

Result<ResumedSeal> seal_pack_resumably(const PackReader& source, platform::OpenFile& out,
                                        SealPlan plan, const crypto::Sha256Digest& work,
                                        const SealProgress& progress) {
  const PackHeader& header = source.header();
  HF_TRY_ASSIGN(platform::LargeBuffer buffer, chunk_buffer());
  const auto fresh_algorithm = plan.algorithm;
  const Salt fresh_salt = plan.salt;
  const std::uint64_t fresh_created = plan.created;
  HF_TRY_ASSIGN(auto writer, resume(source, out, plan, work, buffer.bytes()));
  if (!writer) {
    plan.algorithm = fresh_algorithm;
    plan.salt = fresh_salt;
    plan.created = fresh_created;
    HF_TRY(out.truncate(0));
    HF_TRY_ASSIGN(writer, ChunkWriter::begin(out, header, &plan));
  }
  ResumedSeal result{writer->header_digest(), writer->written()};
  std::uint64_t marked = writer->written();
  while (writer->written() < header.n_chunks()) {
    const std::uint64_t i = writer->written();
    const MutableBytes chunk = buffer.bytes().first(source.chunk_bytes(i));
    HF_TRY(source.read_chunk(i, chunk));
    HF_TRY(writer->write(chunk));
    if (writer->written() - marked == kChunksBetweenMarks) {
      HF_TRY(out.write_at(kHeaderBytes + marked * kTagBytes,
                          writer->tags().subspan(marked * kTagBytes)));
      HF_TRY(write_marker(out, plan, *writer, work));
      marked = writer->written();
    }
    const std::uint64_t done = std::min(writer->written() * kChunkBytes, header.plaintext_len);
    if (progress) HF_TRY(progress(done, header.plaintext_len));
  }
  HF_TRY(writer->finish());
  return result;
}

}  // namespace holdfast::vault
