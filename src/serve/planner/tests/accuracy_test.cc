// The committed report card is what the code says today. To write it anew, run this test with
// HOLDFAST_UPDATE_REFERENCE=1 in the environment.
#include "holdfast/planner/accuracy.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace holdfast::planner {
namespace {

TEST(AccuracyTest, TheCommittedPageIsTrue) {
  const std::string page =
      accuracy_markdown(summarize(leave_one_device_out(shipped_measurements())));
  const std::string path = HOLDFAST_SOURCE_DIR "/docs/reference/planner-accuracy.md";
  if (std::getenv("HOLDFAST_UPDATE_REFERENCE") != nullptr) {
    std::ofstream(path, std::ios::binary) << page;
    return;
  }
  std::ifstream in(path, std::ios::binary);
  const std::string committed((std::istreambuf_iterator<char>(in)),
                              std::istreambuf_iterator<char>());
  EXPECT_EQ(committed, page) << path << " is not what the code says";
}

}  // namespace
}  // namespace holdfast::planner
