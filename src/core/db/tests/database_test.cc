// Oracle: SQLite's own command-line rules by way of its pragmas, and files looked at from outside.
#include "holdfast/db/database.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "holdfast/platform/filesystem.h"

namespace holdfast::db {
namespace {

constexpr Sql kMigrations[] = {
    Sql("CREATE TABLE item(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT"),
    Sql("CREATE TABLE note(n INTEGER) STRICT")};

class DatabaseTest : public testing::Test {
 protected:
  DatabaseTest() {
    std::string name = "/tmp/holdfast-db-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    path_ = directory_ + "/state.db";
  }
  ~DatabaseTest() override { std::filesystem::remove_all(directory_); }

  Result<Database> open() { return Database::open(path_, kMigrations); }
  static Status put(Database& db, std::string_view name, std::string_view value) {
    HF_TRY_ASSIGN(Statement s, db.prepare("INSERT INTO item(name, value) VALUES (?, ?)"));
    return s.bind(name).bind(as_bytes_view(value)).run();
  }
  static std::int64_t count(Database& db) {
    auto s = db.prepare("SELECT count(*) FROM item");
    EXPECT_TRUE(s.ok() && s->step().ok());
    return s->integer(0);
  }

  std::string directory_;
  std::string path_;
};

TEST_F(DatabaseTest, KeepsWhatWasCommittedAndForgetsTheRest) {
  {
    auto db = open();
    ASSERT_TRUE(db.ok()) << db.error().to_string();
    ASSERT_TRUE(put(*db, "a", std::string("x\0y", 3)).ok());
    auto change = Transaction::begin(*db);
    ASSERT_TRUE(change.ok() && put(*db, "b", "").ok());
  }
  auto db = open();
  ASSERT_TRUE(db.ok());
  EXPECT_EQ(count(*db), 1);
  auto s = db->prepare("SELECT name, value FROM item");
  ASSERT_TRUE(s.ok() && *s->step());
  EXPECT_EQ(s->text(0), "a");
  EXPECT_EQ(s->blob(1), Bytes({std::byte{'x'}, std::byte{0}, std::byte{'y'}}));
}

TEST_F(DatabaseTest, IsPrivateAndConfigured) {
  auto db = open();
  ASSERT_TRUE(db.ok());
  struct stat info {};
  for (const char* suffix : {"", "-wal"}) {
    ASSERT_EQ(::stat((path_ + suffix).c_str(), &info), 0) << suffix;
    EXPECT_EQ(info.st_mode & 0777u, 0600u) << suffix;
  }
  for (const auto& [pragma, value] : {std::pair{Sql("PRAGMA journal_mode"), "wal"},
                                      {Sql("PRAGMA synchronous"), "2"},
                                      {Sql("PRAGMA secure_delete"), "1"},
                                      {Sql("PRAGMA user_version"), "2"}}) {
    auto s = db->prepare(pragma);
    ASSERT_TRUE(s.ok() && *s->step());
    EXPECT_EQ(s->text(0), value) << pragma.text();
  }
}

TEST_F(DatabaseTest, RefusesOpenPermissionsLaterVersionsAndDamage) {
  ASSERT_TRUE(open().ok());
  ASSERT_EQ(::chmod(path_.c_str(), 0640), 0);
  EXPECT_EQ(open().error().code(), ErrorCode::kDenied);
  ASSERT_EQ(::chmod(path_.c_str(), 0600), 0);
  EXPECT_EQ(Database::open(path_, std::span(kMigrations).first(1)).error().code(),
            ErrorCode::kUnsupported);
  ASSERT_EQ(::truncate(path_.c_str(), 0), 0);
  platform::PosixFileSystem files;
  const std::string junk(8192, 'j');
  ASSERT_TRUE(platform::write_file_atomic(files, path_, as_bytes_view(junk), 0600).ok());
  EXPECT_EQ(open().error().code(), ErrorCode::kCorrupt);
}

TEST_F(DatabaseTest, MigratesFromEachVersionAndNamesBrokenConstraints) {
  ASSERT_TRUE(Database::open(path_, std::span(kMigrations).first(1)).ok());
  auto db = open();
  ASSERT_TRUE(db.ok());
  EXPECT_TRUE(db->run("INSERT INTO note(n) VALUES (1)").ok());
  ASSERT_TRUE(put(*db, "a", "1").ok());
  EXPECT_EQ(put(*db, "a", "2").error().code(), ErrorCode::kConflict);
}

// secure_delete and the truncated log: no copy of a deleted value is left in the files.
TEST_F(DatabaseTest, DeletedContentIsGoneFromTheFiles) {
  const std::string canary = "canary-0123456789-abcdefghijklmnopqrstuvwxyz";
  auto db = open();
  ASSERT_TRUE(db.ok() && put(*db, "a", canary).ok());
  const auto holds = [&] {
    platform::PosixFileSystem files;
    for (const char* suffix : {"", "-wal"}) {
      const auto bytes = platform::read_file(files, path_ + suffix, 1u << 24);
      if (bytes.ok() && as_string_view(*bytes).find(canary) != std::string_view::npos) return true;
    }
    return false;
  };
  EXPECT_TRUE(holds());
  ASSERT_TRUE(db->run("DELETE FROM item").ok());
  ASSERT_TRUE(db->truncate_log().ok());
  EXPECT_FALSE(holds());
}

TEST_F(DatabaseTest, AFullDiskIsAnErrorAndChangesNothing) {
  ASSERT_TRUE(open().ok());
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{64 * 1024, 64 * 1024};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    auto db = open();
    if (!db.ok()) ::_exit(2);
    const Status s = put(*db, "big", std::string(1 << 20, 'b'));
    ::_exit(s.ok() ? 3 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  auto db = open();
  ASSERT_TRUE(db.ok());
  EXPECT_EQ(count(*db), 0);
}

}  // namespace
}  // namespace holdfast::db
