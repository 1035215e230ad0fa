// The whole import with real processes: store, child, publication; and children that misbehave.
#include "holdfast/importer/importer.h"

#include <gmock/gmock.h>

#include <chrono>
#include <optional>
#include <thread>

#include "holdfast/vault/pack_reader.h"
#include "working_folder.h"

namespace holdfast::importer {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

using testing::kChild;

class Importer : public testing::WorkingFolder {
 protected:
  void SetUp() override {
    WorkingFolder::SetUp();
    if (dir_.empty()) return;
    auto store = registry::Store::open(fs_, platform::system_clock(), dir_ + "/data");
    ASSERT_TRUE(store.ok()) << store.error().to_string();
    store_ = *std::move(store);
    model_ = put("Tiny Model.gguf", testing::golden("llama-tied-ropefreqs"));
    options_.path = model_;
    options_.engine_program = kChild;
    options_.threads = 2;
  }
  Error failure() {
    const auto result = import_model(*store_, options_);
    EXPECT_FALSE(result.ok());
    // Nothing is left behind.
    EXPECT_THAT(*fs_.list(dir_ + "/data/packs"), IsEmpty());
    EXPECT_THAT(store_->list()->models, IsEmpty());
    return result.ok() ? internal_error("no error") : result.error();
  }

  platform::PosixFileSystem fs_;
  std::string model_;
  std::unique_ptr<registry::Store> store_;
  ImportOptions options_;
};

TEST_F(Importer, ImportsAndFindsAgain) {
  std::vector<std::string> phases;
  std::uint64_t last = 0;
  options_.on_progress = [&](const Progress& p) {
    if (phases.empty() || phases.back() != p.phase) phases.push_back(p.phase);
    if (p.phase == "converting") last = p.done_bytes;
  };
  const auto result = import_model(*store_, options_);
  ASSERT_TRUE(result.ok()) << result.error().to_string();
  EXPECT_FALSE(result->was_there);
  EXPECT_EQ(result->model.name.full(), "tiny-model:latest");
  EXPECT_EQ(result->model.facts.architecture, "llama");
  EXPECT_GT(result->model.facts.parameters, 100000u);
  EXPECT_THAT(phases, ::testing::ElementsAre("hashing", "converting", "finishing"));
  EXPECT_GT(last, 0u);
  const auto file = store_->open_pack(result->model);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(vault::PackReader::open(**file)->verify_all().ok());

  // The same bytes under another file name and model name: no child is needed.
  options_.engine_program = "/nonexistent";
  options_.path = put("copy.gguf", testing::golden("llama-tied-ropefreqs"));
  options_.name = "again:v2";
  const auto again = import_model(*store_, options_);
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_TRUE(again->was_there);
  EXPECT_EQ(again->model.pack, result->model.pack);
  EXPECT_EQ(store_->list()->models.size(), 2u);
  // Other options are another pack.
  options_.vocab_only = true;
  EXPECT_FALSE(import_model(*store_, options_).ok());
}

TEST_F(Importer, RecognisesAnUnchangedFileWithoutReadingIt) {
  const auto old = std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
  std::filesystem::last_write_time(model_, old);
  ASSERT_TRUE(import_model(*store_, options_).ok());
  bool hashed = false;
  options_.on_progress = [&](const Progress& p) { hashed = hashed || p.phase == "hashing"; };
  const auto again = import_model(*store_, options_);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->was_there);
  EXPECT_FALSE(hashed);
  // Touched: hashed again, and still the same bytes.
  std::filesystem::last_write_time(model_, old + std::chrono::seconds(1));
  EXPECT_TRUE(import_model(*store_, options_)->was_there);
  EXPECT_TRUE(hashed);
  // Changed: another model.
  options_.path = put("Tiny Model.gguf", testing::golden("llama-yarn"));
  std::filesystem::last_write_time(model_, old + std::chrono::seconds(2));
  EXPECT_FALSE(import_model(*store_, options_)->was_there);
  // A damaged cache costs time only.
  put("data/cache/digests.json", Bytes(50, std::byte{'{'}));
  EXPECT_TRUE(import_model(*store_, options_)->was_there);
}

