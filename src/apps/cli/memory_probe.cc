#include "memory_probe.h"

#include <atomic>
#include <barrier>
#include <chrono>
#include <thread>
#include <vector>

#include "holdfast/base/units.h"
#include "holdfast/platform/huge_memory.h"
#include "holdfast/platform/thread.h"

namespace holdfast::cli {

namespace {

// Several times the largest last-level caches of two sockets would be gigabytes; cores of a virtual
// machine see a slice, and a pass over this much leaves little of it in any cache.
constexpr std::uint64_t kProbeBytes = 256 * kMiB;
constexpr int kPasses = 5;

// Eight independent sums, so that loads and not additions are what is waited for.
std::uint64_t read_all_words(const std::uint64_t* words, std::size_t count) {
  std::uint64_t sum[8] = {};
  for (std::size_t i = 0; i + 8 <= count; i += 8) {
    for (std::size_t j = 0; j < 8; ++j) sum[j] += words[i + j];
  }
  return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

}  // namespace

Result<double> measure_read_bandwidth(unsigned threads) {
  HF_TRY_ASSIGN(platform::LargeBuffer buffer,
                platform::LargeBuffer::allocate(kProbeBytes, nullptr, {}));
  const std::size_t share = kProbeBytes / sizeof(std::uint64_t) / threads;
  auto* words = static_cast<std::uint64_t*>(static_cast<void*>(buffer.bytes().data()));
  std::atomic<std::uint64_t> sink{0};
  std::atomic<unsigned> readers{threads};
  int passes_done = 0;
  double best = 0;
  auto began = std::chrono::steady_clock::now();
  // Runs on one thread between the passes. The first only touches the pages.
  const auto on_pass = [&]() noexcept {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - began).count();
    if (passes_done++ > 1)
      best = std::max(best, static_cast<double>(share * sizeof(std::uint64_t) * readers) / seconds);
    began = now;
  };
  std::barrier pass(static_cast<std::ptrdiff_t>(threads), on_pass);
  const auto body = [&](unsigned index) {
    std::uint64_t* mine = words + index * share;
    for (std::size_t i = 0; i < share; i += 512) mine[i] = i;
    pass.arrive_and_wait();
    for (int p = 0; p <= kPasses; ++p) {
      sink += read_all_words(mine, share);
      pass.arrive_and_wait();
    }
  };
  std::vector<std::thread> others;
  for (unsigned i = 1; i < threads; ++i) {
    auto thread = platform::start_thread("hf-probe", [&body, i] { body(i); });
    if (!thread.ok()) {
      pass.arrive_and_drop();
      --readers;
      continue;
    }
    others.push_back(std::move(*thread));
  }
  body(0);
  for (std::thread& t : others) t.join();
  return best;
}

}  // namespace holdfast::cli
