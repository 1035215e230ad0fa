// The keys of this data directory, as the settings describe them; and what sealed packs need of
// them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "context.h"
#include "holdfast/custody/custody.h"
#include "holdfast/importer/importer.h"
#include "holdfast/registry/store.h"
#include "holdfast/vault/pack_reader.h"

namespace holdfast::cli {

// Creates the data directory where there is none. `share` is for servers: other commands then use
// its key holder.
Result<std::unique_ptr<custody::Custody>> open_custody(const Context& context, bool share = false);

// As open_custody, for a server: a first start makes the keyring where there is neither one nor
// anything that an earlier one protected, and says so in three lines (not with store.seal = "off").
// The keyring is opened where a slot does so by itself; kUnavailable is no error here: the server
// starts sealed.
Result<std::unique_ptr<custody::Custody>> start_custody(const Context& context);

// As open_custody where there is a keyring; null where there is none.
Result<std::unique_ptr<custody::Custody>> existing_custody(const Context& context);

// What seals new packs here, opened; null where they are not sealed: store.seal = "off", or there
// is no keyring. kUnavailable while no slot opens it without an operator.
Result<std::unique_ptr<custody::Custody>> sealing_custody(const Context& context);

// The header of a model's pack, as it stands there: of a sealed one not authenticated.
Result<vault::PackHeader> header_of(const registry::Store& store,
                                    const registry::ModelRecord& model);

// Keys for imports, over the key holder. `custody` outlives it.
class HolderPackKeys final : public importer::PackKeys {
 public:
  explicit HolderPackKeys(custody::Custody& custody,
                          custody::DekChoice choice = custody::DekChoice::kStored)
      : custody_(custody), choice_(choice) {}
  Result<NewKey> new_key(const vault::ModelId& model_id) override;

 private:
  custody::Custody& custody_;
  const custody::DekChoice choice_;
};

// A socket with the keys of a sealed pack; invalid for a pack that is not sealed. kUnavailable
// while the keyring is sealed, kNotFound where this instance has no key of the pack.
Result<platform::UniqueFd> pack_keys(custody::Custody& custody, const platform::ByteSource& pack);
Result<platform::UniqueFd> pack_keys(const Context& context, const platform::ByteSource& pack);

// Opens a pack in this process, sealed or not: for commands that show what is in it. `file`
// outlives the reader.
Result<vault::PackReader> open_reader(const Context& context, const platform::ByteSource& file);

}  // namespace holdfast::cli
