#include "holdfast/footprint/resident.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "holdfast/base/checked.h"
#include "holdfast/base/units.h"
#include "holdfast/footprint/kv_pages.h"

namespace holdfast::footprint {

namespace {

// Pages of holdfast-engine and its libraries that a start and answers touch, of 11 MB of text and
// data: 9.2 - 9.5 MB measured (smaps of release builds on x86-64; libcrypto has 2.9 of it,
// libc 1.4).
constexpr std::uint64_t kProgramBytes = 9400 * kKiB;
// Of the heap. Vocabularies of byte-level BPE take a table of one byte for each of 0x110000 code
// points, SentencePiece ones with thousands of special tokens as much for finding those; then the
// template's tree and tables, metadata, names of tensors and buffers of messages: 1.6 - 2.0 MB
// measured in all.
constexpr std::uint64_t kHeapBytes = 0x110000 + 700 * kKiB;
// Of a thread's stack, the used part, and its share of the allocator: 24 + 12 measured.
constexpr std::uint64_t kThreadBytes = 36 * kKiB;
// The engine's own threads beside those that compute: one receives, one sends.
constexpr std::uint64_t kOwnThreads = 2;
// PagedKvCache: a number each in the references and the stack of free pages, an address in the
// table of its sequence, two bits.
constexpr std::uint64_t kPageTableBytes = 4 + 4 + 8 + 1;
// A sequence's tokens: in the message, in the request, and once more in what a scheduler keeps to
// start it again.
constexpr std::uint64_t kTokenBytes = 3 * sizeof(std::int32_t);

// A token's text, as merging sees it and as it is decoded: 13.4 bytes on average in SmolLM2's
// vocabulary of 49,152, 16.7 in Gemma 3's of 262,144.
constexpr std::uint64_t kTextsBytes = 15;

std::uint64_t page_end(std::uint64_t buffer_bytes) {
  return round_up(buffer_bytes, kSmallPageBytes);
}

// The page around byte `at`: a huge one where it lies whole in the buffer.
struct Page {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};
Page page_at(std::uint64_t buffer_bytes, std::uint64_t at, bool huge_pages) {
  const std::uint64_t huge = at / kHugePageBytes * kHugePageBytes;
  if (huge_pages && huge + kHugePageBytes <= page_end(buffer_bytes))
    return {huge, huge + kHugePageBytes};
  const std::uint64_t small = at / kSmallPageBytes * kSmallPageBytes;
  return {small, small + kSmallPageBytes};
}

}  // namespace

std::uint64_t resident_bytes(std::uint64_t buffer_bytes, std::span<const Touched> parts,
                             bool huge_pages) {
  std::vector<Touched> sorted(parts.begin(), parts.end());
  std::ranges::sort(sorted, {}, &Touched::offset);
  std::uint64_t sum = 0;
  std::uint64_t done = 0;  // pages below were counted
  for (const Touched& t : sorted) {
    if (t.bytes == 0) continue;
    const std::uint64_t begin = std::max(done, page_at(buffer_bytes, t.offset, huge_pages).begin);
    const std::uint64_t end = page_at(buffer_bytes, t.offset + t.bytes - 1, huge_pages).end;
    if (end <= begin) continue;
    sum += end - begin;
    done = end;
  }
  return sum;
}

std::uint64_t resident_bytes(std::uint64_t buffer_bytes, std::uint64_t touched, bool huge_pages) {
  const Touched part{0, std::min(touched, buffer_bytes)};
  return resident_bytes(buffer_bytes, std::span(&part, 1), huge_pages);
}

std::uint64_t vocabulary_bytes(std::uint64_t tokens, std::uint64_t merges, bool scores) {
  // Ends of text and piece, type, score, texts.
  const std::uint64_t entries = tokens * (4 + 4 + 2 + (scores ? 4 : 0) + kTextsBytes);
  // Open addressing, at most half full: eight bytes a text, four a merge of twelve.
  const std::uint64_t texts = 8 * std::bit_ceil(2 * tokens + 1);
  const std::uint64_t pairs = merges == 0 ? 0 : 12 * merges + 4 * std::bit_ceil(2 * merges + 1);
  return entries + texts + pairs;
}

std::uint64_t process_bytes(const ProcessShape& shape) {
  return kProgramBytes + kHeapBytes + (shape.threads + kOwnThreads) * kThreadBytes +
         shape.pages * kPageTableBytes +
         std::uint64_t{shape.sequences} * shape.context * kTokenBytes + shape.kept_bytes;
}

Resident predict_peak_resident(const ResidentRequest& r) {
  Resident out;
  out.weights_bytes = r.weights_bytes;
  // Pages are handed out from low addresses on, so what was used lies together.
  const std::uint64_t used = r.process.sequences * kv_pages_for(r.filled_tokens);
  out.kv_bytes = resident_bytes(r.process.pages * r.page_bytes, used * r.page_bytes, r.huge_pages);
  out.scratch_bytes = r.scratch_bytes;
  out.process_bytes = process_bytes(r.process);
  return out;
}

}  // namespace holdfast::footprint
