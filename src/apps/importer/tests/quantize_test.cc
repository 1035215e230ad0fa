// The whole quantisation with real processes and files: child, jail, and what is left behind.
#include "holdfast/importer/quantize.h"

#include <gmock/gmock.h>

#include "holdfast/platform/filesystem.h"
#include "working_folder.h"

namespace holdfast::importer {
namespace {

using ::testing::HasSubstr;

using testing::kChild;

class QuantizeFiles : public testing::WorkingFolder {
 protected:
  void SetUp() override {
    WorkingFolder::SetUp();
    if (dir_.empty()) return;
    options_.input = put("in.gguf", testing::golden("llama-gqa-untied"));
    options_.output = dir_ + "/out.gguf";
    options_.type = "q4_k_m";
    options_.threads = 2;
    options_.engine_program = kChild;
  }
  Bytes content(const std::string& path) {
    return *platform::read_all(*platform::File::open_read(path), 1u << 30);
  }
  // Fails, and the folder is as it was.
  Error failure() {
    const auto files = [&] {
      std::vector<std::pair<std::string, std::uintmax_t>> all;
      for (const auto& entry : std::filesystem::directory_iterator(dir_)) {
        all.emplace_back(entry.path(), entry.is_regular_file() ? entry.file_size() : 0);
      }
      std::sort(all.begin(), all.end());
      return all;
    };
    const auto before = files();
    const auto result = quantize_model(options_);
    EXPECT_FALSE(result.ok());
    EXPECT_EQ(files(), before);
    return result.ok() ? internal_error("no error") : result.error();
  }

  QuantizeOptions options_;
};

TEST_F(QuantizeFiles, WritesAndReplacesWhenAsked) {
  const auto first = quantize_model(options_);
  ASSERT_TRUE(first.ok()) << first.error().to_string();
  EXPECT_EQ(first->type, "Q4_K_M");
  EXPECT_GT(first->encoded, 0u);
  EXPECT_EQ(first->bytes_out, std::filesystem::file_size(options_.output));
  EXPECT_LT(first->bytes_out, first->bytes_in);
  const Bytes bytes = content(options_.output);
  EXPECT_EQ(testing::parsed(bytes).tensors.size(), first->tensors);
  const Error there = failure();
  EXPECT_EQ(there.code(), ErrorCode::kConflict);
  options_.force = true;
  options_.threads = 1;
  ASSERT_TRUE(quantize_model(options_).ok());
  EXPECT_EQ(content(options_.output), bytes);
}

TEST_F(QuantizeFiles, ReadsSplitModels) {
  ASSERT_TRUE(quantize_model(options_).ok());
  const auto parts = testing::split_in_two(testing::golden("llama-gqa-untied"));
  put("x-00001-of-00002.gguf", parts[0]);
  options_.input = put("x-00002-of-00002.gguf", parts[1]);
  options_.output = dir_ + "/joined.gguf";
  const auto joined = quantize_model(options_);
  ASSERT_TRUE(joined.ok()) << joined.error().to_string();
  EXPECT_GT(joined->tensors, 0u);
}

TEST_F(QuantizeFiles, RefusesBadPathsAndTypes) {
  options_.type = "Q4_K";
  const Error type = failure();
  EXPECT_EQ(type.code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(type.hint(), HasSubstr("Q4_K_M"));
  options_.type = "Q4_0";
  options_.output = options_.input;
  options_.force = true;
  EXPECT_THAT(failure().client_message(), HasSubstr("one of the input files"));
  std::filesystem::create_hard_link(options_.input, dir_ + "/link.gguf");
  options_.output = dir_ + "/link.gguf";
  EXPECT_THAT(failure().client_message(), HasSubstr("one of the input files"));
  options_.output = dir_ + "/no/such/folder/out.gguf";
  EXPECT_EQ(failure().code(), ErrorCode::kNotFound);
  options_.output = dir_;
  EXPECT_EQ(failure().code(), ErrorCode::kInvalidArgument);
  options_.output = dir_ + "/out.gguf";
  options_.input = dir_ + "/absent.gguf";
  EXPECT_EQ(failure().code(), ErrorCode::kNotFound);
}

TEST_F(QuantizeFiles, NamesTheFileInWhatIsWrongWithIt) {
  options_.input = put("text.gguf", Bytes(5000, std::byte{'x'}));
  const Error text = failure();
  EXPECT_EQ(text.code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(text.client_message(), HasSubstr("text.gguf: not a GGUF file"));
  Bytes half = testing::golden("llama-gqa-untied");
  half.resize(half.size() / 2);
  options_.input = put("half.gguf", half);
  EXPECT_EQ(failure().code(), ErrorCode::kCorrupt);
  options_.input = put("whole.gguf", testing::golden("llama-gqa-untied"));
  options_.importance = put("old.dat", Bytes(100));
  EXPECT_EQ(failure().code(), ErrorCode::kUnsupported);
  options_.importance = options_.input;
  EXPECT_THAT(failure().client_message(), HasSubstr("not an importance matrix"));
}

TEST_F(QuantizeFiles, SurvivesChildrenThatMisbehave) {
  options_.engine_program = script("kill -9 $$");
  EXPECT_THAT(failure().to_string(), HasSubstr("signal 9"));
  options_.engine_program = script("exit 3");
  EXPECT_THAT(failure().to_string(), HasSubstr("status 3"));
  options_.engine_program = script("echo rubbish >&3");
  EXPECT_THAT(failure().client_message(), HasSubstr("in.gguf"));
  std::atomic<bool> cancel = true;
  options_.cancel = &cancel;
  options_.engine_program = script("exec sleep 60");
  EXPECT_EQ(failure().code(), ErrorCode::kCancelled);
}

}  // namespace
}  // namespace holdfast::importer
