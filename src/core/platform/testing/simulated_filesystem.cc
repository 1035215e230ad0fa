#include "holdfast/platform/testing/simulated_filesystem.h"

#include <algorithm>
#include <cstring>
#include <random>

namespace holdfast::platform::testing {
namespace {

constexpr std::size_t kSectorBytes = 512;

Error crashed_error() { return Error(ErrorCode::kIo, "simulated crash"); }

}  // namespace

class SimulatedFileSystem::SimulatedFile final : public OpenFile {
 public:
  SimulatedFile(SimulatedFileSystem& fs, NodePtr node, bool writable)
      : fs_(fs), node_(std::move(node)), generation_(fs.generation_), writable_(writable) {}

  std::uint64_t size() const override {
    const std::lock_guard lock(fs_.mutex_);
    return node_->live.size();
  }
  Status read_at(std::uint64_t offset, MutableBytes out) const override {
    const std::lock_guard lock(fs_.mutex_);
    HF_TRY(fs_.check_alive());
    if (generation_ != fs_.generation_) return crashed_error();
    HF_TRY(check_range(offset, out.size(), node_->live.size()));
    if (!out.empty()) std::memcpy(out.data(), node_->live.data() + offset, out.size());
    return {};
  }
  Status write_all(ByteView bytes) override {
    HF_TRY(write_at(position_, bytes));
    position_ += bytes.size();
    return {};
  }
  Status write_at(std::uint64_t offset, ByteView bytes) override {
    const std::lock_guard lock(fs_.mutex_);
    if (!writable_) return Error(ErrorCode::kIo, "not open for writing");
    return fs_.write_node(*node_, generation_, offset, bytes);
  }
  Status truncate(std::uint64_t size) override {
    const std::lock_guard lock(fs_.mutex_);
    if (!writable_) return Error(ErrorCode::kIo, "not open for writing");
    return fs_.truncate_node(*node_, generation_, size);
  }
  Status sync() override {
    const std::lock_guard lock(fs_.mutex_);
    return fs_.sync_node(*node_, generation_);
  }
  int fd() const override { return -1; }

 private:
  SimulatedFileSystem& fs_;
  NodePtr node_;
  std::uint64_t generation_;
  bool writable_;
  std::uint64_t position_ = 0;
};

class SimulatedFileSystem::SimulatedLock final : public FileLock {
 public:
  SimulatedLock(SimulatedFileSystem& fs, std::string path)
      : fs_(fs), path_(std::move(path)), generation_(fs.generation_) {}
  ~SimulatedLock() override {
    const std::lock_guard lock(fs_.mutex_);
    if (generation_ == fs_.generation_) fs_.locks_.erase(path_);
  }

