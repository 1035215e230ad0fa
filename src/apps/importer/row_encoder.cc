#include "row_encoder.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>

#include "holdfast/platform/thread.h"
#include "holdfast/quant/codec.h"
#include "holdfast/quant/encode.h"

namespace holdfast::importer {
namespace {

// A thread takes weights in lots of this many: milliseconds of work, so that no thread waits long
// for the last one, and little beside what reading costs a system call.
constexpr std::uint64_t kLotElements = 256 * 1024;
// Encoded bytes between two writes; also bounds the memory.
constexpr std::uint64_t kWaveBytes = 8ull << 20;

// The lots of one wave, taken one by one by whichever thread is free.
class Wave {
 public:
  Wave(const RowSource& source, quant::TensorType type, std::uint64_t first_row,
       std::uint64_t lot_rows, std::uint64_t in_row_bytes, std::uint64_t out_row_bytes,
       MutableBytes out)
      : source_(source),
        type_(type),
        first_row_(first_row),
        n_rows_(out.size() / out_row_bytes),
        lot_rows_(lot_rows),
        in_row_bytes_(in_row_bytes),
        out_row_bytes_(out_row_bytes),
        out_(out) {}

  void work() {
    Bytes raw(std::min(lot_rows_, n_rows_) * in_row_bytes_);
    std::vector<float> values(source_.cols);
    while (true) {
      const std::uint64_t first = next_.fetch_add(lot_rows_, std::memory_order_relaxed);
      if (first >= n_rows_ || failed_.load(std::memory_order_relaxed)) return;
      if (Status status = encode(first, raw, values); !status.ok()) {
        const std::lock_guard guard(mutex_);
        failed_ = true;
        // The error that is reported is that of the first bad row, whoever meets it first.
        if (!error_ || first < error_row_) error_ = std::move(status).error(), error_row_ = first;
      }
    }
  }
  Status status() const { return error_ ? Status(*error_) : ok_status(); }

 private:
  Status encode(std::uint64_t first, Bytes& raw, std::vector<float>& values) {
    const std::uint64_t n = std::min(lot_rows_, n_rows_ - first);
    const MutableBytes wanted = MutableBytes(raw).first(n * in_row_bytes_);
    HF_TRY(source_.file->read_at(source_.offset + (first_row_ + first) * in_row_bytes_, wanted));
    for (std::uint64_t i = 0; i < n; ++i) {
      const std::uint64_t row = first_row_ + first + i;
      quant::dequantize(source_.type, raw.data() + i * in_row_bytes_, values.size(), values.data());
      std::span<const float> importance;
      if (!source_.importance.empty()) {
        importance = source_.importance[row / source_.rows_per_importance];
      }
      std::byte* to = out_.data() + (first + i) * out_row_bytes_;
      Status status = quant::encode_row(type_, values, importance, to);
      if (!status.ok()) return std::move(status).context("row " + std::to_string(row));
    }
    return ok_status();
  }

  const RowSource& source_;
  const quant::TensorType type_;
  const std::uint64_t first_row_;
  const std::uint64_t n_rows_;
  const std::uint64_t lot_rows_;
  const std::uint64_t in_row_bytes_;
  const std::uint64_t out_row_bytes_;
  const MutableBytes out_;
  std::atomic<std::uint64_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::optional<Error> error_;
  std::uint64_t error_row_ = 0;
};

void run_wave(Wave& wave, std::uint64_t threads) {
  std::vector<std::thread> helpers;
  for (std::uint64_t i = 1; i < threads; ++i) {
    auto helper = platform::start_thread("hf-quantize", [&wave] { wave.work(); });
    if (!helper.ok()) break;  // slower, not wrong
    helpers.push_back(*std::move(helper));
  }
  wave.work();
  for (std::thread& helper : helpers) helper.join();
}

}  // namespace

Status encode_rows(const RowSource& source, quant::TensorType type, unsigned threads,
                   const std::function<Status(ByteView)>& sink) {
  HF_TRY_ASSIGN(const std::uint64_t in_row, quant::row_bytes(source.type, source.cols));
  HF_TRY_ASSIGN(const std::uint64_t out_row, quant::row_bytes(type, source.cols));
  const std::uint64_t lot_rows = std::max<std::uint64_t>(1, kLotElements / source.cols);
  const std::uint64_t wave_rows = std::max(lot_rows * threads, kWaveBytes / out_row);
  Bytes out(std::min(wave_rows, source.rows) * out_row);
  for (std::uint64_t first = 0; first < source.rows; first += wave_rows) {
    const std::uint64_t n = std::min(wave_rows, source.rows - first);
    const MutableBytes piece = MutableBytes(out).first(n * out_row);
    Wave wave(source, type, first, lot_rows, in_row, out_row, piece);
    run_wave(wave, std::min<std::uint64_t>(threads, (n + lot_rows - 1) / lot_rows));
    HF_TRY(wave.status());
    HF_TRY(sink(piece));
  }
  return ok_status();
}

}  // namespace holdfast::importer
