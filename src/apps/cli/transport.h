// Bundles: models that leave for another site, and come from one.
#pragma once

#include <string>

#include "commands/seal_secrets.h"
#include "context.h"
#include "holdfast/base/result.h"
#include "holdfast/registry/store.h"

namespace holdfast::cli {

struct ExportFlags {
  std::string model;
  std::string output;
  SecretFlags secrets;      // the first passphrase opens the bundle
  ApproverFlags approvers;  // of a sealed model, whose key leaves the keyring
};

struct Exported {
  registry::ModelRecord model;
  std::string digest;  // of the bundle, hexadecimal
  std::uint64_t bytes = 0;
  bool sealed = false;
};

// Writes the bundle, whole or not at all. kConflict for an output that exists; kCorrupt for a
// damaged model; kUnavailable while the keyring is sealed; kInvalidArgument without a passphrase
// for a sealed one.
Result<Exported> export_bundle(const Context& context, const ExportFlags& flags);

struct ImportedBundle {
  registry::ModelRecord model;
  std::string digest;
  bool was_there = false;
  std::uint64_t bytes_kept = 0;  // of an import that was interrupted
};

// The passphrase that comes from `fd`: up to the line end, so that a file and a prompt give the
// same. kInvalidArgument for an empty one.
Result<crypto::Secret> read_passphrase(int fd);

// True for a file that may be a bundle: `holdfast import` takes it as one then.
bool looks_like_bundle(const std::string& path);

// Errors of bundle::Bundle and importer::import_pack; kDenied for another passphrase. `name` is
// empty for the bundle's own.
Result<ImportedBundle> import_bundle(const Context& context, registry::Store& store,
                                     const std::string& path, const std::string& name,
                                     const SecretFlags& secrets);

}  // namespace holdfast::cli
