#include "holdfast/signing/tree.h"

#include <algorithm>
#include <set>

#include "holdfast/signing/bundle.h"

namespace holdfast::signing {
namespace {

constexpr std::size_t kPieceBytes = 4u << 20;
constexpr std::size_t kDepthMax = 64;

bool is_ignored(std::string_view relative, const TreeOptions& options) {
  const auto covers = [&](const std::string& path) {
    return relative == path || (relative.size() > path.size() && relative.starts_with(path) &&
                                relative[path.size()] == '/');
  };
  return std::any_of(options.ignore_paths.begin(), options.ignore_paths.end(), covers) ||
         std::any_of(default_ignored().begin(), default_ignored().end(), covers);
}

struct Found {
  std::string relative;
  std::string path;
};

Status find_files(platform::FileSystem& files, const std::string& directory,
                  const std::string& relative, std::size_t depth, const TreeOptions& options,
                  std::vector<Found>& out) {
  if (depth > kDepthMax) return exhausted("the model's folder is nested too deeply");
  HF_TRY_ASSIGN(const auto entries, files.list(directory));
  for (const platform::DirectoryEntry& entry : entries) {
    const std::string name = relative.empty() ? entry.name : relative + "/" + entry.name;
    const std::string path = directory + "/" + entry.name;
    if (path == options.bundle || is_ignored(name, options)) continue;
    if (entry.kind == platform::FileKind::kDirectory) {
      HF_TRY(find_files(files, path, name, depth + 1, options, out));
    } else if (entry.kind == platform::FileKind::kRegular) {
      if (out.size() == kResourcesMax) return exhausted("the model has too many files");
      out.push_back({name, path});
    } else {
      return invalid_argument("a signed model may hold no symbolic links or special files", name);
    }
  }
  return ok_status();
}

Result<std::vector<Found>> files_of(platform::FileSystem& files, std::string path,
                                    const TreeOptions& options) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  HF_TRY_ASSIGN(const platform::FileInfo info, files.stat(path));
  std::vector<Found> out;
  if (info.kind == platform::FileKind::kDirectory) {
    HF_TRY(find_files(files, path, "", 0, options, out));
  } else {
    out.push_back({".", path});
  }
  return out;
}

Result<crypto::Sha256Digest> hash_range(const platform::OpenFile& file, std::uint64_t start,
                                        std::uint64_t end, const TreeOptions& options) {
  crypto::Sha256 hash;
  Bytes piece(static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, end - start)));
  for (std::uint64_t at = start; at < end; at += piece.size()) {
    if (options.check) HF_TRY(options.check());
    piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), end - at)));
    HF_TRY(file.read_at(at, piece));
    hash.update(piece);
  }
  return hash.finish();
}

Result<crypto::Sha256Digest> hash_file(platform::FileSystem& files, const Found& found,
                                       const TreeOptions& options) {
  if (const auto it = options.known.find(found.path); it != options.known.end()) return it->second;
  HF_TRY_ASSIGN(const auto file, files.open_read(found.path));
  return hash_range(*file, 0, file->size(), options);
}

Error altered(std::string_view name) {
  return corrupt("the model is not what was signed: " + std::string(name) + " was altered");
}
Error missing(std::string_view name) {
  return corrupt("the model is not what was signed: " + std::string(name) + " is missing");
}
Error extra(std::string_view name) {
  return corrupt("the model is not what was signed: " + std::string(name) + " is not signed")
      .with_hint("remove the file, or have the model signed with it");
}

Status check_whole(platform::FileSystem& files, const std::vector<Found>& there,
                   const Statement& statement, const TreeOptions& options) {
  std::map<std::string_view, const Found*> by_name;
  for (const Found& f : there) by_name[f.relative] = &f;
  for (const Resource& r : statement.resources) {
    const auto it = by_name.find(r.name);
    if (it == by_name.end()) return missing(r.name);
    HF_TRY_ASSIGN(const crypto::Sha256Digest digest, hash_file(files, *it->second, options));
    if (digest != r.digest) return altered(r.name);
    by_name.erase(it);
  }
  return by_name.empty() ? ok_status() : Status(extra(by_name.begin()->first));
}

// The shards of each file follow each other without gap, from its first byte to its last.
Status check_shards(platform::FileSystem& files, const std::vector<Found>& there,
                    const Statement& statement, const TreeOptions& options) {
  std::map<std::string_view, std::map<std::uint64_t, std::pair<std::uint64_t, const Resource*>>>
      by_file;
  for (const Resource& r : statement.resources) {
    HF_TRY_ASSIGN(const Shard shard, parse_shard(r.name));
    by_file[shard.file][shard.start] = {shard.end, &r};
  }
  for (const Found& found : there) {
    const auto it = by_file.find(found.relative);
    if (it == by_file.end()) return extra(found.relative);
    HF_TRY_ASSIGN(const auto file, files.open_read(found.path));
    std::uint64_t at = 0;
    for (const auto& [start, shard] : it->second) {
      if (start != at || shard.first > file->size()) return altered(found.relative);
      HF_TRY_ASSIGN(const crypto::Sha256Digest digest,
                    hash_range(*file, start, shard.first, options));
      if (digest != shard.second->digest) return altered(shard.second->name);
      at = shard.first;
    }
    if (at != file->size()) return altered(found.relative);
    by_file.erase(it);
  }
  return by_file.empty() ? ok_status() : Status(missing(by_file.begin()->first));
}

}  // namespace

const std::vector<std::string>& default_ignored() {
  static const std::vector<std::string> kIgnored = {".git", ".gitattributes", ".github",
                                                    ".gitignore"};
  return kIgnored;
}

Result<std::vector<Resource>> hash_files(platform::FileSystem& files, const std::string& path,
                                         const TreeOptions& options) {
  HF_TRY_ASSIGN(const std::vector<Found> there, files_of(files, path, options));
  if (there.empty()) return invalid_argument("there is nothing to sign in the folder");
  std::vector<Resource> out;
  for (const Found& found : there) {
    HF_TRY_ASSIGN(const crypto::Sha256Digest digest, hash_file(files, found, options));
    out.push_back({found.relative, digest});
  }
  std::sort(out.begin(), out.end(),
            [](const Resource& a, const Resource& b) { return a.name < b.name; });
  return out;
}

Status check_files(platform::FileSystem& files, const std::string& path, const Statement& statement,
                   TreeOptions options) {
  options.ignore_paths.insert(options.ignore_paths.end(), statement.ignore_paths.begin(),
                              statement.ignore_paths.end());
  HF_TRY_ASSIGN(const std::vector<Found> there, files_of(files, path, options));
  for (const auto& [used, digest] : options.known) {
    const auto same = [&, &name = used](const Found& f) { return f.path == name; };
    if (std::none_of(there.begin(), there.end(), same)) {
      return corrupt("the signature leaves out a file of the model: " +
                     std::string(platform::base_name(used)));
    }
  }
  return statement.method == Method::kShards ? check_shards(files, there, statement, options)
                                             : check_whole(files, there, statement, options);
}

}  // namespace holdfast::signing
