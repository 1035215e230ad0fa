// What imports and reseals have in common on the parent's side.
#pragma once

#include <cstdint>
#include <string>

#include "holdfast/base/result.h"
#include "holdfast/platform/file.h"
#include "holdfast/vault/wrap_slot.h"

namespace holdfast::importer {

// A variant (ModelRecord::variant) says at its end whether the pack is sealed: a pack that is not
// is no answer to who asks for a sealed one.
std::string sealed_variant(std::string variant, bool sealed);

// Puts the wrapped key into the first slot of a pack that another process has written.
Status fill_first_slot(const platform::OpenFile& staged, const vault::WrapSlot& slot);

std::uint64_t now_unix_seconds();

}  // namespace holdfast::importer
