// Oracle: float32 logits of `transformers` for the folders of tests/golden/hf. Both engines read
// every stored weight exactly and add in 32 bits, so rows differ by rounding alone: about 1e-6
// relative (L2) for some hundred products in a row; a wrong row order, scale, rotation or norm is
// above 1e-2.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "holdfast/checkpoint/checkpoint.h"
#include "holdfast/json/json.h"
#include "holdfast/kernels/select.h"
#include "holdfast/platform/file.h"
#include "tiny_model.h"

namespace holdfast::model {
namespace {

constexpr double kBound = 5e-6;

const std::filesystem::path kFolder = HOLDFAST_SOURCE_DIR "/tests/golden/hf";

std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// A folder with its files open.
struct Folder {
  explicit Folder(const std::string& name) {
    for (const auto& entry : std::filesystem::directory_iterator(kFolder / name)) {
      const std::string file = entry.path().filename();
      if (!checkpoint::is_checkpoint_file(file)) continue;
      auto opened = platform::File::open_read(entry.path());
      EXPECT_TRUE(opened.ok()) << file;
      files.push_back(std::make_unique<platform::File>(*std::move(opened)));
      given.push_back({file, files.back().get()});
    }
  }
  std::vector<std::unique_ptr<platform::File>> files;
  std::vector<checkpoint::SourceFile> given;
};

std::vector<float> kept_rows(const std::string& name) {
  const std::string bytes = text_of(kFolder / name / "logits.bin");
  std::vector<float> rows(bytes.size() / sizeof(float));
  std::memcpy(rows.data(), bytes.data(), rows.size() * sizeof(float));
  return rows;
}

std::vector<float> our_rows(TinyModel& tiny, const json::Value& expected) {
  const auto tables = kernels::available_kernels(platform::CpuFeatures::detect());
  const auto rows = static_cast<std::size_t>(expected.find("rows")->as_int());
  std::vector<float> out;
  for (const json::Value& prompt : expected.find("prompts")->as_array()) {
    std::vector<std::int32_t> ids;
    for (const json::Value& id : prompt.find("tokens")->as_array()) {
      ids.push_back(static_cast<std::int32_t>(id.as_int()));
    }
    const std::vector<float> logits =
        run_logits(tiny, *tables.back(), 256, ids, {.kv_type = kvcache::KvType::kF32});
    EXPECT_EQ(logits.size(), ids.size() * rows);
    for (const json::Value& at : prompt.find("positions")->as_array()) {
      const auto first = logits.begin() + at.as_int() * static_cast<std::int64_t>(rows);
      out.insert(out.end(), first, first + static_cast<std::int64_t>(rows));
    }
  }
  return out;
}

double distance(const std::vector<float>& ours, const std::vector<float>& theirs) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < theirs.size(); ++i) {
    difference += std::pow(static_cast<double>(ours[i]) - theirs[i], 2);
    norm += std::pow(static_cast<double>(theirs[i]), 2);
  }
  return std::sqrt(difference / norm);
}

class CheckpointLogits : public testing::TestWithParam<std::string> {};

TEST_P(CheckpointLogits, AreThoseOfTransformers) {
  const Folder folder(GetParam());
  const auto checkpoint = checkpoint::open(folder.given);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  const auto tiny = TinyModel::make(checkpoint->file, checkpoint->parts);
  const auto expected = json::parse(text_of(kFolder / GetParam() / "expected.json"));
  ASSERT_TRUE(expected.ok());
  const std::vector<float> theirs = kept_rows(GetParam());
  const std::vector<float> ours = our_rows(*tiny, *expected);
  ASSERT_EQ(ours.size(), theirs.size());
  const double error = distance(ours, theirs);
  RecordProperty("rel_l2", std::to_string(error));
  EXPECT_LT(error, kBound);
  std::printf("%s: relative distance %.2e\n", GetParam().c_str(), error);
}

std::vector<std::string> names() {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (std::filesystem::exists(entry.path() / "expected.json"))
      out.push_back(entry.path().filename());
  }
  std::sort(out.begin(), out.end());
  return out;
}

INSTANTIATE_TEST_SUITE_P(Hf, CheckpointLogits, testing::ValuesIn(names()),
                         [](const auto& instance) { return instance.param; });

// Every family that GGUF files may be of comes in this form too.
TEST(CheckpointLogits, CoverEveryFamily) {
  std::set<std::string> seen;
  for (const std::string& name : names()) {
    const Folder folder(name);
    const auto checkpoint = checkpoint::open(folder.given);
    ASSERT_TRUE(checkpoint.ok());
    seen.insert(std::string(*checkpoint->file.metadata.get_string("general.architecture")));
  }
  for (const ModelFamily& family : families()) {
    EXPECT_TRUE(seen.contains(std::string(family.architecture))) << family.architecture;
  }
}

}  // namespace
}  // namespace holdfast::model
