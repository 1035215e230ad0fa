#include "holdfast/planner/device.h"

#include <algorithm>
#include <array>
#include <utility>

#include "holdfast/base/units.h"
#include "holdfast/planner/csv.h"

namespace holdfast::planner {

namespace {

constexpr std::array<std::pair<std::string_view, DeviceClass>, 6> kClasses{{
    {"dc", DeviceClass::kDatacentre},
    {"ws", DeviceClass::kWorkstation},
    {"gpu", DeviceClass::kConsumer},
    {"soc", DeviceClass::kSystemOnChip},
    {"edge", DeviceClass::kEdge},
    {"cpu", DeviceClass::kCpu},
}};

// Above it, memory of a data-centre GPU is stacked; GDDR6 parts end at 864 GB/s, the slowest with
// HBM has 933.
constexpr double kHbmFromBytesPerSecond = 900e9;
constexpr double kGddrErrorCorrection = 0.93;
constexpr double kHopperWithoutWgmma = 0.62;
// Apple machines up to this size keep a larger share for the system.
constexpr double kAppleSmallBytes = 32e9;

const std::vector<std::string>& known_columns() {
  static const std::vector<std::string> columns{"id",
                                                "vendor",
                                                "class",
                                                "mem_gb",
                                                "mem_bw_gbs",
                                                "fp16_tflops_dense",
                                                "int8_tops_dense",
                                                "fp8_tflops_dense",
                                                "fp4_tflops_dense",
                                                "tdp_w",
                                                "link_gbs_per_dir",
                                                "buy_usd_low",
                                                "buy_usd_mid",
                                                "buy_usd_high",
                                                "rent_usd_h_ondemand",
                                                "rent_usd_h_spot",
                                                "spec_source",
                                                "spec_confidence",
                                                "note"};
  return columns;
}

bool contains_any(std::string_view text, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [text](std::string_view p) { return text.find(p) != std::string_view::npos; });
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

bool is_vendor(const Device& d, std::string_view vendor) { return lower(d.vendor) == vendor; }

// The generation of an NVIDIA part by its name. What is not known is taken for the newest.
std::string_view nvidia_generation(std::string_view id) {
  if (contains_any(id, {"rtx30", "a100", "a40-", "rtxa", "-a10", "a30-", "orin"})) return "ampere";
  if (contains_any(id, {"rtx40", "ada", "l40", "-l4-"})) return "ada";
  if (contains_any(id, {"h100", "h200", "gh200", "h20-", "h800"})) return "hopper";
  if (contains_any(id, {"-t4", "rtx20", "rtx8000"})) return "turing";
  if (contains_any(id, {"v100"})) return "volta";
  return "blackwell";
}

Result<Device> parse_device(const CsvTable& t, std::size_t row, bool from_user) {
  Device d;
  d.id = t.text(row, "id");
  if (d.id.empty()) return invalid_argument(t.place(row) + ": id is missing");
  d.vendor = t.text(row, "vendor");
  const std::string_view word = t.text(row, "class");
  const auto* c = std::find_if(kClasses.begin(), kClasses.end(),
                               [word](const auto& entry) { return entry.first == word; });
  if (c == kClasses.end()) {
    return invalid_argument(t.place(row) + ": class is \"" + std::string(word) +
                            "\", and must be one of dc, ws, gpu, soc, edge, cpu");
  }
  d.device_class = c->second;
  HF_TRY_ASSIGN(const double memory, t.required(row, "mem_gb", 0.1, 1e6));
  HF_TRY_ASSIGN(const double bandwidth, t.required(row, "mem_bw_gbs", 0.1, 1e6));
  HF_TRY_ASSIGN(const double fp16, t.required(row, "fp16_tflops_dense", 1e-4, 1e6));
  HF_TRY_ASSIGN(const auto int8, t.number(row, "int8_tops_dense", 1e-4, 1e6));
  HF_TRY_ASSIGN(const auto fp8, t.number(row, "fp8_tflops_dense", 1e-4, 1e6));
  HF_TRY_ASSIGN(const auto fp4, t.number(row, "fp4_tflops_dense", 1e-4, 1e6));
  HF_TRY_ASSIGN(const auto tdp, t.number(row, "tdp_w", 0.1, 1e6));
  HF_TRY_ASSIGN(const auto link, t.number(row, "link_gbs_per_dir", 0, 1e6));
  HF_TRY_ASSIGN(d.buy_low, t.number(row, "buy_usd_low", 0, 1e9));
  HF_TRY_ASSIGN(d.buy, t.number(row, "buy_usd_mid", 0, 1e9));
  HF_TRY_ASSIGN(d.buy_high, t.number(row, "buy_usd_high", 0, 1e9));
  HF_TRY_ASSIGN(d.rent_hour, t.number(row, "rent_usd_h_ondemand", 0, 1e6));
  HF_TRY_ASSIGN(d.rent_hour_spot, t.number(row, "rent_usd_h_spot", 0, 1e6));
  d.memory = gigabytes(memory);
  d.bandwidth = gigabytes_per_second(bandwidth);
  d.fp16 = teraflops(fp16);
  if (int8) d.int8 = teraflops(*int8);
  if (fp8) d.fp8 = teraflops(*fp8);
  if (fp4) d.fp4 = teraflops(*fp4);
  d.tdp = watts(tdp.value_or(0));
  d.link = gigabytes_per_second(link.value_or(0));
  d.source = t.text(row, "spec_source");
  d.confidence = t.text(row, "spec_confidence");
  d.note = t.text(row, "note");
  d.from_user = from_user;
  return d;
}

}  // namespace

std::string_view device_class_name(DeviceClass c) {
  for (const auto& [name, value] : kClasses)
    if (value == c) return name;
  return "cpu";
}

std::string_view memory_family_name(MemoryFamily f) {
  constexpr std::array<std::string_view, kMemoryFamilies> kNames{
      "cuda-gddr", "cuda-hbm", "metal", "unified", "other-gpu", "intel-gpu", "cpu"};
  return kNames[static_cast<std::size_t>(f)];
}

MemoryFamily Device::family() const {
  const bool nvidia = is_vendor(*this, "nvidia");
  if (device_class == DeviceClass::kCpu) return MemoryFamily::kCpu;
  if (is_vendor(*this, "apple")) return MemoryFamily::kMetal;
  if (device_class == DeviceClass::kEdge)
    return nvidia ? MemoryFamily::kUnified : MemoryFamily::kCpu;
  if (device_class == DeviceClass::kSystemOnChip) return MemoryFamily::kUnified;
  if (device_class == DeviceClass::kDatacentre && bandwidth.value() >= kHbmFromBytesPerSecond &&
      !contains_any(id, {"rtx"})) {
    return MemoryFamily::kCudaHbm;
  }
  if (nvidia) return MemoryFamily::kCudaGddr;
  return is_vendor(*this, "intel") ? MemoryFamily::kIntelGpu : MemoryFamily::kOtherGpu;
}

std::string Device::architecture() const {
  const MemoryFamily f = family();
  if (!is_vendor(*this, "nvidia") || f == MemoryFamily::kCpu)
    return std::string(memory_family_name(f));
  std::string out(nvidia_generation(lower(id)));
  if (f == MemoryFamily::kCudaHbm) return out + "-hbm";
  if (f == MemoryFamily::kUnified) return out + "-unified";
  return out + (device_class == DeviceClass::kConsumer ? "-gpu" : "-ws");
}

FlopsPerSecond Device::arithmetic_peak() const {
  const bool geforce = is_vendor(*this, "nvidia") && device_class == DeviceClass::kConsumer;
  return geforce ? fp16 * 2 : fp16;
}

FlopsPerSecond Device::prefill_peak() const {
  const bool hopper = is_vendor(*this, "nvidia") && nvidia_generation(lower(id)) == "hopper";
  return hopper ? arithmetic_peak() * kHopperWithoutWgmma : arithmetic_peak();
}

BytesPerSecond Device::data_bandwidth() const {
  const bool corrected =
      device_class == DeviceClass::kDatacentre && family() == MemoryFamily::kCudaGddr;
  return corrected ? bandwidth * kGddrErrorCorrection : bandwidth;
}

FlopsPerSecond Device::eight_bit_peak() const {
  if (fp8) return *fp8;
  if (int8 && *int8 > fp16) return *int8;
  return fp16;
}

double Device::usable_share() const {
  switch (family()) {
    case MemoryFamily::kMetal:
      return memory.value() <= kAppleSmallBytes ? 0.70 : 0.78;
    case MemoryFamily::kUnified:
    case MemoryFamily::kCpu:
      // The system and other programs live in the same memory.
      return 0.80;
    default:
      return 0.90;
  }
}

Result<std::vector<Device>> parse_devices(std::string_view csv, std::string_view name,
                                          bool from_user) {
  HF_TRY_ASSIGN(const CsvTable table, CsvTable::parse(csv, name));
  for (const std::string& c : table.columns()) {
    const auto& known = known_columns();
    if (std::find(known.begin(), known.end(), c) != known.end()) continue;
    return invalid_argument(std::string(name) + ": unknown column \"" + c + "\"" +
                            did_you_mean(c, known));
  }
  for (const char* needed : {"id", "class", "mem_gb", "mem_bw_gbs", "fp16_tflops_dense"}) {
    if (!table.column(needed))
      return invalid_argument(std::string(name) + ": there is no column " + needed);
  }
  if (table.rows() > kDevicesMax)
    return exhausted(std::string(name) + ": more than " + std::to_string(kDevicesMax) + " devices");
  std::vector<Device> devices;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    HF_TRY_ASSIGN(Device d, parse_device(table, row, from_user));
    for (const Device& other : devices) {
      if (other.id == d.id)
        return invalid_argument(table.place(row) + ": id " + d.id + " comes twice");
    }
    devices.push_back(std::move(d));
  }
  return devices;
}

