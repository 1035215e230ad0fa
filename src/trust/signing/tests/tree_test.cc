// Oracle: what was written there.
#include "holdfast/signing/tree.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace holdfast::signing {
namespace {

class TreeTest : public testing::Test {
 protected:
  TreeTest() {
    std::string name = "/tmp/holdfast-signing-XXXXXX";
    root_ = ::mkdtemp(name.data());
    write("weights", "wwww");
    write("sub/config", "c");
    write(".git/config", "ignored");
    write("model.sig", "the signature");
  }
  ~TreeTest() override { std::filesystem::remove_all(root_); }
  void write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = std::filesystem::path(root_) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  TreeOptions options() const {
    TreeOptions out;
    out.bundle = root_ + "/model.sig";
    return out;
  }
  Statement stated() {
    Statement out;
    out.resources = *hash_files(files_, root_, options());
    out.root = root_digest(out.resources);
    return out;
  }
  std::string why(const Statement& statement) {
    const Status status = check_files(files_, root_, statement, options());
    return status.ok() ? "ok" : status.error().client_message();
  }
  Statement sharded() {
    Statement out;
    out.method = Method::kShards;
    out.shard_size = 3;
    out.resources = {{"sub/config:0:1", crypto::sha256(as_bytes_view("c"))},
                     {"weights:0:3", crypto::sha256(as_bytes_view("www"))},
                     {"weights:3:4", crypto::sha256(as_bytes_view("w"))}};
    return out;
  }

  platform::PosixFileSystem files_;
  std::string root_;
};

TEST_F(TreeTest, FilesInTheirOrderWithoutTheSignature) {
  const Statement s = stated();
  ASSERT_EQ(s.resources.size(), 2u);
  EXPECT_EQ(s.resources[0].name, "sub/config");
  EXPECT_EQ(s.resources[1].digest, crypto::sha256(as_bytes_view("wwww")));
  EXPECT_EQ(why(s), "ok");
  const auto one = hash_files(files_, root_ + "/weights", {});
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->front().name, ".");
}

TEST_F(TreeTest, EachDifferenceIsNamed) {
  const Statement s = stated();
  write("weights", "wwwx");
  EXPECT_NE(why(s).find("weights was altered"), std::string::npos);
  write("weights", "wwww");
  write("extra", "");
  EXPECT_NE(why(s).find("extra is not signed"), std::string::npos);
  std::filesystem::remove(root_ + "/extra");
  std::filesystem::remove(root_ + "/sub/config");
  EXPECT_NE(why(s).find("sub/config is missing"), std::string::npos);
}

TEST_F(TreeTest, IgnoredOnlyAtTheTopAndAsStated) {
  Statement s = stated();
  write("notes/a", "n");
  EXPECT_NE(why(s), "ok");
  s.ignore_paths = {"notes"};
  EXPECT_EQ(why(s), "ok");
  write("notes2", "n");
  EXPECT_NE(why(s), "ok");
  std::filesystem::remove(root_ + "/notes2");
  write("sub/.git/x", "n");
  EXPECT_NE(why(s).find("sub/.git/x is not signed"), std::string::npos);
}

// Whoever signs must not leave out what is then used.
TEST_F(TreeTest, WhatIsUsedMustBeSigned) {
  Statement s = stated();
  s.resources.pop_back();
  s.ignore_paths = {"weights"};
  EXPECT_EQ(why(s), "ok");
  TreeOptions used = options();
  used.known[root_ + "/weights"] = crypto::sha256(as_bytes_view("wwww"));
  EXPECT_EQ(check_files(files_, root_, s, used).error().code(), ErrorCode::kCorrupt);
  EXPECT_TRUE(check_files(files_, root_, stated(), used).ok());
}

TEST_F(TreeTest, LinksAreRefused) {
  const Statement s = stated();
  std::filesystem::create_symlink("weights", root_ + "/link");
  EXPECT_NE(why(s).find("symbolic links"), std::string::npos);
}

TEST_F(TreeTest, Shards) {
  EXPECT_EQ(why(sharded()), "ok");
  Statement gap = sharded();
  gap.resources.erase(gap.resources.begin() + 1);
  EXPECT_NE(why(gap), "ok");
  Statement tail = sharded();
  tail.resources.pop_back();
  EXPECT_NE(why(tail), "ok");
  write("weights", "wwwx");
  EXPECT_NE(why(sharded()).find("weights:3:4 was altered"), std::string::npos);
  write("weights", "wwwww");
  EXPECT_NE(why(sharded()), "ok");
  std::filesystem::remove(root_ + "/weights");
  EXPECT_NE(why(sharded()).find("weights is missing"), std::string::npos);
}

}  // namespace
}  // namespace holdfast::signing
