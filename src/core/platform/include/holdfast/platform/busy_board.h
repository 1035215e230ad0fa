// BusyBoard: which of several processes are computing now, so that work in the background can make
// room for them.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>

#include "holdfast/base/result.h"
#include "holdfast/platform/unique_fd.h"

namespace holdfast::platform {

inline constexpr std::size_t kBusyPlacesMax = 64;

struct BusyMarks;  // what the processes share
struct UnmapBusyMarks {
  void operator()(BusyMarks* marks) const;
};
using BusyMapping = std::unique_ptr<BusyMarks, UnmapBusyMarks>;

// The server's end: the shared memory, and which place is whose. Thread-safe.
class BusyBoard {
 public:
  // One process's place. Its mark is taken off on destruction, which must come after the process's
  // end.
  class Place {
   public:
    Place(std::shared_ptr<BusyBoard> board, std::uint32_t number)
        : board_(std::move(board)), number_(number) {}
    ~Place() { board_->give_back(number_); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    std::uint32_t number() const { return number_; }
    int fd() const { return board_->fd_.get(); }

   private:
    std::shared_ptr<BusyBoard> board_;
    std::uint32_t number_;
  };

  // kExhausted, kIo; kUnsupported where the system has no sealed memory files.
  static Result<std::shared_ptr<BusyBoard>> create();
  // Nullptr while all kBusyPlacesMax are taken.
  static std::unique_ptr<Place> take(const std::shared_ptr<BusyBoard>& board);

 private:
  BusyBoard() = default;
  void give_back(std::uint32_t number);

  UniqueFd fd_;
  BusyMapping marks_;
  std::mutex mutex_;  // of taken_
  std::array<bool, kBusyPlacesMax> taken_{};
};

// One process's end. What others write is only ever read as busy or not: one that lies makes
// background work slower or faster, nothing else. set_busy() and give_way() belong to one thread;
// others_busy() is thread-safe.
class BusyMark {
 public:
  // Without others: nobody else is ever busy.
  BusyMark() = default;
  // kInvalidArgument where `fd` is no such memory file or `place` none of its places. The
  // descriptor may be closed afterwards.
  static Result<BusyMark> attach(int fd, std::uint32_t place);

  void set_busy(bool busy);
  bool others_busy() const;
  // After `worked` of background work: sleeps `times` as long, less where the others become idle,
  // and never longer than kGiveWayMax.
  void give_way(std::chrono::nanoseconds worked, std::uint32_t times) const;

  static constexpr std::chrono::milliseconds kGiveWayMax{500};

 private:
  BusyMapping marks_;
  std::uint32_t place_ = 0;
  bool busy_ = false;
};

}  // namespace holdfast::platform
