// This machine as a row of the planner's table of hardware: what was measured in place of a data
// sheet.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "context.h"
#include "holdfast/base/result.h"

namespace holdfast::cli {

struct MachineFacts {
  std::string cpu;  // as the processor calls itself; may be empty
  std::int64_t threads = 1;
  std::string isa;
  std::string placement;  // of the threads, see MachineLimits
  std::uint64_t memory_bytes = 0;
  double memory_bytes_per_second = 0;
  double int8_ops_per_second = 0;
  double f32_ops_per_second = 0;
  std::optional<double> disk_read_bytes_per_second;
  std::string date;  // "2026-12-01"
};

// Measures limits (0.2 s) and, with a file of 64 MiB that is removed again, how fast files of the
// data directory are read. kExhausted, kIo where memory, threads or disk are not to be had.
Result<MachineFacts> probe_machine(const Context& context);

// The id of its row: "local-amd-epyc-7352-24-core-processor-24t".
std::string machine_id(std::string_view cpu, std::int64_t threads);

// Header and one row, with the columns of src/serve/planner/data/hardware.csv. Class cpu; memory in
// decimal GB; the f32 peak stands for fp16, which has no faster units here; what nobody can measure
// (watts, prices, other number formats) is empty. Disk, threads and instruction set are in the
// note.
std::string machine_row_csv(const MachineFacts& facts);

}  // namespace holdfast::cli
