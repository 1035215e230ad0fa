#include "holdfast/platform/busy_board.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <new>
#include <thread>

#include "holdfast/platform/clock.h"

namespace holdfast::platform {

namespace {

constexpr std::uint64_t kMagic = 0x68666275'73793031;  // "hfbusy01"
// How soon background work notices that the others are idle.
constexpr std::chrono::milliseconds kLook{5};

}  // namespace

// A mark changes when its process begins or ends to compute, not with each step, so one line for
// all of them disturbs nobody.
struct BusyMarks {
  std::uint64_t magic = kMagic;
  std::array<std::atomic<std::uint8_t>, kBusyPlacesMax> busy{};
};
static_assert(std::atomic<std::uint8_t>::is_always_lock_free);

void UnmapBusyMarks::operator()(BusyMarks* marks) const { ::munmap(marks, sizeof(BusyMarks)); }

namespace {

Result<BusyMapping> map_marks(int fd) {
  void* memory = ::mmap(nullptr, sizeof(BusyMarks), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return os_error(errno, "map shared memory");
  return BusyMapping(static_cast<BusyMarks*>(memory));
}

}  // namespace

Result<std::shared_ptr<BusyBoard>> BusyBoard::create() {
  std::shared_ptr<BusyBoard> board(new BusyBoard());
  board->fd_ = UniqueFd(::memfd_create("holdfast-busy", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!board->fd_.valid()) return os_error(errno, "memfd_create");
  if (::ftruncate(board->fd_.get(), sizeof(BusyMarks)) != 0) return os_error(errno, "ftruncate");
  // Nobody can take the memory away under the others.
  if (::fcntl(board->fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return os_error(errno, "seal shared memory");
  HF_TRY_ASSIGN(board->marks_, map_marks(board->fd_.get()));
  new (board->marks_.get()) BusyMarks();
  return board;
}

std::unique_ptr<BusyBoard::Place> BusyBoard::take(const std::shared_ptr<BusyBoard>& board) {
  const std::lock_guard lock(board->mutex_);
  const auto free = std::ranges::find(board->taken_, false);
  if (free == board->taken_.end()) return nullptr;
  *free = true;
  return std::make_unique<Place>(board, static_cast<std::uint32_t>(free - board->taken_.begin()));
}

void BusyBoard::give_back(std::uint32_t number) {
  marks_->busy[number] = 0;
  const std::lock_guard lock(mutex_);
  taken_[number] = false;
}

Result<BusyMark> BusyMark::attach(int fd, std::uint32_t place) {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0 || facts.st_size != static_cast<off_t>(sizeof(BusyMarks)) ||
      place >= kBusyPlacesMax) {
    return invalid_argument("no place among those that compute");
  }
  BusyMark mark;
  HF_TRY_ASSIGN(mark.marks_, map_marks(fd));
  if (mark.marks_->magic != kMagic) return invalid_argument("no place among those that compute");
  mark.place_ = place;
  return mark;
}

void BusyMark::set_busy(bool busy) {
  if (!marks_ || busy == busy_) return;
  busy_ = busy;
  marks_->busy[place_].store(busy ? 1 : 0, std::memory_order_relaxed);
}

bool BusyMark::others_busy() const {
  if (!marks_) return false;
  for (std::size_t i = 0; i < kBusyPlacesMax; ++i) {
    if (i != place_ && marks_->busy[i].load(std::memory_order_relaxed) != 0) return true;
  }
  return false;
}

void BusyMark::give_way(std::chrono::nanoseconds worked, std::uint32_t times) const {
  const std::chrono::nanoseconds most = kGiveWayMax;
  const std::chrono::nanoseconds whole = std::min(std::min(worked, most) * times, most);
  const Deadline end = Deadline::after(std::chrono::ceil<std::chrono::milliseconds>(whole));
  while (others_busy() && !end.passed())
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(whole, kLook));
}

}  // namespace holdfast::platform
