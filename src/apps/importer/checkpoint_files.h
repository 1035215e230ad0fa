// Which files of a folder make up a model in safetensors form.
#pragma once

#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/platform/filesystem.h"
#include "model_files.h"

namespace holdfast::importer {

// Whether a folder with these entries holds a model in safetensors form: there is a config.json, or
// weights.
bool holds_checkpoint(const std::vector<platform::DirectoryEntry>& entries);

// The files of the model in `directory`, in the order of their names, which is also the order of
// their digests in the source digest. Weights in other forms beside them are not read.
// kInvalidArgument where there are no weights in safetensors form.
Result<ModelFiles> checkpoint_files(const std::string& directory,
                                    const std::vector<platform::DirectoryEntry>& entries);

}  // namespace holdfast::importer
