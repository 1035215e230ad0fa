#include "checkpoint_files.h"

#include <algorithm>

#include "holdfast/checkpoint/checkpoint.h"
#include "holdfast/registry/model_name.h"

namespace holdfast::importer {
namespace {

constexpr std::string_view kWeights = ".safetensors";
constexpr std::size_t kFilesMax = 1005;  // 999 shards and what stands beside them

// Some publishers put their own arrangement of the same weights into the same folder.
bool is_other_arrangement(std::string_view name) { return name.starts_with("consolidated"); }

bool is_weights(std::string_view name) {
  return name.ends_with(kWeights) && !is_other_arrangement(name);
}

bool is_pickle(std::string_view name) {
  return name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth") ||
         name.ends_with(".ckpt") || name.ends_with(".pkl");
}

Error no_weights(const std::vector<platform::DirectoryEntry>& entries,
                 const std::string& directory) {
  const auto pickle = std::find_if(entries.begin(), entries.end(),
                                   [](const auto& entry) { return is_pickle(entry.name); });
  if (pickle == entries.end()) {
    return invalid_argument("the folder holds no model.safetensors", directory);
  }
  return unsupported("unsupported weights \"" + pickle->name +
                         "\": a pickle, which can run code when it is read",
                     directory)
      .with_hint("Holdfast imports safetensors and GGUF files.");
}

}  // namespace

bool holds_checkpoint(const std::vector<platform::DirectoryEntry>& entries) {
  return std::any_of(entries.begin(), entries.end(), [](const auto& entry) {
    return entry.name == "config.json" || is_weights(entry.name);
  });
}

Result<ModelFiles> checkpoint_files(const std::string& directory,
                                    const std::vector<platform::DirectoryEntry>& entries) {
  ModelFiles files;
  files.checkpoint = true;
  std::string trimmed = directory;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  files.name = registry::model_name_from_file(std::string(platform::base_name(trimmed)));
  bool weights = false;
  std::vector<std::string> names;
  for (const platform::DirectoryEntry& entry : entries) {
    if (!checkpoint::is_checkpoint_file(entry.name) || is_other_arrangement(entry.name)) continue;
    weights = weights || is_weights(entry.name);
    names.push_back(entry.name);
  }
  if (!weights) return no_weights(entries, directory);
  if (names.size() > kFilesMax) {
    return invalid_argument("the folder holds " + std::to_string(names.size()) +
                            " files of one model, limit " + std::to_string(kFilesMax));
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) files.paths.push_back(platform::join_path(directory, name));
  return files;
}

}  // namespace holdfast::importer
