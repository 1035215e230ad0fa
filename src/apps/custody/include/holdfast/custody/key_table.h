// The state database's part of the keyring: wrapped keys and the generation that the keyring file
// must have reached.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/db/database.h"

namespace holdfast::custody {

// Rows that one purpose may have; more is a damaged database.
inline constexpr std::size_t kWrappedKeysMax = 1'000'000;

struct WrappedRow {
  std::string purpose;
  Bytes id;
  std::uint32_t epoch = 0;  // of the key that wraps it
  Bytes blob;
};

// Thread-compatible. Errors as db::Database.
class KeyTable {
 public:
  // state.db in the data directory, which exists.
  static Result<KeyTable> open(const std::string& data_dir);
  static std::string path(const std::string& data_dir);

  db::Database& database() { return database_; }

  // 0 before the first keyring.
  Result<std::uint64_t> generation();
  Status set_generation(std::uint64_t generation);

  Result<std::vector<WrappedRow>> list(std::string_view purpose);
  // The row of the highest epoch; nullopt if there is none.
  Result<std::optional<WrappedRow>> find(std::string_view purpose, ByteView id);
  Status put(const WrappedRow& row);
  // Every epoch's row of that key.
  Status remove(std::string_view purpose, ByteView id);
  // Slots that have opened the keyring at least once.
  Status note_opened(ByteView slot);
  Result<bool> has_opened(ByteView slot);
  // All rows of a purpose but those of `epoch`.
  Status remove_other_epochs(std::string_view purpose, std::uint32_t epoch);

 private:
  explicit KeyTable(db::Database database) : database_(std::move(database)) {}
  db::Database database_;
};

}  // namespace holdfast::custody
