// From one pack to another with other keys: seals, re-encrypts, and takes the seal off.
#pragma once

#include <functional>

#include "holdfast/vault/pack_reader.h"
#include "holdfast/vault/pack_writer.h"

namespace holdfast::vault {

// Called with bytes of the payload done and to do; its error ends the copy.
using SealProgress = std::function<Status(std::uint64_t done, std::uint64_t total)>;

// Writes the content of `source` into the empty `out`, chunk by chunk: sealed as `seal` says, or
// not sealed where it is null (then the bytes are those of a pack that never was). Only the salt,
// the time and the keys differ; payload, index and the rest of the header stay, so no offset
// changes. Plaintext exists one chunk at a time, in memory that is kept out of dumps and, where
// possible, out of swap. `out` opens as a pack only once this has returned; the caller syncs it and
// gives it its name. kCorrupt names the chunk of `source` that is damaged; errors of writing; that
// of `progress`. The content address of the new pack.
Result<crypto::Sha256Digest> seal_pack(const PackReader& source, platform::OpenFile& out,
                                       const SealPlan* seal, const SealProgress& progress = {});

}  // namespace holdfast::vault
