// An importer that its file has taken over, in its real jail: it reaches nothing, and nothing of it
// is kept. The jail's own tests (jail_test) show that the same attempts work outside.
#include <gmock/gmock.h>

#include "compromised/escapes.h"
#include "holdfast/importer/importer.h"
#include "working_folder.h"

namespace holdfast::importer {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CompromisedImporter : public testing::WorkingFolder {};

TEST_F(CompromisedImporter, ReachesNothing) {
  if (dir_.empty()) GTEST_SKIP() << "no golden files";
  platform::PosixFileSystem fs;
  auto opened = registry::Store::open(fs, platform::system_clock(), dir_ + "/data");
  ASSERT_TRUE(opened.ok());
  const auto store = *std::move(opened);
  for (int way = 0; way < static_cast<int>(Escape::kEnd); ++way) {
    Bytes model = testing::golden("llama-tied-ropefreqs");
    model.push_back(static_cast<std::byte>(way));
    ImportOptions options;
    options.path = put("hostile" + std::to_string(way) + ".gguf", model);
    options.engine_program = HOLDFAST_COMPROMISED_CHILD;
    const auto result = import_model(*store, options);
    ASSERT_FALSE(result.ok()) << "way " << way;
    // Ended by the kernel, or by itself after an error: both are said with the status.
    EXPECT_THAT(result.error().to_string(),
                AnyOf(HasSubstr("SIGSYS"), HasSubstr("signal 31"), HasSubstr("status 40")))
        << "way " << way;
    EXPECT_THAT(*fs.list(dir_ + "/data/packs"), IsEmpty());
    EXPECT_THAT(store->list()->models, IsEmpty());
  }
}

}  // namespace
}  // namespace holdfast::importer
