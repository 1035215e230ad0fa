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
// Writes every pack of the model anew under a fresh key, which then replaces the old one. May be
// repeated after a crash or an error.
Status rotate_dek(const Context& context, const std::string& model);
// A new kek.weights for the stored keys and the wrap slots of all packs. How many models have a
// key. A pack that cannot be written keeps its old slot, which is said.
Result<std::size_t> rotate_kek(const Context& context, custody::Custody& custody);

}  // namespace holdfast::cli