std::vector<std::string> suspicious(const Device& device, const std::vector<Device>& shipped) {
  std::vector<std::string> out;
  const auto twice = [](double a, double b) { return a > 1.9 * b && a < 2.1 * b; };
  for (const Device& known : shipped) {
    if (known.id != device.id) continue;
    if (!twice(device.fp16.value(), known.fp16.value())) continue;
    const bool geforce =
        device.device_class == DeviceClass::kConsumer && is_vendor(device, "nvidia");
    out.push_back(device.id + ": fp16_tflops_dense is twice the known figure: " +
                  (geforce ? "the column wants accumulation in 32 bits"
                           : "is it the figure with sparsity? Then halve it"));
  }
  // Dense 8-bit arithmetic is at least as fast as 16-bit on every part that has it, unless it was
  // cut; both equal on a part with tensor cores means that one of them counts sparsity.
  if (is_vendor(device, "nvidia") && device.fp8 && *device.fp8 == device.fp16)
    out.push_back(device.id + ": fp8 equals fp16: does fp16_tflops_dense count sparsity?");
  return out;
}

void DeviceTable::merge(std::vector<Device> more) {
  for (Device& d : more) {
    const auto at = std::find_if(devices_.begin(), devices_.end(),
                                 [&d](const Device& known) { return known.id == d.id; });
    if (at == devices_.end()) {
      devices_.push_back(std::move(d));
    } else {
      *at = std::move(d);
    }
  }
}

