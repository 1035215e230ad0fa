// A folder of its own for each test of the importer, and programs to stand in for its child.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "golden_files.h"
#include "holdfast/base/bytes.h"

namespace holdfast::importer::testing {

inline const std::string kChild = HOLDFAST_BINARY_DIR "/bin/importer_test_child";

class WorkingFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    if (golden_names().empty()) GTEST_SKIP() << "no golden files";
    std::string pattern = ::testing::TempDir() + "/holdfast-importer-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override {
    if (!dir_.empty()) std::filesystem::remove_all(dir_);
  }
  std::string put(const std::string& name, const Bytes& bytes) {
    const std::string path = dir_ + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    return path;
  }
  std::string script(const std::string& text) {
    const std::string path = dir_ + "/child.sh";
    std::ofstream(path) << "#!/bin/sh\n" << text << "\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
  }

  std::string dir_;
};

}  // namespace holdfast::importer::testing
