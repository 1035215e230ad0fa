#include "machine_row.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <utility>

#include "engine_config.h"
#include "holdfast/base/units.h"
#include "holdfast/json/json.h"
#include "holdfast/kernels/select.h"
#include "holdfast/planner/csv.h"
#include "holdfast/platform/cpu.h"
#include "holdfast/platform/disk_probe.h"
#include "holdfast/platform/filesystem.h"
#include "observation.h"
#include "output.h"

namespace holdfast::cli {

namespace {

constexpr std::uint64_t kFileBytes = 64 * kMiB;

// A file that is removed at the end of the scope.
struct TemporaryFile {
  explicit TemporaryFile(std::string p) : path(std::move(p)) {}
  ~TemporaryFile() {
    platform::PosixFileSystem fs;
    if (fs.exists(path)) ignore_error(fs.remove(path), "the next probe replaces it");
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  std::string path;
};

Result<std::optional<double>> measure_disk(const std::string& dir) {
  HF_TRY(platform::PosixFileSystem().make_dirs(dir, 0700));
  const TemporaryFile temporary(dir + "/.probe");
  HF_TRY_ASSIGN(platform::File file, platform::File::create_or_replace(temporary.path, 0600));
  // Bytes that no file system compresses away.
  Bytes piece(kMiB);
  std::uint64_t state = 1;
  for (std::size_t i = 0; i < piece.size(); ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    piece[i] = static_cast<std::byte>(state >> 56);
  }
  for (std::uint64_t done = 0; done < kFileBytes; done += piece.size())
    HF_TRY(file.write_all(piece));
  HF_TRY(file.sync());
  return platform::measure_disk_read(file);
}

std::string vendor_of(std::string_view cpu) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kVendors = {{
      {"AMD", "AMD"},
      {"Intel", "Intel"},
      {"Apple", "Apple"},
      {"Ampere", "Ampere"},
      {"Neoverse", "Arm"},
      {"Cortex", "Arm"},
  }};
  for (const auto& [word, vendor] : kVendors) {
    if (cpu.find(word) != std::string_view::npos) return std::string(vendor);
  }
  return "unknown";
}

// Letters and digits in lower case, all else as single hyphens.
std::string slug(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 128 && std::isalnum(u) != 0) {
      out += static_cast<char>(std::tolower(u));
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
  }
  while (!out.empty() && out.back() == '-') out.pop_back();
  return out.empty() ? "cpu" : out;
}

std::string note_of(const MachineFacts& f) {
  std::string out = std::to_string(f.threads) + (f.threads == 1 ? " thread" : " threads") + " (" +
                    f.placement + "), " + f.isa + "; peaks and bus measured, f32 in place of fp16";
  if (f.disk_read_bytes_per_second)
    out += "; disk read " + fixed(*f.disk_read_bytes_per_second / 1e6, 0) + " MB/s";
  return out;
}

}  // namespace

Result<MachineFacts> probe_machine(const Context& context) {
  const json::Object config = engine_config(context);
  const platform::CpuFeatures cpu = platform::CpuFeatures::detect();
  HF_TRY_ASSIGN(const kernels::KernelTable* table,
                kernels::select_kernels(cpu, config.find("isa")->as_string()));
  MachineFacts f;
  f.cpu = cpu.model;
  f.threads = config.find("threads")->as_int();
  f.isa = std::string(table->isa);
  f.memory_bytes = platform::MemoryLimits::detect().limit_bytes();
  HF_TRY_ASSIGN(platform::MachineProbe probe, open_probe(*table, static_cast<unsigned>(f.threads)));
  HF_TRY_ASSIGN(const platform::MachineLimits limits, probe.measure());
  f.placement = std::string(platform::placement_name(limits.placement()));
  f.memory_bytes_per_second = limits.memory_bytes_per_second;
  f.int8_ops_per_second = limits.int8_ops_per_second;
  f.f32_ops_per_second = limits.f32_ops_per_second;
  HF_TRY_ASSIGN(f.disk_read_bytes_per_second, measure_disk(context.data_dir));
  f.date = today();
  return f;
}

std::string machine_id(std::string_view cpu, std::int64_t threads) {
  return "local-" + slug(cpu) + "-" + std::to_string(threads) + "t";
}

std::string machine_row_csv(const MachineFacts& f) {
  const std::pair<std::string_view, std::string> columns[] = {
      {"id", machine_id(f.cpu, f.threads)},
      {"vendor", vendor_of(f.cpu)},
      {"class", "cpu"},
      {"mem_gb", fixed(static_cast<double>(f.memory_bytes) / 1e9, 1)},
      {"mem_bw_gbs", fixed(f.memory_bytes_per_second / 1e9, 1)},
      {"fp16_tflops_dense", fixed(f.f32_ops_per_second / 1e12, 3)},
      {"int8_tops_dense", fixed(f.int8_ops_per_second / 1e12, 3)},
      {"fp8_tflops_dense", ""},
      {"fp4_tflops_dense", ""},
      {"tdp_w", ""},
      {"link_gbs_per_dir", ""},
      {"buy_usd_low", ""},
      {"buy_usd_mid", ""},
      {"buy_usd_high", ""},
      {"rent_usd_h_ondemand", ""},
      {"rent_usd_h_spot", ""},
      {"spec_source", "measured on this machine " + f.date},
      {"spec_confidence", "A"},
      {"note", note_of(f)},
  };
  std::string header;
  std::string row;
  for (const auto& [name, value] : columns) {
    if (!header.empty()) {
      header += ',';
      row += ',';
    }
    header += name;
    row += planner::csv_cell(value);
  }
  return header + "\n" + row + "\n";
}

}  // namespace holdfast::cli