 private:
  SimulatedFileSystem& fs_;
  std::string path_;
  std::uint64_t generation_;
};

SimulatedFileSystem::SimulatedFileSystem() {
  auto root = std::make_shared<Node>();
  root->directory = true;
  root->mode = 0755;
  names_["/"] = root;
  durable_names_ = names_;
}

SimulatedFileSystem::~SimulatedFileSystem() = default;

std::uint64_t SimulatedFileSystem::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

void SimulatedFileSystem::crash_after(std::uint64_t operations) {
  const std::lock_guard lock(mutex_);
  crash_at_ = operations_ + operations;
}

bool SimulatedFileSystem::crashed() const {
  const std::lock_guard lock(mutex_);
  return crashed_;
}

void SimulatedFileSystem::fail_operation(std::uint64_t n, ErrorCode code) {
  const std::lock_guard lock(mutex_);
  fail_at_ = operations_ + n;
  fail_code_ = code;
}

void SimulatedFileSystem::set_capacity_bytes(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  capacity_bytes_ = bytes;
}

Status SimulatedFileSystem::check_alive() const {
  return crashed_ ? Status(crashed_error()) : ok_status();
}

// `torn`: the operation is the one that the crash interrupts.
Status SimulatedFileSystem::begin_operation(bool* torn) {
  HF_TRY(check_alive());
  const std::uint64_t number = operations_++;
  if (crash_at_ && number >= *crash_at_) {
    crashed_ = true;
    if (torn != nullptr) *torn = true;
    return torn != nullptr ? ok_status() : Status(crashed_error());
  }
  if (fail_at_ && number == *fail_at_) {
    fail_at_.reset();
    return Error(fail_code_, "simulated failure");
  }
  return {};
}

void SimulatedFileSystem::apply(Bytes& content, const Write& write) {
  if (write.truncate_to) {
    content.resize(*write.truncate_to);
    return;
  }
  if (write.bytes.empty()) return;
  const std::uint64_t end = write.offset + write.bytes.size();
  if (content.size() < end) content.resize(end);
  std::memcpy(content.data() + write.offset, write.bytes.data(), write.bytes.size());
}

std::uint64_t SimulatedFileSystem::used_bytes() const {
  std::uint64_t used = 0;
  for (const auto& [name, node] : names_) used += node->live.size();
  return used;
}

Status SimulatedFileSystem::write_node(Node& node, std::uint64_t generation, std::uint64_t offset,
                                       ByteView bytes) {
  if (generation != generation_) return crashed_error();
  bool torn = false;
  HF_TRY(begin_operation(&torn));
  if (torn) bytes = bytes.first(bytes.size() / 2);
  const std::uint64_t growth =
      offset + bytes.size() - std::min<std::uint64_t>(node.live.size(), offset + bytes.size());
  const std::uint64_t used = used_bytes();
  const std::uint64_t room = capacity_bytes_ - std::min(capacity_bytes_, used);
  const bool full = growth > room;
  if (full)
    bytes = bytes.first(bytes.size() - std::min<std::uint64_t>(bytes.size(), growth - room));
  Write write{offset, Bytes(bytes.begin(), bytes.end()), std::nullopt};
  apply(node.live, write);
  node.pending.push_back(std::move(write));
  if (torn) return crashed_error();
  return full ? Status(exhausted("no space left on the device")) : ok_status();
}

Status SimulatedFileSystem::truncate_node(Node& node, std::uint64_t generation,
                                          std::uint64_t size) {
  if (generation != generation_) return crashed_error();
  HF_TRY(begin_operation(nullptr));
  if (size > node.live.size() &&
      size - node.live.size() > capacity_bytes_ - std::min(capacity_bytes_, used_bytes())) {
    return exhausted("no space left on the device");
  }
  Write write{0, {}, size};
  apply(node.live, write);
  node.pending.push_back(std::move(write));
  return {};
}

Status SimulatedFileSystem::sync_node(Node& node, std::uint64_t generation) {
  if (generation != generation_) return crashed_error();
  HF_TRY(begin_operation(nullptr));
  node.durable = node.live;
  node.pending.clear();
  return {};
}

void SimulatedFileSystem::restart(CrashPolicy policy, std::uint64_t seed) {
  const std::lock_guard lock(mutex_);
  std::mt19937_64 random(seed);
  if (policy == CrashPolicy::kKeepAll) durable_names_ = names_;
  if (policy == CrashPolicy::kRandom) {
    const std::size_t kept = random() % (pending_names_.size() + 1);
    for (std::size_t i = 0; i < kept; ++i) {
      for (auto& [name, node] : pending_names_[i].become) {
        if (node) {
          durable_names_[name] = node;
        } else {
          durable_names_.erase(name);
        }
      }
    }
  }
  pending_names_.clear();
  names_ = durable_names_;
  for (auto& [name, node] : names_) {
    if (policy == CrashPolicy::kKeepAll) node->durable = node->live;
    if (policy == CrashPolicy::kRandom) {
      for (Write& write : node->pending) {
        if (random() % 2 == 0) continue;
        if (!write.truncate_to && random() % 2 == 0) {
          write.bytes.resize(random() % (write.bytes.size() / kSectorBytes + 1) * kSectorBytes);
        }
        apply(node->durable, write);
      }
    }
    node->pending.clear();
    node->live = node->durable;
  }
  locks_.clear();
  ++generation_;
  crash_at_.reset();
  fail_at_.reset();
  crashed_ = false;
}

Status SimulatedFileSystem::corrupt_byte(const std::string& path, std::uint64_t offset,
                                         std::uint8_t mask) {
  const std::lock_guard lock(mutex_);
  HF_TRY_ASSIGN(const NodePtr node, find_file(path));
  if (offset >= node->live.size()) return invalid_argument("offset beyond the end");
  node->live[offset] ^= std::byte{mask};
  if (offset < node->durable.size()) node->durable[offset] ^= std::byte{mask};
  return {};
}

Result<SimulatedFileSystem::NodePtr> SimulatedFileSystem::find_file(const std::string& path) const {
  HF_TRY(check_alive());
  const auto it = names_.find(path);
  if (it == names_.end()) return not_found("no such file", path);
  if (it->second->directory) return invalid_argument("not a regular file", path);
  return it->second;
}

Status SimulatedFileSystem::require_directory(const std::string& path) const {
  const auto it = names_.find(path);
  if (it == names_.end()) return not_found("no such directory", path);
  if (!it->second->directory) return Error(ErrorCode::kIo, "not a directory", path);
  return {};
}

void SimulatedFileSystem::change_names(NameChange change) {
  for (const auto& [name, node] : change.become) {
    if (node) {
      names_[name] = node;
    } else {
      names_.erase(name);
    }
  }
  pending_names_.push_back(std::move(change));
}

Result<std::unique_ptr<OpenFile>> SimulatedFileSystem::open_read(const std::string& path) {
  const std::lock_guard lock(mutex_);
  HF_TRY_ASSIGN(NodePtr node, find_file(path));
  return std::unique_ptr<OpenFile>(std::make_unique<SimulatedFile>(*this, std::move(node), false));
}

Result<std::unique_ptr<OpenFile>> SimulatedFileSystem::open_beneath(const std::string& root,
                                                                    const std::string& relative) {
  if (!is_plain_relative_path(relative)) {
    return Error(ErrorCode::kDenied, "the name leaves its directory", relative);
  }
  return open_read(join_path(root, relative));
}

Result<std::unique_ptr<OpenFile>> SimulatedFileSystem::create_exclusive(const std::string& path,
                                                                        unsigned mode) {
  const std::lock_guard lock(mutex_);
  HF_TRY(check_alive());
  HF_TRY(require_directory(parent_path(path)));
  if (names_.contains(path)) return conflict("the file exists", path);
  HF_TRY(begin_operation(nullptr));
  auto node = std::make_shared<Node>();
  node->mode = mode;
  node->inode = next_inode_++;
  change_names({{{path, node}}});
  return std::unique_ptr<OpenFile>(std::make_unique<SimulatedFile>(*this, std::move(node), true));
}

Status SimulatedFileSystem::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  HF_TRY(check_alive());
  HF_TRY(require_directory(parent_path(to)));
  const auto it = names_.find(from);
  if (it == names_.end()) return not_found("no such file", from);
  const auto target = names_.find(to);
  if (target != names_.end() && target->second->directory != it->second->directory) {
    return conflict("a file and a directory cannot replace each other", to);
  }
  if (target != names_.end() && target->second->directory && to != from) {
    const std::string below = to + "/";
    const auto child = names_.lower_bound(below);
    if (child != names_.end() && child->first.starts_with(below)) {
      return conflict("the directory is not empty", to);
    }
  }
  HF_TRY(begin_operation(nullptr));
  if (from == to) return {};
  NameChange change{{{from, nullptr}, {to, it->second}}};
  if (it->second->directory) {
    const std::string below = from + "/";
    for (auto child = names_.lower_bound(below);
         child != names_.end() && child->first.starts_with(below); ++child) {
      change.become.emplace_back(child->first, nullptr);
      change.become.emplace_back(to + child->first.substr(from.size()), child->second);
    }
  }
  change_names(std::move(change));
  return {};
}

