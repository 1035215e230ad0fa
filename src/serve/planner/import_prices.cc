#include "holdfast/planner/import_prices.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "holdfast/base/utf8.h"
#include "holdfast/planner/csv.h"
#include "import_formats.h"

namespace holdfast::planner {

namespace {

constexpr std::array<std::pair<PriceFormat, std::string_view>, 4> kFormats{
    {{PriceFormat::kSkyPilot, "skypilot"},
     {PriceFormat::kLiteLlm, "litellm"},
     {PriceFormat::kGenAiPrices, "genai-prices"},
     {PriceFormat::kLlmPrices, "llm-prices"}}};
constexpr double kHourMax = 1e4;
constexpr double kDevicesOfInstanceMax = 1024;
constexpr std::size_t kUnknownMax = 100;
constexpr std::size_t kRegionMax = 100;

// Names of catalogues in capitals, without what separates words.
constexpr std::array<std::pair<std::string_view, std::string_view>, 38> kAccelerators{{
    {"T4", "nvidia-t4-16"},
    {"L4", "nvidia-l4-24"},
    {"A10", "nvidia-a10-24"},
    {"A10G", "nvidia-a10g-24"},
    {"A30", "nvidia-a30-24"},
    {"A40", "nvidia-a40-48"},
    {"L40S", "nvidia-l40s-48"},
    {"A100", "nvidia-a100-40-sxm"},
    {"A10080GB", "nvidia-a100-80-sxm"},
    {"A10080GBSXM", "nvidia-a100-80-sxm"},
    {"A10080GBPCIE", "nvidia-a100-80-pcie"},
    {"H100", "nvidia-h100-80-sxm"},
    {"H10080GB", "nvidia-h100-80-sxm"},
    {"H100MEGA", "nvidia-h100-80-sxm"},
    {"H100SXM", "nvidia-h100-80-sxm"},
    {"H100PCIE", "nvidia-h100-80-pcie"},
    {"H100NVL", "nvidia-h100-nvl-94"},
    {"H200", "nvidia-h200-141-sxm"},
    {"H200SXM", "nvidia-h200-141-sxm"},
    {"GH200", "nvidia-gh200-144"},
    {"B200", "nvidia-b200-180-sxm"},
    {"B300", "nvidia-b300-270-sxm"},
    {"GB200", "nvidia-gb200-189"},
    {"RTXPRO6000", "nvidia-rtxpro6000-96-server"},
    {"RTXA6000", "nvidia-rtxa6000-48"},
    {"A6000", "nvidia-rtxa6000-48"},
    {"RTX6000ADA", "nvidia-rtx6000ada-48"},
    {"RTX5000ADA", "nvidia-rtx5000ada-32"},
    {"RTX4000ADA", "nvidia-rtx4000ada-20"},
    {"RTX5090", "nvidia-rtx5090-32"},
    {"RTX4090", "nvidia-rtx4090-24"},
    {"RTX4080", "nvidia-rtx4080-16"},
    {"RTX3090", "nvidia-rtx3090-24"},
    {"RTX3080", "nvidia-rtx3080-10"},
    {"RTX3070", "nvidia-rtx3070-8"},
    {"RTX3060", "nvidia-rtx3060-12"},
    {"MI300X", "amd-mi300x-192"},
    {"MI325X", "amd-mi325x-256"},
}};

std::string bare(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c >= 'a' && c <= 'z') out += static_cast<char>(c - 'a' + 'A');
    if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) out += c;
  }
  return out;
}

// The cheapest of each device, kind and region.
class Cheapest {
 public:
  void add(PriceKind kind, const std::string& id, std::string_view region, double price) {
    const auto [at, added] = best_.try_emplace({kind, id, std::string(region)}, price);
    if (!added) at->second = std::min(at->second, price);
  }
  // Of each id the cheapest region first: who names no region gets that.
  PriceBook book(std::string_view date, std::string_view source) const {
    std::vector<Price> all;
    for (const auto& [key, amount] : best_) {
      const auto& [kind, id, region] = key;
      all.push_back(imported_price(kind, id, amount, date, source));
      all.back().region = region;
    }
    std::stable_sort(all.begin(), all.end(), [](const Price& a, const Price& b) {
      return std::tie(a.kind, a.id, a.price) < std::tie(b.kind, b.id, b.price);
    });
    PriceBook out;
    for (Price& p : all) out.add(std::move(p));
    return out;
  }

 private:
  std::map<std::tuple<PriceKind, std::string, std::string>, double> best_;
};

