// How much of an engine child's memory is really there (its peak resident set), from what it was
// given and what it has used. docs/internals/memory.md has the measurements behind the constants.
#pragma once

#include <cstdint>
#include <span>

namespace holdfast::footprint {

inline constexpr std::uint64_t kSmallPageBytes = 4096;
inline constexpr std::uint64_t kHugePageBytes = std::uint64_t{2} << 20;

// Part of a buffer, from its start.
struct Touched {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

// Bytes resident of a buffer of `buffer_bytes` that starts at a multiple of kHugePageBytes, of
// which the parts were written (in any order, they may overlap, none goes beyond the end). With
// huge pages a byte brings two mebibytes, but for the end of the buffer, where no whole huge page
// fits.
std::uint64_t resident_bytes(std::uint64_t buffer_bytes, std::span<const Touched> parts,
                             bool huge_pages);
// The same for the first `touched` bytes, which may be more than there are.
std::uint64_t resident_bytes(std::uint64_t buffer_bytes, std::uint64_t touched, bool huge_pages);

// What the engine keeps of a pack for the vocabulary (docs/formats/tokenizer.md), where there is no
// file to look into: by the layout of the object, with texts of usual length. Within 15 %; a
// model's own pack says it exactly. `scores`: SentencePiece vocabularies; `merges`: those of
// byte-level BPE.
std::uint64_t vocabulary_bytes(std::uint64_t tokens, std::uint64_t merges, bool scores);

// The process around weights, cache and work space.
struct ProcessShape {
  std::uint32_t threads = 1;     // that compute
  std::uint64_t kept_bytes = 0;  // of the pack beside tensors: vocabulary, texts, padding
  std::uint64_t pages = 0;       // of the KV cache
  std::uint32_t sequences = 1;   // that run together
  std::uint32_t context = 0;     // tokens of each
};

// Program, libraries, heap, stacks, page tables of the cache, tokens of the sequences, kept_bytes.
std::uint64_t process_bytes(const ProcessShape& shape);

struct ResidentRequest {
  std::uint64_t weights_bytes = 0;  // sum over the tensors
  ProcessShape process;
  std::uint64_t page_bytes = 0;     // kv_page_bytes()
  std::uint32_t filled_tokens = 0;  // in each of process.sequences, all at the same time
  // Of the work space, by the steps that were done: model::scratch_resident_bytes().
  std::uint64_t scratch_bytes = 0;
  bool huge_pages = true;  // whether the system gives them where they are asked for
};

struct Resident {
  std::uint64_t weights_bytes = 0;
  std::uint64_t kv_bytes = 0;
  std::uint64_t scratch_bytes = 0;
  std::uint64_t process_bytes = 0;

  std::uint64_t total_bytes() const {
    return weights_bytes + kv_bytes + scratch_bytes + process_bytes;
  }
};

// The peak resident set of an engine child that has done that: error at most 2 % for models of
// 100 MB and more (tests/memory). Not in it: keys and values of sequences that ended before others
// began (their pages are used again), a prefix cache's pages, and candidates of sampled requests
// (8 bytes a token of the vocabulary, for the moment).
Resident predict_peak_resident(const ResidentRequest& request);

}  // namespace holdfast::footprint