TEST_F(Importer, ImportsSplitModelsFromAnyPartOrTheFolder) {
  const auto parts = testing::split_in_two(testing::golden("llama-tied-ropefreqs"));
  put("split/big-00001-of-00002.gguf", parts[0]);
  const std::string second = dir_ + "/split/big-00002-of-00002.gguf";
  options_.path = dir_ + "/split";
  EXPECT_THAT(failure().client_message(), HasSubstr("\"big-00002-of-00002.gguf\" is missing"));
  put("split/big-00002-of-00002.gguf", parts[1]);
  const auto from_folder = import_model(*store_, options_);
  ASSERT_TRUE(from_folder.ok()) << from_folder.error().to_string();
  EXPECT_EQ(from_folder->model.name.full(), "big:latest");
  options_.path = second;
  const auto from_part = import_model(*store_, options_);
  ASSERT_TRUE(from_part.ok());
  EXPECT_TRUE(from_part->was_there);
}

TEST_F(Importer, NamesTheFileInEveryError) {
  options_.path = put("text.gguf", Bytes(5000, std::byte{'x'}));
  const Error text = failure();
  EXPECT_EQ(text.code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(text.client_message(), HasSubstr("text.gguf: not a GGUF file"));
  Bytes bytes = testing::golden("llama-tied-ropefreqs");
  bytes.resize(bytes.size() / 2);
  options_.path = put("half.gguf", bytes);
  const Error half = failure();
  EXPECT_EQ(half.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(half.client_message(), HasSubstr("half.gguf: the model file is truncated"));
  options_.path = put("other.gguf",
                      testing::patched(testing::golden("llama-tied-ropefreqs"), "llama", "zlama"));
  EXPECT_THAT(failure().client_message(),
              HasSubstr("other.gguf: unsupported architecture \"zlama\""));
  options_.path = dir_ + "/absent.gguf";
  EXPECT_EQ(failure().code(), ErrorCode::kNotFound);
  options_.path = "/dev/null";
  EXPECT_EQ(failure().code(), ErrorCode::kInvalidArgument);
  options_.path = put("empty/readme.txt", {});
  options_.path = dir_ + "/empty";
  EXPECT_THAT(failure().client_message(), HasSubstr("no GGUF file"));
  put("two/a.gguf", {});
  put("two/b.gguf", {});
  options_.path = dir_ + "/two";
  EXPECT_THAT(failure().client_message(), HasSubstr("2 models"));
  options_.path = model_;
  options_.name = "../x";
  EXPECT_EQ(failure().code(), ErrorCode::kInvalidArgument);
}

TEST_F(Importer, SurvivesChildrenThatMisbehave) {
  options_.engine_program = script("kill -9 $$");
  const Error killed = failure();
  EXPECT_EQ(killed.code(), ErrorCode::kInternal);
  EXPECT_THAT(killed.client_message(), HasSubstr("Tiny Model.gguf"));
  EXPECT_THAT(killed.to_string(), HasSubstr("signal 9"));
  options_.engine_program = script("kill -SEGV $$");
  EXPECT_THAT(failure().to_string(), HasSubstr("signal 11"));
  options_.engine_program = script("exit 3");
  EXPECT_THAT(failure().to_string(), HasSubstr("status 3"));
  options_.engine_program = script("echo rubbish >&3");
  EXPECT_THAT(failure().client_message(), HasSubstr("Tiny Model.gguf"));
  options_.engine_program = "/nonexistent/holdfast-engine";
  failure();
  options_.engine_program = script(kChild + " \"$@\" & sleep 0.02; kill -9 $!; exit 9");
  ignore_error(import_model(*store_, options_), "it may have been done before the kill");
  // And the next import works.
  options_.engine_program = kChild;
  EXPECT_TRUE(import_model(*store_, options_).ok());
}

TEST_F(Importer, TwoImportsOfOneFileConvertItOnce) {
  std::vector<std::optional<ImportResult>> results(2);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, i] {
      ImportOptions options = options_;
      options.name = "m" + std::to_string(i);
      auto result = import_model(*store_, options);
      EXPECT_TRUE(result.ok()) << result.error().to_string();
      if (result.ok()) results[i] = *std::move(result);
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(results[0] && results[1]);
  EXPECT_NE(results[0]->was_there, results[1]->was_there);
  EXPECT_EQ(results[0]->model.pack, results[1]->model.pack);
  EXPECT_EQ(store_->list()->models.size(), 2u);
}

TEST_F(Importer, CancelsSoon) {
  std::atomic<bool> cancel = false;
  options_.cancel = &cancel;
  options_.engine_program = script("exec sleep 60");
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    cancel = true;
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(failure().code(), ErrorCode::kCancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  canceller.join();
}

}  // namespace
}  // namespace holdfast::importer