Status SimulatedFileSystem::remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  HF_TRY(find_file(path));
  HF_TRY(begin_operation(nullptr));
  change_names({{{path, nullptr}}});
  return {};
}

Status SimulatedFileSystem::remove_dir(const std::string& path) {
  const std::lock_guard lock(mutex_);
  HF_TRY(check_alive());
  HF_TRY(require_directory(path));
  const std::string below = path + "/";
  const auto child = names_.lower_bound(below);
  if (child != names_.end() && child->first.starts_with(below)) {
    return Error(ErrorCode::kIo, "the directory is not empty", path);
  }
  HF_TRY(begin_operation(nullptr));
  change_names({{{path, nullptr}}});
  return {};
}

// Makes the changes up to the last one that touches `path` durable: a journal keeps their order.
Status SimulatedFileSystem::sync_dir(const std::string& path) {
  const std::lock_guard lock(mutex_);
  HF_TRY(check_alive());
  HF_TRY(require_directory(path));
  HF_TRY(begin_operation(nullptr));
  std::size_t count = 0;
  for (std::size_t i = 0; i < pending_names_.size(); ++i) {
    for (const auto& [name, node] : pending_names_[i].become) {
      if (parent_path(name) == path) count = i + 1;
    }
  }
  for (; count > 0; --count) {
    for (const auto& [name, node] : pending_names_.front().become) {
      if (node) {
        durable_names_[name] = node;
      } else {
        durable_names_.erase(name);
      }
    }
    pending_names_.pop_front();
  }
  return {};
}

