// Sealing that goes on where an interrupted run ended. What lies in the file until then is
// described in docs/formats/pack.md, "A pack that is not finished".
#pragma once

#include <cstdint>

#include "holdfast/vault/seal_pack.h"

namespace holdfast::vault {

struct ResumedSeal {
  crypto::Sha256Digest pack{};    // content address of the new pack
  std::uint64_t chunks_kept = 0;  // of an earlier run
};

// As seal_pack(), into an `out` that is empty or holds what an interrupted call left. Chunks of the
// earlier run are kept as far as they verify under `plan.dek`, with the salt of that run; the rest
// is written. `work` names the bytes of the source, which the caller has verified: what was left by
// other work, under another key or by nobody is overwritten under a new salt, so no nonce ever
// meets two plaintexts.
Result<ResumedSeal> seal_pack_resumably(const PackReader& source, platform::OpenFile& out,
                                        SealPlan plan, const crypto::Sha256Digest& work,
                                        const SealProgress& progress = {});

}  // namespace holdfast::vault
