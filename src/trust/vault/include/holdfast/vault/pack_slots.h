// The wrap slots of a pack's file, rewritten in place: neither data nor content address change.
#pragma once

#include "holdfast/platform/file.h"
#include "holdfast/vault/wrap_slot.h"

namespace holdfast::vault {

// As they are in the file. kCorrupt names a slot that is damaged; kInvalidArgument for a pack that
// is not sealed.
Result<WrapSlots> read_wrap_slots(const platform::ByteSource& file);

// Makes the file's slots equal to `slots`. A slot is one aligned write inside one 512-byte sector,
// so it is the old or the new one wherever this is interrupted; slots that come into use are
// written and synced before any that goes out of use, so at every moment the pack opens with what
// opened it before or with what opens it afterwards. Concurrent readers see the same. Slots that
// are equal are not written. kInvalidArgument for a pack that is not sealed, and for `slots` of
// which none is used; kCorrupt as read_wrap_slots(); errors of writing.
Status rewrite_wrap_slots(platform::OpenFile& file, const WrapSlots& slots);

}  // namespace holdfast::vault