Result<ImportedPrices> from_skypilot(std::string_view text, std::string_view name,
                                     std::string_view provider, std::string_view date,
                                     const DeviceTable& devices) {
  HF_TRY_ASSIGN(const CsvTable t, CsvTable::parse(text, name));
  for (const char* column : {"AcceleratorName", "AcceleratorCount", "Price"}) {
    if (!t.column(column))
      return invalid_argument(std::string(name) + ": there is no column " + column);
  }
  ImportedPrices out;
  Cheapest cheapest;
  std::set<std::string> unknown;
  for (std::size_t row = 0; row < t.rows(); ++row) {
    HF_TRY_ASSIGN(const auto price, t.number(row, "Price", 0, kHourMax * kDevicesOfInstanceMax));
    HF_TRY_ASSIGN(const auto spot, t.number(row, "SpotPrice", 0, kHourMax * kDevicesOfInstanceMax));
    HF_TRY_ASSIGN(const auto count, t.number(row, "AcceleratorCount", 0, kDevicesOfInstanceMax));
    const std::string accelerator(t.text(row, "AcceleratorName"));
    const std::string_view region = t.text(row, "Region");
    if (accelerator.empty() || count.value_or(0) <= 0 || (!price && !spot) ||
        region.size() > kRegionMax) {
      ++out.skipped;
      continue;
    }
    const auto device = device_of_accelerator(accelerator, devices);
    if (!device) {
      ++out.skipped;
      if (unknown.size() < kUnknownMax) unknown.insert(accelerator.substr(0, 100));
      continue;
    }
    const std::string id = std::string(provider) + "/" + *device;
    if (price && *price > 0 && *price / *count <= kHourMax)
      cheapest.add(PriceKind::kGpuHour, id, region, *price / *count);
    if (spot && *spot > 0 && *spot / *count <= kHourMax)
      cheapest.add(PriceKind::kGpuHourSpot, id, region, *spot / *count);
  }
  out.book = cheapest.book(date, "SkyPilot catalogue");
  out.unknown.assign(unknown.begin(), unknown.end());
  return out;
}

}  // namespace

std::optional<PriceFormat> find_price_format(std::string_view name) {
  for (const auto& [format, its] : kFormats)
    if (its == name) return format;
  return std::nullopt;
}

Price imported_price(PriceKind kind, std::string id, double amount, std::string_view date,
                     std::string_view source) {
  const bool hour = kind == PriceKind::kGpuHour || kind == PriceKind::kGpuHourSpot;
  Price p;
  p.id = std::move(id);
  p.kind = kind;
  p.unit = hour ? "hour" : "Mtok";
  p.price = amount;
  p.valid_from = date;
  p.retrieved = date;
  p.source_url = source;
  p.confidence = "B";
  p.from_user = true;
  return p;
}

std::optional<std::string> device_of_accelerator(std::string_view name,
                                                 const DeviceTable& devices) {
  const auto exact = devices.find(name);
  if (exact.ok()) return exact->id;
  const std::string wanted = bare(name);
  for (const auto& [accelerator, id] : kAccelerators)
    if (accelerator == wanted) return std::string(id);
  return std::nullopt;
}

Result<ImportedPrices> import_prices(PriceFormat format, std::string_view text,
                                     std::string_view name, std::string_view provider,
                                     std::string_view date, const DeviceTable& devices) {
  if (text.size() > kImportBytesMax)
    return exhausted(std::string(name) + ": is longer than " + std::to_string(kImportBytesMax) +
                     " bytes");
  if (!is_valid_utf8(text)) return invalid_argument(std::string(name) + ": is not UTF-8 text");
  if (!days_between(date, date))
    return invalid_argument("the date must be YYYY-MM-DD, and is \"" +
                            std::string(date.substr(0, 20)) + "\"");
  if (format == PriceFormat::kSkyPilot) return from_skypilot(text, name, provider, date, devices);
  json::ParseLimits limits;
  limits.bytes_max = kImportBytesMax;
  limits.values_max = std::size_t{4} << 20;
  auto parsed = json::parse(text, limits);
  if (!parsed.ok())
    return Error(parsed.error().code(), std::string(name) + ": " + parsed.error().client_message());
  switch (format) {
    case PriceFormat::kLiteLlm:
      return from_litellm(*parsed, name, date);
    case PriceFormat::kGenAiPrices:
      return from_genai_prices(*parsed, name, date);
    default:
      return from_llm_prices(*parsed, name, date);
  }
}

}  // namespace holdfast::planner
