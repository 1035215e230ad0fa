// The files of a model on a disk, against what a statement says of them.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "holdfast/platform/filesystem.h"
#include "holdfast/signing/statement.h"

namespace holdfast::signing {

struct TreeOptions {
  std::vector<std::string> ignore_paths;  // below the model, with everything in them
  std::string bundle;                     // the signature's own file; empty: none
  // Digests of whole files that are known already, by path as it is opened. check_files() wants
  // each of them to be signed, whatever the statement ignores.
  std::map<std::string, crypto::Sha256Digest> known;
  std::function<Status()> check;  // called between pieces; an error ends the work
};

// What is ignored at the top of every model.
const std::vector<std::string>& default_ignored();

// One resource per file below `path`, or one named "." where it is a file; sorted by name.
// kInvalidArgument for symbolic links and special files; kExhausted above kResourcesMax.
Result<std::vector<Resource>> hash_files(platform::FileSystem& files, const std::string& path,
                                         const TreeOptions& options);

// Whether `path` holds exactly what `statement` says. kCorrupt names the first file that is
// altered, missing, or there without being signed.
Status check_files(platform::FileSystem& files, const std::string& path, const Statement& statement,
                   TreeOptions options);

}  // namespace holdfast::signing
