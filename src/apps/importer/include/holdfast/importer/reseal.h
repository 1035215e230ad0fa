// Seals a pack that is in the store, or gives a sealed one another key, in a jailed child: the
// process that asks sees neither key nor plaintext.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "holdfast/base/result.h"
#include "holdfast/platform/file.h"
#include "holdfast/platform/unique_fd.h"
#include "holdfast/vault/wrap_slot.h"

namespace holdfast::importer {

struct ResealOptions {
  const platform::OpenFile* source = nullptr;
  platform::UniqueFd source_keys;  // a socket with its content keys; invalid: it is not sealed
  platform::UniqueFd data_key;     // a socket with the new data key (vault::receive_data_key)
  vault::WrapSlot slot;            // the new data key, wrapped
  std::string engine_program;      // holdfast-engine; empty: beside the running executable
  std::function<void(std::uint64_t done, std::uint64_t total)> on_progress;
  const std::atomic<bool>* cancel = nullptr;
};

// Writes the pack into the empty `out`, wrap slot included; the caller publishes it. kCorrupt for a
// damaged source, kExhausted for a full disk, kCancelled, kInternal where the child died.
Status reseal_pack(platform::OpenFile& out, const ResealOptions& options);

}  // namespace holdfast::importer
