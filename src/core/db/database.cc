#include "holdfast/db/database.h"

#include <sqlite3.h>

#include <cerrno>
#include <utility>

#include "holdfast/base/check.h"
#include "holdfast/platform/filesystem.h"

namespace holdfast::db {
namespace {

// Another process commits within milliseconds; longer means that it hangs.
constexpr int kBusyMs = 5'000;
constexpr unsigned kFileMode = 0600;

Error disk_is_full(const std::string& detail) {
  return exhausted("the disk is full: the state database did not change", detail)
      .with_hint("free some space in the data directory and try again");
}

// `code` is what a call on `db` has just returned.
Error error_of(sqlite3* db, int code, const char* what) {
  const std::string detail = std::string(what) + ": " + sqlite3_errstr(code);
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return unavailable("the state database is in use by another process", detail)
          .with_hint("try again; stop the other holdfast process if it hangs");
    case SQLITE_FULL:
      return disk_is_full(detail);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return corrupt("the state database is damaged", detail)
          .with_hint("restore state.db from a backup");
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
      return Error(ErrorCode::kDenied, "the state database cannot be opened for writing", detail);
    case SQLITE_CONSTRAINT:
      return conflict("the row exists already", detail);
    case SQLITE_NOMEM:
      return exhausted("not enough memory for the state database", detail);
    case SQLITE_IOERR:
      // The index of the log could not grow.
      if (sqlite3_system_errno(db) == ENOSPC) return disk_is_full(detail);
      return Error(ErrorCode::kIo, "the state database cannot be read or written", detail);
    default:
      return internal_error("the state database refused a statement", detail);
  }
}

// SQLite would create the file as the umask says, and its log with the same mode.
Status prepare_file(const std::string& path) {
  platform::PosixFileSystem files;
  auto made = files.create_exclusive(path, kFileMode);
  if (made.ok()) return files.sync_dir(platform::parent_path(path));
  if (made.error().code() != ErrorCode::kConflict) return made.error();
  HF_TRY_ASSIGN(const platform::FileInfo info, files.stat(path));
  if ((info.mode & 077) != 0) {
    return Error(ErrorCode::kDenied, "the state database can be read by others", path)
        .with_hint("chmod 600 " + path);
  }
  return ok_status();
}

}  // namespace

struct Database::Handle {
  sqlite3* db = nullptr;
  ~Handle() { sqlite3_close_v2(db); }
};

struct Statement::State {
  sqlite3_stmt* statement = nullptr;
  int bound = 0;
  int bind_error = SQLITE_OK;
  ~State() { sqlite3_finalize(statement); }
};

Statement::Statement(std::unique_ptr<State> state) : state_(std::move(state)) {}
Statement::Statement(Statement&&) noexcept = default;
Statement& Statement::operator=(Statement&&) noexcept = default;
Statement::~Statement() = default;

Statement& Statement::bind(std::int64_t value) {
  const int r = sqlite3_bind_int64(state_->statement, ++state_->bound, value);
  if (r != SQLITE_OK) state_->bind_error = r;
  return *this;
}

Statement& Statement::bind(std::string_view text) {
  const int r = sqlite3_bind_text64(state_->statement, ++state_->bound, text.data(), text.size(),
                                    SQLITE_TRANSIENT, SQLITE_UTF8);
  if (r != SQLITE_OK) state_->bind_error = r;
  return *this;
}

Statement& Statement::bind(ByteView bytes) {
  // A null pointer would be NULL, not an empty value.
  const void* data = bytes.empty() ? "" : static_cast<const void*>(bytes.data());
  const int r =
      sqlite3_bind_blob64(state_->statement, ++state_->bound, data, bytes.size(), SQLITE_TRANSIENT);
  if (r != SQLITE_OK) state_->bind_error = r;
  return *this;
}

Result<bool> Statement::step() {
  if (state_->bind_error != SQLITE_OK)
    return error_of(sqlite3_db_handle(state_->statement), state_->bind_error, "bind");
  const int r = sqlite3_step(state_->statement);
  if (r == SQLITE_ROW) return true;
  if (r == SQLITE_DONE) return false;
  return error_of(sqlite3_db_handle(state_->statement), r, "step");
}

