// Packs of the store that get a seal, another key, or a wrap slot of the newest epoch.
#pragma once

#include <string>
#include <vector>

#include "context.h"
#include "holdfast/base/result.h"
#include "holdfast/custody/custody.h"

namespace holdfast::cli {

// Seals the named models, or all, that are not sealed yet. Models that are loaded go on; the next
// load takes the sealed pack. kNotFound for a name; kNotFound where there is no keyring.
Status reseal(const Context& context, const std::vector<std::string>& models);
// Writes every pack of the model anew under a fresh key, which then replaces the old one.
Status rotate_dek(const Context& context, const std::string& model);
// After a rotation of kek.weights: wrap slots are a copy of the stored keys, for packs that are
// moved elsewhere. A pack that cannot be written keeps its old slot, which is said.
Status refresh_wrap_slots(const Context& context, custody::Custody& custody);

}  // namespace holdfast::cli
