#include "holdfast/vault/seal_pack.h"

namespace holdfast::vault {

Result<crypto::Sha256Digest> seal_pack(const PackReader& source, platform::OpenFile& out,
                                       const SealPlan* seal, const SealProgress& progress) {
  const PackHeader& header = source.header();
  HF_TRY_ASSIGN(ChunkWriter writer, ChunkWriter::begin(out, header, seal));
  HF_TRY_ASSIGN(platform::LargeBuffer buffer, chunk_buffer());
  std::uint64_t done = 0;
  for (std::uint64_t i = 0; i < header.n_chunks(); ++i) {
    const MutableBytes chunk = buffer.bytes().first(source.chunk_bytes(i));
    HF_TRY(source.read_chunk(i, chunk));
    HF_TRY(writer.write(chunk));
    done += chunk.size();
    if (progress) HF_TRY(progress(done, header.plaintext_len));
  }
  HF_TRY(writer.finish());
  return writer.header_digest();
}

}  // namespace holdfast::vault