Status Statement::run() {
  HF_TRY_ASSIGN(const bool row, step());
  HF_CHECK(!row);
  return ok_status();
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(state_->statement, column);
}

std::string Statement::text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(state_->statement, column));
  return text == nullptr
             ? std::string()
             : std::string(
                   text, static_cast<std::size_t>(sqlite3_column_bytes(state_->statement, column)));
}

Bytes Statement::blob(int column) const {
  const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(state_->statement, column));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(state_->statement, column));
  return data == nullptr ? Bytes() : Bytes(data, data + size);
}

Database::Database(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
Database::Database(Database&&) noexcept = default;
Database& Database::operator=(Database&&) noexcept = default;
Database::~Database() = default;

Result<Database> Database::open(const std::string& path, std::span<const Sql> migrations) {
  HF_TRY(prepare_file(path));
  auto handle = std::make_unique<Handle>();
  const int r = sqlite3_open_v2(
      path.c_str(), &handle->db,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
      nullptr);
  if (r != SQLITE_OK) return error_of(handle->db, r, "open").add_context(path);
  Database database(std::move(handle));
  HF_TRY(database.configure().context(path));
  HF_TRY(database.migrate(migrations).context(path));
  return database;
}

Status Database::configure() {
  sqlite3_busy_timeout(handle_->db, kBusyMs);
  sqlite3_db_config(handle_->db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle_->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  // Each answers with a row.
  for (const Sql pragma : {Sql("PRAGMA journal_mode=WAL"), Sql("PRAGMA synchronous=FULL"),
                           Sql("PRAGMA secure_delete=ON"), Sql("PRAGMA cell_size_check=ON")}) {
    HF_TRY_ASSIGN(Statement statement, prepare(pragma));
    HF_TRY(statement.step());
  }
  return ok_status();
}

Status Database::migrate(std::span<const Sql> migrations) {
  HF_TRY_ASSIGN(Transaction change, Transaction::begin(*this));
  std::int64_t version = 0;
  {
    HF_TRY_ASSIGN(Statement query, prepare("PRAGMA user_version"));
    HF_TRY(query.step());
    version = query.integer(0);
  }
  const auto known = static_cast<std::int64_t>(migrations.size());
  if (version > known)
    return unsupported("the state database was written by a later version of Holdfast");
  if (version < 0) return corrupt("the state database has no valid version");
  for (auto at = static_cast<std::size_t>(version); at < migrations.size(); ++at) {
    const int r = sqlite3_exec(handle_->db, migrations[at].text(), nullptr, nullptr, nullptr);
    if (r != SQLITE_OK) return error_of(handle_->db, r, "migration");
  }
  if (version < known) {
    // A PRAGMA takes no parameters; the number is ours.
    const std::string set = "PRAGMA user_version=" + std::to_string(known);
    const int r = sqlite3_exec(handle_->db, set.c_str(), nullptr, nullptr, nullptr);
    if (r != SQLITE_OK) return error_of(handle_->db, r, "schema version");
  }
  return change.commit();
}

Result<Statement> Database::prepare(Sql sql) {
  auto state = std::make_unique<Statement::State>();
  const int r = sqlite3_prepare_v3(handle_->db, sql.text(), -1, 0, &state->statement, nullptr);
  if (r != SQLITE_OK) return error_of(handle_->db, r, sqlite3_errmsg(handle_->db));
  return Statement(std::move(state));
}

Status Database::run(Sql sql) {
  HF_TRY_ASSIGN(Statement statement, prepare(sql));
  return statement.run();
}

std::int64_t Database::changes() const { return sqlite3_changes64(handle_->db); }

Status Database::truncate_log() {
  const int r =
      sqlite3_wal_checkpoint_v2(handle_->db, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  return r == SQLITE_OK ? ok_status() : Status(error_of(handle_->db, r, "checkpoint"));
}

Result<Transaction> Transaction::begin(Database& database) {
  HF_TRY(database.run("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::~Transaction() {
  if (database_ == nullptr) return;
  ignore_error(database_->run("ROLLBACK"), "SQLite undoes it by itself when the file is closed");
}

Status Transaction::commit() {
  HF_TRY(database_->run("COMMIT"));
  database_ = nullptr;
  return ok_status();
}

}  // namespace holdfast::db
