// Devices: what a machine can do at most, as its specification row says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/planner/units.h"

namespace holdfast::planner {

// The `class` column of hardware.csv.
enum class DeviceClass : std::uint8_t {
  kDatacentre,
  kWorkstation,
  kConsumer,
  kSystemOnChip,
  kEdge,
  kCpu
};
std::string_view device_class_name(DeviceClass c);  // "dc", "ws", "gpu", "soc", "edge", "cpu"

// Devices that share the efficiencies of decoding: what limits it is the kind of memory and who
// wrote the kernels.
enum class MemoryFamily : std::uint8_t {
  kCudaGddr,
  kCudaHbm,
  kMetal,
  kUnified,  // graphics and processor share it, not Apple
  kOtherGpu,
  kIntelGpu,
  kCpu,
};
inline constexpr std::size_t kMemoryFamilies = 7;
std::string_view memory_family_name(MemoryFamily f);

struct Device {
  std::string id;
  std::string vendor;
  DeviceClass device_class = DeviceClass::kCpu;
  Bytes memory;
  BytesPerSecond bandwidth;
  FlopsPerSecond fp16;  // dense, with accumulation in 32 bits
  std::optional<FlopsPerSecond> int8;
  std::optional<FlopsPerSecond> fp8;
  std::optional<FlopsPerSecond> fp4;
  Power tdp;
  BytesPerSecond link;              // to its neighbours, each direction; 0: not known
  std::optional<double> buy_low;    // money
  std::optional<double> buy;        // money, street estimate
  std::optional<double> buy_high;   // money
  std::optional<double> rent_hour;  // money per hour, on demand
  std::optional<double> rent_hour_spot;
  std::string source;
  std::string confidence;  // A, B, C
  std::string note;
  bool from_user = false;

  MemoryFamily family() const;
  // Devices that share the efficiencies of prefill: "ampere-gpu", "ada-ws", "metal", ... From the
  // vendor, the class and the name of the part.
  std::string architecture() const;
  // Peak of 16-bit products. GeForce parts: with accumulation in 16 bits, twice the column
  // (principle 3).
  FlopsPerSecond arithmetic_peak() const;
  // The peak that prefill efficiencies are shares of: arithmetic_peak(), but for Hopper 0.62 of it,
  // what mma.sync can reach without the wgmma instructions that engines of the llama.cpp class do
  // not use (Luo et al. 2024, "Benchmarking and Dissecting the Nvidia Hopper GPU Architecture via
  // Microbenchmarking").
  FlopsPerSecond prefill_peak() const;
  // The bandwidth left to data: data-centre parts with GDDR memory keep error correction in it,
  // which costs about 7 %.
  BytesPerSecond data_bandwidth() const;
  // The peak of engines that compute in 8 bits: FP8, else INT8 where it is not below FP16.
  FlopsPerSecond eight_bit_peak() const;
  // Share of the memory that models may use (specification, section 6).
  double usable_share() const;
};

inline constexpr std::size_t kDevicesMax = 4096;

// The rows of a file with the columns of hardware.csv. Unknown columns are refused with the
// nearest known one; missing values of optional columns stay unknown. kInvalidArgument names the
// line and column.
Result<std::vector<Device>> parse_devices(std::string_view csv, std::string_view name,
                                          bool from_user);

// Rows that look mistaken although each is valid: figures with sparsity, a GeForce row that already
// counts accumulation in 16 bits. Sentences for the report.
std::vector<std::string> suspicious(const Device& device, const std::vector<Device>& shipped);

// Shipped rows and the user's; rows of the user replace those with the same id.
class DeviceTable {
 public:
  explicit DeviceTable(std::vector<Device> devices) : devices_(std::move(devices)) {}
  void merge(std::vector<Device> more);
  const std::vector<Device>& all() const { return devices_; }
  // By its whole id, never by a part of it: L40 is not L40S. kNotFound with the nearest ids.
  Result<Device> find(std::string_view id) const;

 private:
  std::vector<Device> devices_;
};

// The nearest of some names, for "did you mean": at most three, those that contain the text first.
std::vector<std::string> nearest_names(std::string_view text,
                                       const std::vector<std::string>& names);
// "did you mean a, b or c?", or empty.
std::string did_you_mean(std::string_view text, const std::vector<std::string>& names);

}  // namespace holdfast::planner