Status SimulatedFileSystem::make_dirs(const std::string& path, unsigned mode) {
  const std::lock_guard lock(mutex_);
  HF_TRY(check_alive());
  for (std::size_t at = 1; at <= path.size(); ++at) {
    if (at != path.size() && path[at] != '/') continue;
    const std::string part = path.substr(0, at);
    if (const auto it = names_.find(part); it != names_.end()) {
      if (!it->second->directory) return conflict("a file is in the way of a directory", part);
      continue;
    }
    HF_TRY(begin_operation(nullptr));
    auto node = std::make_shared<Node>();
    node->directory = true;
    node->mode = mode;
    node->inode = next_inode_++;
    change_names({{{part, std::move(node)}}});
  }
  return {};
}

Result<std::vector<DirectoryEntry>> SimulatedFileSystem::list(const std::string& path) {
  const std::lock_guard lock(mutex_);
  HF_TRY(check_alive());
  HF_TRY(require_directory(path));
  std::vector<DirectoryEntry> out;
  for (const auto& [name, node] : names_) {
    if (name == "/" || parent_path(name) != path) continue;
    out.push_back({std::string(base_name(name)),
                   node->directory ? FileKind::kDirectory : FileKind::kRegular});
  }
  return out;
}

Result<FileInfo> SimulatedFileSystem::stat(const std::string& path) {
  const std::lock_guard lock(mutex_);
  HF_TRY(check_alive());
  const auto it = names_.find(path);
  if (it == names_.end()) return not_found("no such file", path);
  FileInfo info;
  info.kind = it->second->directory ? FileKind::kDirectory : FileKind::kRegular;
  info.size = it->second->live.size();
  info.mode = it->second->mode;
  info.inode = it->second->inode;
  return info;
}

bool SimulatedFileSystem::exists(const std::string& path) {
  const std::lock_guard lock(mutex_);
  return !crashed_ && names_.contains(path);
}

Result<std::uint64_t> SimulatedFileSystem::free_bytes(const std::string& /*path*/) {
  const std::lock_guard lock(mutex_);
  HF_TRY(check_alive());
  return capacity_bytes_ - std::min(capacity_bytes_, used_bytes());
}

Result<std::unique_ptr<FileLock>> SimulatedFileSystem::try_lock(const std::string& path) {
  const std::lock_guard lock(mutex_);
  HF_TRY(check_alive());
  HF_TRY(require_directory(parent_path(path)));
  if (!locks_.insert(path).second) return unavailable("another process is using it", path);
  return std::unique_ptr<FileLock>(std::make_unique<SimulatedLock>(*this, path));
}

}  // namespace holdfast::platform::testing
