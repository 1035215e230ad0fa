// Which files make up the model that a path names.
#pragma once

#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/platform/filesystem.h"

namespace holdfast::importer {

struct ModelFiles {
  std::vector<std::string> paths;  // in the order of their numbers
  std::string name;                // a model name made from the file's name
  bool checkpoint =
      false;  // the files of a folder in safetensors form, in the order of their names
};

// `path` is a GGUF file, any part of a split model ("x-00002-of-00003.gguf"), or a folder that
// holds exactly one model, in GGUF or safetensors form (a file of the latter stands for its
// folder). kNotFound; kInvalidArgument for a folder without or with several models, or where parts
// are missing, naming them.
Result<ModelFiles> find_model_files(platform::FileSystem& fs, const std::string& path);

}  // namespace holdfast::importer
