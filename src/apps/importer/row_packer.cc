#include "row_packer.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "holdfast/platform/thread.h"
#include "holdfast/quant/packed.h"

namespace holdfast::importer {
namespace {

// Large enough that threads seldom wait for each other, small beside any model.
constexpr std::uint64_t kWaveBytes = 16ull << 20;
constexpr std::uint64_t kGroupRows = 16;

// The groups of one wave, taken one by one by whichever thread is free.
class Wave {
 public:
  Wave(const MatrixSource& matrix, std::uint64_t row_bytes, std::uint64_t first_group,
       std::uint64_t group_bytes, MutableBytes out)
      : matrix_(matrix),
        row_bytes_(row_bytes),
        first_group_(first_group),
        group_bytes_(group_bytes),
        out_(out),
        n_groups_(out.size() / group_bytes) {}

  void work() {
    Bytes rows(kGroupRows * row_bytes_);
    while (true) {
      const std::uint64_t i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= n_groups_) return;
      if (Status status = pack(i, rows); !status.ok()) {
        next_.store(n_groups_, std::memory_order_relaxed);
        const std::lock_guard guard(mutex_);
        if (!error_) error_ = std::move(status).error();
      }
    }
  }
  Status status() const { return error_ ? Status(*error_) : ok_status(); }

 private:
  Status pack(std::uint64_t i, Bytes& rows) {
    const std::uint64_t first_row = (first_group_ + i) * kGroupRows;
    const std::uint64_t n = std::min(kGroupRows, matrix_.rows - first_row);
    const MutableBytes wanted = MutableBytes(rows).first(n * row_bytes_);
    HF_TRY(matrix_.file->read_at(matrix_.offset + first_row * row_bytes_, wanted));
    quant::pack_group(matrix_.type, rows.data(), row_bytes_, static_cast<std::uint32_t>(n),
                      matrix_.cols, out_.data() + i * group_bytes_);
    return ok_status();
  }

  const MatrixSource& matrix_;
  const std::uint64_t row_bytes_;
  const std::uint64_t first_group_;
  const std::uint64_t group_bytes_;
  const MutableBytes out_;
  const std::uint64_t n_groups_;
  std::atomic<std::uint64_t> next_{0};
  std::mutex mutex_;
  std::optional<Error> error_;
};

void run_wave(Wave& wave, unsigned threads) {
  std::vector<std::thread> helpers;
  for (unsigned i = 1; i < threads; ++i) {
    auto helper = platform::start_thread("hf-import", [&wave] { wave.work(); });
    if (!helper.ok()) break;  // slower, not wrong
    helpers.push_back(*std::move(helper));
  }
  wave.work();
  for (std::thread& helper : helpers) helper.join();
}

}  // namespace

Status pack_matrix(const MatrixSource& matrix, unsigned threads,
                   const std::function<Status(ByteView)>& sink) {
  HF_TRY_ASSIGN(const std::uint64_t row_bytes, quant::row_bytes(matrix.type, matrix.cols));
  HF_TRY_ASSIGN(const quant::PackedShape shape,
                quant::packed_shape(quant::packed_type_for(matrix.type), matrix.rows, matrix.cols));
  const std::uint64_t per_wave =
      std::min(shape.groups, std::max<std::uint64_t>(threads, kWaveBytes / shape.group_bytes));
  Bytes out(per_wave * shape.group_bytes);
  for (std::uint64_t first = 0; first < shape.groups; first += per_wave) {
    const std::uint64_t n = std::min(per_wave, shape.groups - first);
    const MutableBytes piece = MutableBytes(out).first(n * shape.group_bytes);
    Wave wave(matrix, row_bytes, first, shape.group_bytes, piece);
    run_wave(wave, static_cast<unsigned>(std::min<std::uint64_t>(threads, n)));
    HF_TRY(wave.status());
    HF_TRY(sink(piece));
  }
  return ok_status();
}

}  // namespace holdfast::importer
