// The key that a jailed child gets for the pack that it writes.
#pragma once

#include "holdfast/platform/unique_fd.h"
#include "holdfast/vault/pack_writer.h"

namespace holdfast::importer {

// Reads the data key from `socket` and draws a salt. kUnavailable where the key holder is gone,
// kDeadline, kCorrupt.
Result<vault::SealPlan> receive_seal_plan(platform::UniqueFd socket, std::uint64_t created);

}  // namespace holdfast::importer