Result<Device> DeviceTable::find(std::string_view id) const {
  std::vector<std::string> names;
  for (const Device& d : devices_) {
    if (d.id == id) return d;
    names.push_back(d.id);
  }
  return not_found("there is no device \"" + std::string(id.substr(0, 80)) + "\"" +
                   did_you_mean(id, names))
      .with_hint("`holdfast plan prices show` lists them; --hardware FILE.csv adds your own");
}

namespace {

// Whether each run of letters and digits of `wanted` is part of the candidate: "llama 8b" of
// "llama-3.1-8b".
bool has_words(std::string_view candidate, std::string_view wanted) {
  constexpr std::string_view kBetween = " -_./";
  bool any = false;
  while (!wanted.empty()) {
    const std::size_t end = std::min(wanted.find_first_of(kBetween), wanted.size());
    const std::string_view word = wanted.substr(0, end);
    wanted.remove_prefix(std::min(end + 1, wanted.size()));
    if (word.empty()) continue;
    if (candidate.find(word) == std::string_view::npos) return false;
    any = true;
  }
  return any;
}

}  // namespace

std::vector<std::string> nearest_names(std::string_view text,
                                       const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 3;
  constexpr std::size_t kEditsMax = 12;
  std::vector<std::pair<std::size_t, std::string>> scored;
  const std::string wanted = lower(text.substr(0, 80));
  for (const std::string& n : names) {
    const std::string candidate = lower(n);
    const bool part = !wanted.empty() && candidate.find(wanted) != std::string::npos;
    const std::size_t distance = part ? 0
                                 : has_words(candidate, wanted)
                                     ? 1
                                     : edit_distance(wanted, candidate, kEditsMax);
    if (distance <= std::max<std::size_t>(2, wanted.size() / 2)) scored.emplace_back(distance, n);
  }
  std::stable_sort(scored.begin(), scored.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> out;
  for (std::size_t i = 0; i < std::min(kShown, scored.size()); ++i) out.push_back(scored[i].second);
  return out;
}

std::string did_you_mean(std::string_view text, const std::vector<std::string>& names) {
  const auto near = nearest_names(text, names);
  if (near.empty()) return {};
  std::string out = "; did you mean " + near[0];
  for (std::size_t i = 1; i < near.size(); ++i)
    out += (i + 1 < near.size() ? ", " : " or ") + near[i];
  return out + "?";
}

}  // namespace holdfast::planner
