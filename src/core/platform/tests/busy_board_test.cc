// BusyBoard: who sees whom, what is left of a dead process, memory that is not its own, and how
// long background work makes room.
#include "holdfast/platform/busy_board.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

namespace holdfast::platform {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class BusyBoardTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto board = BusyBoard::create();
    ASSERT_TRUE(board.ok()) << board.error().to_string();
    board_ = *std::move(board);
  }
  BusyMark join() {
    places_.push_back(BusyBoard::take(board_));
    auto mark = BusyMark::attach(places_.back()->fd(), places_.back()->number());
    EXPECT_TRUE(mark.ok()) << mark.error().to_string();
    return *std::move(mark);
  }

  std::shared_ptr<BusyBoard> board_;
  std::vector<std::unique_ptr<BusyBoard::Place>> places_;
};

TEST_F(BusyBoardTest, EachSeesTheOthersOnly) {
  BusyMark a = join();
  BusyMark b = join();
  BusyMark alone;
  alone.set_busy(true);
  EXPECT_FALSE(alone.others_busy());
  EXPECT_FALSE(a.others_busy());
  b.set_busy(true);
  b.set_busy(true);
  EXPECT_TRUE(a.others_busy());
  EXPECT_FALSE(b.others_busy());
  a.set_busy(true);
  b.set_busy(false);
  EXPECT_FALSE(a.others_busy());
  EXPECT_TRUE(b.others_busy());
}

TEST_F(BusyBoardTest, AsManyPlacesAsThereAre) {
  for (std::size_t i = 0; i < kBusyPlacesMax; ++i) places_.push_back(BusyBoard::take(board_));
  EXPECT_NE(places_.back(), nullptr);
  EXPECT_EQ(BusyBoard::take(board_), nullptr);
  places_.erase(places_.begin());
  EXPECT_EQ(BusyBoard::take(board_)->number(), 0u);
  const int fd = places_.back()->fd();
  EXPECT_TRUE(BusyMark::attach(fd, kBusyPlacesMax - 1).ok());
  EXPECT_EQ(BusyMark::attach(fd, kBusyPlacesMax).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(BusyBoardTest, ADeadProcessIsNotBusy) {
  auto place = BusyBoard::take(board_);
  const pid_t pid = ::fork();
  if (pid == 0) {
    auto mark = BusyMark::attach(place->fd(), place->number());
    if (mark.ok()) mark->set_busy(true);
    while (true) ::pause();
  }
  const BusyMark mark = join();
  for (int i = 0; i < 6000 && !mark.others_busy(); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(mark.others_busy());
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  EXPECT_TRUE(mark.others_busy());
  place.reset();
  EXPECT_FALSE(mark.others_busy());
}

TEST_F(BusyBoardTest, OtherMemoryIsRefusedAndItsOwnCannotBeCut) {
  EXPECT_EQ(BusyMark::attach(-1, 0).error().code(), ErrorCode::kInvalidArgument);
  const auto place = BusyBoard::take(board_);
  struct stat facts {};
  ASSERT_EQ(::fstat(place->fd(), &facts), 0);
  const UniqueFd zeros(::memfd_create("zeros", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(zeros.get(), facts.st_size), 0);  // the right size, no content
  EXPECT_EQ(BusyMark::attach(zeros.get(), 0).error().code(), ErrorCode::kInvalidArgument);
  ASSERT_EQ(::ftruncate(zeros.get(), facts.st_size - 1), 0);
  EXPECT_EQ(BusyMark::attach(zeros.get(), 0).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_NE(::ftruncate(place->fd(), 0), 0);
}

TEST_F(BusyBoardTest, BackgroundWorkMakesRoomWhileOthersAreBusy) {
  BusyMark busy = join();
  const BusyMark background = join();
  auto begin = Clock::now();
  background.give_way(1h, 1000);  // nobody is busy
  EXPECT_LT(Clock::now() - begin, 30s);
  busy.set_busy(true);
  begin = Clock::now();
  background.give_way(5ms, 10);
  EXPECT_GE(Clock::now() - begin, 50ms);
  begin = Clock::now();
  background.give_way(1h, 1000);  // bounded
  EXPECT_GE(Clock::now() - begin, BusyMark::kGiveWayMax);
  EXPECT_LT(Clock::now() - begin, 30s);
}

}  // namespace
}  // namespace holdfast::platform
