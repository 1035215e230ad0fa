#include "holdfast/custody/key_table.h"

#include <array>

#include "holdfast/platform/filesystem.h"

namespace holdfast::custody {
namespace {

constexpr db::Sql kMigrations[] = {db::Sql(
    "CREATE TABLE wrapped_keys(purpose TEXT NOT NULL, id BLOB NOT NULL, epoch INTEGER NOT NULL,"
    " blob BLOB NOT NULL, PRIMARY KEY(purpose, id, epoch)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE keyring(one INTEGER PRIMARY KEY CHECK(one = 1), generation INTEGER NOT NULL)"
    " STRICT;"
    "CREATE TABLE opened_slots(id BLOB PRIMARY KEY) STRICT, WITHOUT ROWID")};

WrappedRow row_of(const db::Statement& s) {
  return {s.text(0), s.blob(1), static_cast<std::uint32_t>(s.integer(2)), s.blob(3)};
}

}  // namespace

std::string KeyTable::path(const std::string& data_dir) {
  return platform::join_path(data_dir, "state.db");
}

Result<KeyTable> KeyTable::open(const std::string& data_dir) {
  HF_TRY_ASSIGN(db::Database database, db::Database::open(path(data_dir), kMigrations));
  return KeyTable(std::move(database));
}

Result<std::uint64_t> KeyTable::generation() {
  HF_TRY_ASSIGN(db::Statement s, database_.prepare("SELECT generation FROM keyring"));
  HF_TRY_ASSIGN(const bool there, s.step());
  return there ? static_cast<std::uint64_t>(s.integer(0)) : 0;
}

Status KeyTable::set_generation(std::uint64_t generation) {
  HF_TRY_ASSIGN(db::Statement s,
                database_.prepare("INSERT INTO keyring(one, generation) VALUES (1, ?1) "
                                  "ON CONFLICT(one) DO UPDATE SET generation = ?1"));
  return s.bind(static_cast<std::int64_t>(generation)).run();
}

Result<std::vector<WrappedRow>> KeyTable::list(std::string_view purpose) {
  HF_TRY_ASSIGN(db::Statement s,
                database_.prepare("SELECT purpose, id, epoch, blob FROM wrapped_keys"
                                  " WHERE purpose = ? ORDER BY id, epoch"));
  s.bind(purpose);
  std::vector<WrappedRow> rows;
  while (true) {
    HF_TRY_ASSIGN(const bool there, s.step());
    if (!there) return rows;
    if (rows.size() == kWrappedKeysMax) return corrupt("the state database holds too many keys");
    rows.push_back(row_of(s));
  }
}

Result<std::optional<WrappedRow>> KeyTable::find(std::string_view purpose, ByteView id) {
  HF_TRY_ASSIGN(db::Statement s,
                database_.prepare("SELECT purpose, id, epoch, blob FROM wrapped_keys"
                                  " WHERE purpose = ? AND id = ? ORDER BY epoch DESC LIMIT 1"));
  HF_TRY_ASSIGN(const bool there, s.bind(purpose).bind(id).step());
  if (!there) return std::optional<WrappedRow>();
  return std::optional<WrappedRow>(row_of(s));
}

Status KeyTable::put(const WrappedRow& row) {
  HF_TRY_ASSIGN(db::Statement s,
                database_.prepare("INSERT INTO wrapped_keys(purpose, id, epoch, blob)"
                                  " VALUES (?1, ?2, ?3, ?4) ON CONFLICT(purpose, id, epoch)"
                                  " DO UPDATE SET blob = ?4"));
  return s.bind(row.purpose)
      .bind(ByteView(row.id))
      .bind(static_cast<std::int64_t>(row.epoch))
      .bind(ByteView(row.blob))
      .run();
}

Status KeyTable::remove(std::string_view purpose, ByteView id) {
  HF_TRY_ASSIGN(db::Statement s,
                database_.prepare("DELETE FROM wrapped_keys WHERE purpose = ? AND id = ?"));
  return s.bind(purpose).bind(id).run();
}

Status KeyTable::note_opened(ByteView slot) {
  HF_TRY_ASSIGN(db::Statement s,
                database_.prepare("INSERT OR IGNORE INTO opened_slots(id) VALUES (?)"));
  return s.bind(slot).run();
}

Result<bool> KeyTable::has_opened(ByteView slot) {
  HF_TRY_ASSIGN(db::Statement s, database_.prepare("SELECT 1 FROM opened_slots WHERE id = ?"));
  return s.bind(slot).step();
}

Status KeyTable::remove_other_epochs(std::string_view purpose, std::uint32_t epoch) {
  HF_TRY_ASSIGN(db::Statement s,
                database_.prepare("DELETE FROM wrapped_keys WHERE purpose = ? AND epoch <> ?"));
  return s.bind(purpose).bind(static_cast<std::int64_t>(epoch)).run();
}

}  // namespace holdfast::custody
