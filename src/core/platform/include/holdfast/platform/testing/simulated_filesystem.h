// A file system in memory for tests: it loses what was not synced, crashes at the n-th operation,
// fills up, tears writes.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "holdfast/platform/filesystem.h"

namespace holdfast::platform::testing {

// What survives of unsynced changes.
enum class CrashPolicy : std::uint8_t {
  kDropUnsynced,  // nothing
  kKeepAll,       // everything, as after kill -9: the page cache lives on
  kRandom,  // a prefix of the directory changes; any subset of a file's writes, torn at 512-byte
            // sectors
};

// The model: a write is durable once its file was synced; a name is durable once its directory was
// synced (a rename once either directory was). Directory changes are kept in order, as journalling
// file systems do; writes are not. Paths are taken literally, "/" exists from the start.
// Thread-safe. Must outlive the files that it opened.
//
// A crash test runs a script once to learn operations(), then again for every n: crash_after(n),
// run the script until it fails, restart(policy, seed), check what is there.
class SimulatedFileSystem final : public FileSystem {
 public:
  SimulatedFileSystem();
  ~SimulatedFileSystem() override;

  // Operations that change something (create, write, truncate, sync, rename, remove, make and sync
  // directories).
  std::uint64_t operations() const;
  // The n-th changing operation from now (0: the next) and all after it fail with kIo until
  // restart(). A write that is hit leaves a prefix in the cache.
  void crash_after(std::uint64_t operations);
  bool crashed() const;
  // The machine comes back with what the policy lets survive. Locks and open files of before are
  // dead (kIo).
  void restart(CrashPolicy policy, std::uint64_t seed = 0);
  // The n-th changing operation from now fails once with `code`; the ones after it work.
  void fail_operation(std::uint64_t n, ErrorCode code);
  // Room for file contents; a write beyond it leaves what fits and fails with kExhausted.
  void set_capacity_bytes(std::uint64_t bytes);
  // Flips bits of stored content, durable and cached. kNotFound, kInvalidArgument beyond the end.
  Status corrupt_byte(const std::string& path, std::uint64_t offset, std::uint8_t mask);

  Result<std::unique_ptr<OpenFile>> open_read(const std::string& path) override;
  Result<std::unique_ptr<OpenFile>> open_beneath(const std::string& root,
                                                 const std::string& relative) override;
  Result<std::unique_ptr<OpenFile>> create_exclusive(const std::string& path,
                                                     unsigned mode) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status remove_dir(const std::string& path) override;
  Status sync_dir(const std::string& path) override;
  Status make_dirs(const std::string& path, unsigned mode) override;
  Result<std::vector<DirectoryEntry>> list(const std::string& path) override;
  Result<FileInfo> stat(const std::string& path) override;
  bool exists(const std::string& path) override;
  Result<std::uint64_t> free_bytes(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> try_lock(const std::string& path) override;

 private:
  struct Write {
    std::uint64_t offset = 0;
    Bytes bytes;
    std::optional<std::uint64_t> truncate_to;  // then offset and bytes mean nothing
  };
  struct Node {
    bool directory = false;
    unsigned mode = 0;
    std::uint64_t inode = 0;
    Bytes live;
    Bytes durable;
    std::vector<Write> pending;
  };
  using NodePtr = std::shared_ptr<Node>;
  using Names = std::map<std::string, NodePtr, std::less<>>;
  struct NameChange {  // of one directory operation: names and what they become (null: gone)
    std::vector<std::pair<std::string, NodePtr>> become;
  };
  class SimulatedFile;
  class SimulatedLock;

  Status begin_operation(bool* torn);
  Status check_alive() const;
  Result<NodePtr> find_file(const std::string& path) const;
  Status require_directory(const std::string& path) const;
  void change_names(NameChange change);
  Status write_node(Node& node, std::uint64_t generation, std::uint64_t offset, ByteView bytes);
  Status truncate_node(Node& node, std::uint64_t generation, std::uint64_t size);
  Status sync_node(Node& node, std::uint64_t generation);
  std::uint64_t used_bytes() const;
  static void apply(Bytes& content, const Write& write);

  mutable std::mutex mutex_;
  Names names_;
  Names durable_names_;
  std::deque<NameChange> pending_names_;
  std::set<std::string> locks_;
  std::uint64_t next_inode_ = 1;
  std::uint64_t generation_ = 1;  // of the machine's uptime
  std::uint64_t operations_ = 0;
  std::optional<std::uint64_t> crash_at_;
  std::optional<std::uint64_t> fail_at_;
  ErrorCode fail_code_ = ErrorCode::kIo;
  bool crashed_ = false;
  std::uint64_t capacity_bytes_ = UINT64_MAX;
};

}  // namespace holdfast::platform::testing
