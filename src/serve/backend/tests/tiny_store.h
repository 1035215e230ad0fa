// A temporary store with tiny golden models, and a catalog over it whose packs a test may damage.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "holdfast/backend/native_backend.h"
#include "holdfast/importer/importer.h"
#include "holdfast/json/json.h"
#include "holdfast/platform/file.h"
#include "holdfast/registry/store.h"

namespace holdfast::backend::testing {

inline const std::string kTinyDir = HOLDFAST_SOURCE_DIR "/tests/golden/tiny";

// Prompts and the logits that an independent float64 program computed for their last position.
struct GoldenRow {
  std::vector<std::int32_t> prompt;
  std::vector<float> logits;
  std::int32_t best() const {
    return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) -
                                     logits.begin());
  }
};

inline std::vector<GoldenRow> golden_rows(const std::string& model) {
  std::vector<GoldenRow> rows;
  std::ifstream index(kTinyDir + "/index.jsonl");
  std::ifstream data(kTinyDir + "/" + model + ".logits.bin", std::ios::binary);
  for (std::string line; std::getline(index, line);) {
    const json::Value v = *json::parse(line);
    if (v.find("model")->as_string() != model) continue;
    GoldenRow row;
    for (const json::Value& id : v.find("ids")->as_array())
      row.prompt.push_back(static_cast<std::int32_t>(id.as_int()));
    const json::Array& positions = v.find("positions")->as_array();
    EXPECT_EQ(positions.back().as_int(), static_cast<std::int64_t>(row.prompt.size()) - 1);
    row.logits.resize(static_cast<std::size_t>(v.find("row_floats")->as_int()));
    const std::size_t last =
        static_cast<std::size_t>(v.find("first_row")->as_int()) + positions.size() - 1;
    data.seekg(static_cast<std::streamoff>(last * row.logits.size() * sizeof(float)));
    data.read(reinterpret_cast<char*>(row.logits.data()),
              static_cast<std::streamsize>(row.logits.size() * sizeof(float)));
    EXPECT_TRUE(data.good());
    rows.push_back(std::move(row));
  }
  return rows;
}

// The store's models; what is in `replaced` is opened instead of the store's pack.
class TinyCatalog final : public ModelCatalog {
 public:
  explicit TinyCatalog(registry::Store& store) : store_(store) {}

  std::vector<ModelFacts> list() override {
    std::vector<ModelFacts> models;
    const auto listing = store_.list();
    if (!listing.ok()) return models;
    for (const registry::ModelRecord& r : listing->models) models.push_back(facts(r));
    return models;
  }
  Result<ModelFacts> resolve(std::string_view name) override {
    const std::lock_guard lock(mutex_);
    const auto alias = aliases_.find(std::string(name));
    HF_TRY_ASSIGN(const registry::ModelRecord record,
                  store_.resolve(alias == aliases_.end() ? name : alias->second));
    return facts(record);
  }
  Result<platform::UniqueFd> open_keys(const ModelFacts&) override { return platform::UniqueFd(); }
  Result<platform::UniqueFd> open_pack(const ModelFacts& model) override {
    const std::lock_guard lock(mutex_);
    if (const auto it = replaced_.find(model.id); it != replaced_.end()) {
      HF_TRY_ASSIGN(platform::File file, platform::File::open_read(it->second));
      return std::move(file).release();
    }
    HF_TRY_ASSIGN(const registry::ModelRecord record, store_.resolve(model.id));
    HF_TRY_ASSIGN(const auto file, store_.open_pack(record));
    return platform::UniqueFd(::dup(file->fd()));
  }

  void add_alias(const std::string& alias, const std::string& model) { aliases_[alias] = model; }
  void replace(const std::string& model, const std::string& path) {
    const std::lock_guard lock(mutex_);
    replaced_[model] = path;
  }
  void restore(const std::string& model) {
    const std::lock_guard lock(mutex_);
    replaced_.erase(model);
  }

 private:
  static ModelFacts facts(const registry::ModelRecord& r) {
    ModelFacts f;
    f.id = r.name.full();
    f.architecture = r.facts.architecture;
    f.size_bytes = r.size_bytes;
    return f;
  }

  registry::Store& store_;
  std::mutex mutex_;
  std::map<std::string, std::string> aliases_;
  std::map<std::string, std::string> replaced_;
};

// "tiny:latest" (llama-gqa-untied), "other:latest" (qwen2-bias).
class TinyStore {
 public:
  TinyStore() {
    std::string pattern = ::testing::TempDir() + "/holdfast-backend-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    dir = pattern;
    auto opened = registry::Store::open(fs_, platform::system_clock(), dir + "/data");
    EXPECT_TRUE(opened.ok()) << opened.error().to_string();
    store = *std::move(opened);
    import("llama-gqa-untied", "tiny");
    catalog = std::make_shared<TinyCatalog>(*store);
  }
  ~TinyStore() { std::filesystem::remove_all(dir); }
  TinyStore(const TinyStore&) = delete;
  TinyStore& operator=(const TinyStore&) = delete;

  void import(const std::string& golden, const std::string& name) {
    importer::ImportOptions options;
    options.path = kTinyDir + "/" + golden + ".gguf";
    options.name = name;
    options.engine_program = HOLDFAST_ENGINE;
    const auto result = importer::import_model(*store, options);
    EXPECT_TRUE(result.ok()) << result.error().to_string();
  }

  Result<platform::UniqueFd> open(const std::string& model) {
    HF_TRY_ASSIGN(const ModelFacts facts, catalog->resolve(model));
    return catalog->open_pack(facts);
  }

  // A copy of the model's pack with one byte changed.
  std::string damaged(const std::string& model, std::uint64_t from_the_end) {
    const auto record = store->resolve(model);
    const auto file = store->open_pack(*record);
    Bytes bytes = *platform::read_all(**file, 1u << 30);
    bytes[bytes.size() - from_the_end] ^= std::byte{1};
    const std::string path = dir + "/damaged.hfc";
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    return path;
  }

  std::string dir;
  std::unique_ptr<registry::Store> store;
  std::shared_ptr<TinyCatalog> catalog;

 private:
  platform::PosixFileSystem fs_;
};

inline bool golden_files_exist() { return std::filesystem::exists(kTinyDir + "/index.jsonl"); }

}  // namespace holdfast::backend::testing
