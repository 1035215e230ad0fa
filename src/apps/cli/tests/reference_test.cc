// The pages of docs/reference are what the declarations in the code say. To write them anew, run
// this test with HOLDFAST_UPDATE_REFERENCE=1 in the environment.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "holdfast/cli/cli.h"

namespace holdfast::cli {
namespace {

void expect_page(const std::string& name, const std::string& generated) {
  const std::string path = HOLDFAST_SOURCE_DIR "/docs/reference/" + name;
  if (std::getenv("HOLDFAST_UPDATE_REFERENCE") != nullptr) {
    std::ofstream(path, std::ios::binary) << generated;
    return;
  }
  std::ifstream in(path, std::ios::binary);
  const std::string committed((std::istreambuf_iterator<char>(in)),
                              std::istreambuf_iterator<char>());
  EXPECT_EQ(committed, generated) << path << " is not what the code says";
}

TEST(Reference, Commands) { expect_page("cli.md", reference_markdown()); }
TEST(Reference, Settings) { expect_page("settings.md", settings_markdown()); }
TEST(Reference, Metrics) { expect_page("metrics.md", metrics_markdown()); }
TEST(Reference, Errors) { expect_page("errors.md", errors_markdown()); }

}  // namespace
}  // namespace holdfast::cli
