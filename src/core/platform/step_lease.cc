#include "holdfast/platform/step_lease.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <new>
#include <utility>

#include "holdfast/platform/clock.h"

namespace holdfast::platform {

namespace {

constexpr std::uint64_t kMagic = 0x31736574'73666821;  // "!hfstes1"
enum State : std::uint32_t { kIdle, kWaiting, kBusy };
constexpr std::uint64_t kNobody = 0;
// How far ahead of the least served a process may be when it comes back. Loading counts many times
// over, and what was loaded while nobody else computed owes nobody anything.
constexpr std::uint64_t kDebtMaxNs = 50'000'000;
constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

// Holder of a permit: how often it changed hands << 32 | slot + 1, or 0 in the low half for nobody.
std::uint64_t holder_slot(std::uint64_t word) { return word & 0xffffffffu; }
std::uint64_t next_holder(std::uint64_t word, std::uint64_t holder) {
  return ((word >> 32) + 1) << 32 | holder;
}

void futex_wait_shared(const std::atomic<std::uint32_t>& word, std::uint32_t value,
                       std::int64_t ns) {
  const timespec timeout{static_cast<time_t>(ns / 1'000'000'000),
                         static_cast<long>(ns % 1'000'000'000)};
  ::syscall(SYS_futex, &word, FUTEX_WAIT, value, &timeout, nullptr, 0);
}

void futex_wake_shared(std::atomic<std::uint32_t>& word) {
  word.fetch_add(1);
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace

// One line each: who waits must not be disturbed by who computes.
struct SharedSteps {
  struct alignas(64) Slot {
    std::atomic<std::uint32_t> state{kIdle};
    std::atomic<std::uint32_t> wake{0};
    std::atomic<std::uint64_t> used_ns{0};  // time that its turns took, as they count
  };
  struct alignas(64) Permit {
    std::atomic<std::uint64_t> holder{kNobody};
  };
  std::uint64_t magic = kMagic;
  std::uint64_t permits_count = 1;
  std::array<Permit, kStepPermitsMax> permits;
  std::array<Slot, kStepSlotsMax> slots;
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

void UnmapSteps::operator()(SharedSteps* shared) const { ::munmap(shared, sizeof(SharedSteps)); }

namespace {

Result<StepsMapping> map_steps(int fd) {
  void* memory = ::mmap(nullptr, sizeof(SharedSteps), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return os_error(errno, "map shared memory");
  return StepsMapping(static_cast<SharedSteps*>(memory));
}

}  // namespace

Result<std::shared_ptr<StepLeasePool>> StepLeasePool::create(std::uint32_t permits) {
  if (permits == 0 || permits > kStepPermitsMax)
    return invalid_argument("permits must be between 1 and " + std::to_string(kStepPermitsMax));
  std::shared_ptr<StepLeasePool> pool(new StepLeasePool());
  pool->fd_ = UniqueFd(::memfd_create("holdfast-steps", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!pool->fd_.valid()) return os_error(errno, "memfd_create");
  if (::ftruncate(pool->fd_.get(), sizeof(SharedSteps)) != 0) return os_error(errno, "ftruncate");
  // Nobody can take the memory away under the others.
  if (::fcntl(pool->fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return os_error(errno, "seal shared memory");
  HF_TRY_ASSIGN(pool->shared_, map_steps(pool->fd_.get()));
  new (pool->shared_.get()) SharedSteps();
  pool->shared_->permits_count = permits;
  return pool;
}

std::unique_ptr<StepLeasePool::Slot> StepLeasePool::take(
    const std::shared_ptr<StepLeasePool>& pool) {
  const std::lock_guard lock(pool->mutex_);
  const auto free = std::ranges::find(pool->taken_, false);
  if (free == pool->taken_.end()) return nullptr;
  *free = true;
  return std::make_unique<Slot>(pool, static_cast<std::uint32_t>(free - pool->taken_.begin()));
}

void StepLeasePool::give_back(std::uint32_t number) {
  SharedSteps::Slot& slot = shared_->slots[number];
  slot.state = kIdle;
  slot.used_ns = 0;
  for (SharedSteps::Permit& p : shared_->permits) {
    std::uint64_t word = p.holder;
    if (holder_slot(word) == number + 1)
      p.holder.compare_exchange_strong(word, next_holder(word, kNobody));
  }
  for (SharedSteps::Slot& s : shared_->slots) {
    if (s.state == kWaiting) futex_wake_shared(s.wake);
  }
  const std::lock_guard lock(mutex_);
  taken_[number] = false;
}

Result<StepLease> StepLease::attach(int fd, std::uint32_t slot) {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0 || facts.st_size != static_cast<off_t>(sizeof(SharedSteps)) ||
      slot >= kStepSlotsMax) {
    return invalid_argument("no place among those that take turns");
  }
  StepLease lease;
  HF_TRY_ASSIGN(lease.shared_, map_steps(fd));
  const std::uint64_t permits = lease.shared_->permits_count;
  if (lease.shared_->magic != kMagic || permits == 0 || permits > kStepPermitsMax)
    return invalid_argument("no place among those that take turns");
  lease.slot_ = slot;
  lease.permits_ = static_cast<std::uint32_t>(permits);
  return lease;
}

StepLease::~StepLease() {
  if (shared_) end(false);
}

bool StepLease::holds() const {
  for (std::uint32_t p = 0; p < permits_; ++p) {
    if (holder_slot(shared_->permits[p].holder) == slot_ + 1) return true;
  }
  return false;
}

bool StepLease::try_take() {
  for (std::uint32_t p = 0; p < permits_; ++p) {
    std::uint64_t word = shared_->permits[p].holder;
    if (holder_slot(word) == kNobody &&
        shared_->permits[p].holder.compare_exchange_strong(word, next_holder(word, slot_ + 1)))
      return true;
  }
  return false;
}

// Who was idle begins about where the least served of the busy ones is: neither idle time nor debts
// are saved up.
void StepLease::catch_up() {
  std::uint64_t least = kNoLimit;
  for (std::uint32_t i = 0; i < kStepSlotsMax; ++i) {
    const SharedSteps::Slot& s = shared_->slots[i];
    if (i != slot_ && s.state != kIdle) least = std::min<std::uint64_t>(least, s.used_ns);
  }
  SharedSteps::Slot& own = shared_->slots[slot_];
  if (least == kNoLimit) return;
  own.used_ns = std::clamp<std::uint64_t>(own.used_ns, least, least + kDebtMaxNs);
}

bool StepLease::begin() {
  if (!shared_) return true;
  SharedSteps::Slot& own = shared_->slots[slot_];
  if (!busy_) catch_up();
  busy_ = true;
  begun_ = true;
  begun_ns_ = system_clock().monotonic_ns();
  bool got = holds();
  if (!got) {
    own.state = kWaiting;
    got = try_take() || wait();
    own.state = kBusy;
    begun_ns_ = system_clock().monotonic_ns();
    turn_ns_ = begun_ns_;
  }
  return got;
}

bool StepLease::wait() {
  SharedSteps::Slot& own = shared_->slots[slot_];
  const auto holders = [this] {
    std::vector<std::uint64_t> now;
    for (std::uint32_t p = 0; p < permits_; ++p) now.push_back(shared_->permits[p].holder);
    return now;
  };
  if (!overdue_.empty() && holders() == overdue_) return false;
  overdue_.clear();
  const std::int64_t until =
      begun_ns_ + std::chrono::duration_cast<std::chrono::nanoseconds>(kWaitMax).count();
  while (true) {
    const std::uint32_t seen = own.wake;
    if (holds() || try_take()) return true;
    own.state = kWaiting;  // also after a turn that was promised but did not come
    const std::int64_t left = until - system_clock().monotonic_ns();
    if (left <= 0) break;
    futex_wait_shared(own.wake, seen, left);
  }
  overdue_ = holders();
  return false;
}

// The waiting process that has had least, if that is less than `used_below`.
std::optional<std::uint32_t> StepLease::next(std::uint64_t used_below) const {
  std::optional<std::uint32_t> best;
  for (std::uint32_t i = 0; i < kStepSlotsMax; ++i) {
    const SharedSteps::Slot& s = shared_->slots[i];
    if (i == slot_ || s.state != kWaiting) continue;
    const std::uint64_t used = s.used_ns;
    if (used >= used_below) continue;
    used_below = used;
    best = i;
  }
  return best;
}

bool StepLease::wanted() const { return shared_ && next(kNoLimit).has_value(); }

void StepLease::end(bool more, std::uint32_t cost) {
  if (!shared_ || !busy_) return;
  SharedSteps::Slot& own = shared_->slots[slot_];
  const std::int64_t now = system_clock().monotonic_ns();
  if (std::exchange(begun_, false))
    own.used_ns += static_cast<std::uint64_t>(std::max<std::int64_t>(now - begun_ns_, 0)) * cost;
  const bool quantum_left =
      cost == 1 && now - turn_ns_ < std::chrono::nanoseconds(kQuantum).count();
  if (more && (quantum_left || !next(own.used_ns))) return;
  busy_ = more;
  own.state = more ? kBusy : kIdle;
  pass_on();
}

// Gives up every permit that this process holds, to the next who waits for it: one at most, but for
// one that came after its wait had ended.
void StepLease::pass_on() {
  for (std::uint32_t p = 0; p < permits_; ++p) {
    std::atomic<std::uint64_t>& holder = shared_->permits[p].holder;
    std::uint64_t word = holder;
    if (holder_slot(word) != slot_ + 1) continue;
    const auto heir = next(kNoLimit);
    std::uint32_t waiting = kWaiting;
    // The state is taken first: who has stopped waiting is not given what it would not notice.
    if (heir && shared_->slots[*heir].state.compare_exchange_strong(waiting, kBusy)) {
      holder.compare_exchange_strong(word, next_holder(word, *heir + 1));
      futex_wake_shared(shared_->slots[*heir].wake);
      continue;
    }
    holder.compare_exchange_strong(word, next_holder(word, kNobody));
  }
  // Who came to wait after the look above, and before the permit was free.
  wake_waiting();
}

void StepLease::wake_waiting() const {
  for (std::uint32_t i = 0; i < kStepSlotsMax; ++i) {
    if (i != slot_ && shared_->slots[i].state == kWaiting)
      futex_wake_shared(shared_->slots[i].wake);
  }
}

}  // namespace holdfast::platform
