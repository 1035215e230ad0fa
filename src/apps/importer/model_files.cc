#include "model_files.h"

#include <algorithm>
#include <optional>
#include <set>

#include "checkpoint_files.h"
#include "holdfast/registry/model_name.h"

namespace holdfast::importer {
namespace {

constexpr std::uint32_t kPartsMax = 999;
constexpr std::size_t kDigits = 5;
// "-00001-of-00003.gguf"
constexpr std::string_view kSuffixShape = "-#####-of-#####.gguf";

struct SplitName {
  std::string stem;  // everything before the numbers
  std::uint32_t number = 0;
  std::uint32_t count = 0;
};

std::optional<SplitName> parse_split_name(std::string_view file_name) {
  if (file_name.size() <= kSuffixShape.size()) return std::nullopt;
  const std::string_view suffix = file_name.substr(file_name.size() - kSuffixShape.size());
  for (std::size_t i = 0; i < suffix.size(); ++i) {
    const bool digit = suffix[i] >= '0' && suffix[i] <= '9';
    if (kSuffixShape[i] == '#' ? !digit : suffix[i] != kSuffixShape[i]) return std::nullopt;
  }
  const auto number_at = [&](std::size_t begin) {
    std::uint32_t n = 0;
    for (const char c : suffix.substr(begin, kDigits)) n = n * 10 + static_cast<unsigned>(c - '0');
    return n;
  };
  return SplitName{std::string(file_name.substr(0, file_name.size() - suffix.size())), number_at(1),
                   number_at(kSuffixShape.find("of-") + 3)};
}

std::string part_name(const SplitName& split, std::uint32_t number) {
  const auto five = [](std::uint32_t n) {
    std::string digits = std::to_string(n);
    return std::string(kDigits - std::min(kDigits, digits.size()), '0') + digits;
  };
  return split.stem + "-" + five(number) + "-of-" + five(split.count) + ".gguf";
}

Result<ModelFiles> split_files(platform::FileSystem& fs, const std::string& directory,
                               const SplitName& split) {
  if (split.count == 0 || split.count > kPartsMax || split.number == 0 ||
      split.number > split.count) {
    return invalid_argument("\"" + part_name(split, split.number) + "\" is not a part of a model");
  }
  ModelFiles files;
  files.name = registry::model_name_from_file(split.stem);
  for (std::uint32_t i = 1; i <= split.count; ++i) {
    const std::string name = part_name(split, i);
    files.paths.push_back(platform::join_path(directory, name));
    if (!fs.exists(files.paths.back())) {
      return invalid_argument("the model is split into " + std::to_string(split.count) +
                              " files, and \"" + name + "\" is missing");
    }
  }
  return files;
}

Result<ModelFiles> files_of(platform::FileSystem& fs, const std::string& path) {
  const std::string name(platform::base_name(path));
  if (const auto split = parse_split_name(name)) {
    return split_files(fs, platform::parent_path(path), *split);
  }
  return ModelFiles{{path}, registry::model_name_from_file(name)};
}

Result<ModelFiles> only_model_in(platform::FileSystem& fs, const std::string& directory) {
  HF_TRY_ASSIGN(const auto entries, fs.list(directory));
  std::set<std::string> models;
  std::string first;
  for (const platform::DirectoryEntry& entry : entries) {
    if (!entry.name.ends_with(".gguf") || entry.kind == platform::FileKind::kDirectory) continue;
    const auto split = parse_split_name(entry.name);
    models.insert(split ? split->stem : entry.name);
    if (first.empty()) first = entry.name;
  }
  if (holds_checkpoint(entries)) {
    if (models.empty()) return checkpoint_files(directory, entries);
    return invalid_argument("the folder holds a model in GGUF and one in safetensors form",
                            directory)
        .with_hint("Name one file, for example \"" + first + "\".");
  }
  if (models.empty()) return invalid_argument("the folder holds no GGUF file", directory);
  if (models.size() > 1) {
    return invalid_argument("the folder holds " + std::to_string(models.size()) + " models",
                            directory)
        .with_hint("Name one file, for example \"" + first + "\".");
  }
  return files_of(fs, platform::join_path(directory, first));
}

}  // namespace

Result<ModelFiles> find_model_files(platform::FileSystem& fs, const std::string& path) {
  HF_TRY_ASSIGN(const platform::FileInfo info, fs.stat(path));
  if (info.kind == platform::FileKind::kDirectory) return only_model_in(fs, path);
  if (path.ends_with(".safetensors")) {
    const std::string directory = platform::parent_path(path);
    HF_TRY_ASSIGN(const auto entries, fs.list(directory));
    return checkpoint_files(directory, entries);
  }
  return files_of(fs, path);
}

}  // namespace holdfast::importer
