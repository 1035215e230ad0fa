#include <algorithm>

#include "catalog_json.h"
#include "holdfast/fetch/catalog.h"
#include "holdfast/fetch/source.h"

namespace holdfast::fetch {
namespace {

constexpr std::size_t kLicenseBytesMax = 256;
constexpr std::size_t kPathBytesMax = 1024;
constexpr std::size_t kListedMax = 12;
constexpr std::string_view kSignature = "model.sig";

bool is_commit(std::string_view text) {
  return (text.size() == 40 || text.size() == 64) && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// The last component is what the file is called here; the folders above it must not leave the
// repository.
bool is_repository_path(std::string_view path) {
  if (path.empty() || path.size() > kPathBytesMax) return false;
  while (true) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (slash == std::string_view::npos) return is_plain_file_name(part);
    const bool control = std::ranges::any_of(part, [](char c) {
      return static_cast<unsigned char>(c) < 0x20 || c == '\\' || c == 0x7f;
    });
    if (part.empty() || part == "." || part == ".." || control) return false;
    path.remove_prefix(slash + 1);
  }
}

// nullopt: not a file of interest.
Result<std::optional<RemoteFile>> parse_entry(const json::Value& entry) {
  HF_TRY_ASSIGN(const std::string type, member_text(entry, "type"));
  HF_TRY_ASSIGN(const std::string path, member_text(entry, "path"));
  if (type != "file" || !is_repository_path(path)) return std::optional<RemoteFile>();
  RemoteFile file;
  file.path = path;
  file.name = path.substr(path.rfind('/') + 1);
  const json::Value* lfs = entry.find("lfs");
  if (lfs != nullptr && lfs->is_object()) {
    HF_TRY_ASSIGN(std::string oid, member_text(*lfs, "oid"));
    if (oid.starts_with("sha256:")) oid.erase(0, 7);
    const auto digest = parse_hex_digest(oid);
    if (!digest.ok()) return bad_catalog("lfs.oid is no digest");
    file.sha256 = *digest;
    HF_TRY_ASSIGN(file.size_bytes, member_size(*lfs, "size"));
  } else {
    HF_TRY_ASSIGN(file.git_id, member_text(entry, "oid"));
    if (file.git_id.size() != 40 || !is_commit(file.git_id)) return bad_catalog("oid is no digest");
    HF_TRY_ASSIGN(file.size_bytes, member_size(entry, "size"));
  }
  return std::optional<RemoteFile>(std::move(file));
}

std::string upper(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return out;
}

bool is_word(char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// The quantisation stands in the path as a word of its own: Q4_K is not in Q4_K_M, Q4_XS not in
// IQ4_XS.
bool has_quantization(const std::string& path, std::string_view quantization) {
  const std::string where = upper(path), what = upper(quantization);
  const bool names_one = std::ranges::any_of(what, [](char c) { return c >= '0' && c <= '9'; });
  if (!names_one) return false;
  for (std::size_t at = where.find(what); at != std::string::npos; at = where.find(what, at + 1)) {
    const std::size_t end = at + what.size();
    const bool starts = at == 0 || !is_word(where[at - 1]);
    const bool ends = end == where.size() || (!is_word(where[end]) && where[end] != '_');
    if (starts && ends) return true;
  }
  return false;
}

struct PartNumber {
  std::string prefix;
  std::size_t number = 0, count = 0;
};

// "x-00002-of-00005.gguf".
std::optional<PartNumber> part_number(const std::string& path) {
  constexpr std::string_view kShape = "-00000-of-00000.gguf";
  if (path.size() <= kShape.size()) return std::nullopt;
  const std::string_view tail = std::string_view(path).substr(path.size() - kShape.size());
  const auto number = parse_length(tail.substr(1, 5));
  const auto count = parse_length(tail.substr(10, 5));
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || !number || !count) return std::nullopt;
  return PartNumber{path.substr(0, path.size() - kShape.size()), *number, *count};
}

bool is_model_file(const RemoteFile& file) {
  return file.name.ends_with(".gguf") && !file.name.starts_with("mmproj") &&
         file.name.find("imatrix") == std::string::npos;
}

// All parts of the model that `file` is, or is the first part of.
Result<Selection> with_parts(const std::vector<RemoteFile>& tree, const RemoteFile& file) {
  Selection out;
  const auto part = part_number(file.path);
  if (!part) {
    out.files.push_back(file);
    out.entry = file.name;
    return out;
  }
  if (part->count == 0 || part->count > kFilesMax) return bad_catalog("a model has too many parts");
  for (std::size_t i = 1; i <= part->count; ++i) {
    const auto found = std::ranges::find_if(tree, [&](const RemoteFile& f) {
      const auto p = part_number(f.path);
      return p && p->prefix == part->prefix && p->count == part->count && p->number == i;
    });
    if (found == tree.end()) {
      return not_found("part " + std::to_string(i) + " of " + std::to_string(part->count) +
                       " of the model is not in the repository");
    }
    out.files.push_back(*found);
  }
  out.entry = out.files.front().name;
  return out;
}

bool is_folder_file(const RemoteFile& file) {
  if (file.path != file.name) return false;  // of the top folder only
  return file.name.ends_with(".safetensors") || file.name == "model.safetensors.index.json" ||
         file.name == "config.json" || file.name == "tokenizer.json" ||
         file.name == "tokenizer_config.json" || file.name == "generation_config.json" ||
         file.name == "special_tokens_map.json" || file.name == "chat_template.jinja" ||
         file.name == "chat_template.json";
}

Result<Selection> select_folder(const std::vector<RemoteFile>& tree) {
  Selection out;
  bool weights = false;
  bool config = false;
  for (const RemoteFile& file : tree) {
    if (!is_folder_file(file)) continue;
    weights = weights || file.name.ends_with(".safetensors");
    config = config || file.name == "config.json";
    out.files.push_back(file);
  }
  if (!weights || !config)
    return not_found("the repository has neither a GGUF file nor a model in safetensors form");
  return out;
}

Error no_such_file(const std::vector<const RemoteFile*>& models, std::string_view wanted) {
  std::string names;
  for (std::size_t i = 0; i < std::min(models.size(), kListedMax); ++i)
    names += (i == 0 ? "" : ", ") + models[i]->path;
  if (models.size() > kListedMax) names += ", ...";
  return not_found("the repository has no model '" + std::string(wanted) + "'")
      .with_hint("it has: " + names);
}

const RemoteFile* choose(const std::vector<const RemoteFile*>& models, std::string_view wanted) {
  const auto find = [&](std::string_view quantization) -> const RemoteFile* {
    for (const RemoteFile* m : models) {
      if (has_quantization(m->path, quantization)) return m;
    }
    return nullptr;
  };
  if (!wanted.empty()) return find(wanted);
  for (const std::string_view usual : {"Q4_K_M", "Q8_0"}) {
    if (const RemoteFile* found = find(usual)) return found;
  }
  return models.front();
}

Result<Selection> select_model(const std::vector<RemoteFile>& tree, std::string_view file,
                               std::string_view quantization) {
  std::vector<const RemoteFile*> models;
  for (const RemoteFile& f : tree) {
    if (is_model_file(f)) models.push_back(&f);
  }
  if (!file.empty()) {
    for (const RemoteFile* m : models) {
      if (m->path == file) return with_parts(tree, *m);
    }
    return no_such_file(models, file);
  }
  if (models.empty() && quantization.empty()) return select_folder(tree);
  const RemoteFile* chosen = models.empty() ? nullptr : choose(models, quantization);
  if (chosen == nullptr) return no_such_file(models, quantization);
  return with_parts(tree, *chosen);
}

}  // namespace

Result<HubRevision> parse_hub_revision(std::string_view text) {
  HF_TRY_ASSIGN(const json::Value answer, parse_catalog(text));
  HubRevision out;
  HF_TRY_ASSIGN(out.commit, member_text(answer, "sha"));
  if (!is_commit(out.commit)) return bad_catalog("sha is no commit");
  const json::Value* gated = answer.find("gated");
  out.gated = gated != nullptr && (gated->is_string() || (gated->is_bool() && gated->as_bool()));
  const json::Value* card = answer.find("cardData");
  const json::Value* license = card == nullptr ? nullptr : card->find("license");
  if (license != nullptr && license->is_string())
    out.license = license->as_string().substr(0, kLicenseBytesMax);
  return out;
}

Result<std::vector<RemoteFile>> parse_hub_tree(std::string_view text) {
  HF_TRY_ASSIGN(const json::Value answer, parse_catalog(text));
  if (!answer.is_array()) return bad_catalog("the list of files is none");
  if (answer.as_array().size() > kTreeEntriesMax)
    return exhausted("the repository has too many files");
  std::vector<RemoteFile> files;
  for (const json::Value& entry : answer.as_array()) {
    HF_TRY_ASSIGN(auto file, parse_entry(entry));
    if (file) files.push_back(*std::move(file));
  }
  return files;
}

std::string next_page(std::string_view link) {
  while (!link.empty()) {
    const std::size_t open = link.find('<');
    const std::size_t close = link.find('>', open == std::string_view::npos ? 0 : open);
    if (open == std::string_view::npos || close == std::string_view::npos) return "";
    const std::size_t end = std::min(link.find(",", close), link.size());
    const std::string_view parameters = link.substr(close, end - close);
    if (parameters.find("rel=\"next\"") != std::string_view::npos ||
        parameters.find("rel=next") != std::string_view::npos)
      return std::string(link.substr(open + 1, close - open - 1));
    link.remove_prefix(end);
  }
  return "";
}

Result<Selection> select_files(const std::vector<RemoteFile>& tree, std::string_view file,
                               std::string_view quantization) {
  HF_TRY_ASSIGN(Selection out, select_model(tree, file, quantization));
  for (const RemoteFile& f : tree) {
    if (f.path == kSignature) out.files.push_back(f);
  }
  std::vector<std::string> names;
  for (const RemoteFile& f : out.files) {
    if (f.size_bytes > kFileBytesMax) return exhausted("a file of the model is too large");
    names.push_back(f.name);
  }
  std::ranges::sort(names);
  if (std::ranges::adjacent_find(names) != names.end())
    return bad_catalog("two files of the model have one name");
  if (names.size() > kFilesMax) return exhausted("the model has too many files");
  return out;
}

}  // namespace holdfast::fetch
