// Database: a SQLite file with migrations, transactions and prepared statements only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"

namespace holdfast::db {

// The text of a statement: a literal, by construction. What varies is bound, never pasted.
class Sql {
 public:
  consteval Sql(const char* text) : text_(text) {}
  constexpr const char* text() const { return text_; }

 private:
  const char* text_;
};

// One statement with its parameters, then its rows. Owned by the thread of its database, which
// outlives it.
class Statement {
 public:
  Statement(Statement&&) noexcept;
  Statement& operator=(Statement&&) noexcept;
  ~Statement();

  // The next parameter, in the order of the question marks. Text and bytes are copied.
  Statement& bind(std::int64_t value);
  Statement& bind(std::string_view text);
  Statement& bind(ByteView bytes);
  // True: there is a row. Errors as Database::open, and kConflict for a broken constraint.
  Result<bool> step();
  // For statements without rows.
  Status run();

  // Of the current row. A value of another type is converted as SQLite does.
  std::int64_t integer(int column) const;
  std::string text(int column) const;
  Bytes blob(int column) const;

 private:
  friend class Database;
  struct State;
  explicit Statement(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Thread-compatible: one thread at a time. Several processes may use one file.
class Database {
 public:
  // Creates the file (mode 0600) where there is none, and brings it to schema version
  // migrations.size(): entry n leads from version n to n + 1, each in a transaction with its
  // number. kDenied where others may read the file; kUnsupported for a file of a later version;
  // kCorrupt; kExhausted for a full disk; kUnavailable where another process writes for too long.
  static Result<Database> open(const std::string& path, std::span<const Sql> migrations);
  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;
  ~Database();

  Result<Statement> prepare(Sql sql);
  // A statement without parameters and rows.
  Status run(Sql sql);
  // Rows that the last statement changed.
  std::int64_t changes() const;
  // What was deleted leaves the write-ahead log too. kUnavailable while others read.
  Status truncate_log();

 private:
  struct Handle;
  explicit Database(std::unique_ptr<Handle> handle);
  Status configure();
  Status migrate(std::span<const Sql> migrations);
  std::unique_ptr<Handle> handle_;
};

// Changes that become visible and durable together, or not at all: without commit() they are
// undone.
class Transaction {
 public:
  // Takes the write lock at once. kUnavailable where another process holds it for too long.
  static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();

  // Once. On an error nothing was changed.
  Status commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace holdfast::db
