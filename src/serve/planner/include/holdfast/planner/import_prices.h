// Price books from the catalogues of others: files that somebody downloaded.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/planner/device.h"
#include "holdfast/planner/price_book.h"

namespace holdfast::planner {

enum class PriceFormat : std::uint8_t { kSkyPilot, kLiteLlm, kGenAiPrices, kLlmPrices };
// "skypilot", "litellm", "genai-prices", "llm-prices".
std::optional<PriceFormat> find_price_format(std::string_view name);

inline constexpr std::size_t kImportBytesMax = std::size_t{64} << 20;

// How a price moved, T years from the first date that is known to the file's.
struct PriceVolatility {
  std::string id;
  PriceKind kind{};
  std::size_t prices = 0;  // of the history, at least 2
  double years = 0;        // T
  double drift_year = 0;   // ln(last / first) / T
  double sigma_year = 0;   // sqrt(sum of ln(p_i / p_(i-1))^2 / T): realised volatility
};

struct ImportedPrices {
  PriceBook book;
  std::vector<PriceVolatility> volatility;  // of formats with a history
  std::size_t skipped = 0;                  // entries without a price or a device that we know
  std::vector<std::string> unknown;         // names of accelerators without a device, each once
};

// What an accelerator's name in cloud catalogues stands for: "A100-80GB" is nvidia-a100-80-sxm.
// The id of a device stands for itself. nullopt for a name that nobody knows.
std::optional<std::string> device_of_accelerator(std::string_view name, const DeviceTable& devices);

// `provider` names the book's entries ("aws"); `date` is that of the file, YYYY-MM-DD.
// SkyPilot: CSV with InstanceType, AcceleratorName, AcceleratorCount, Price, SpotPrice, Region; the
// price of an instance is divided by its devices, and of several instances the cheapest of a region
// is taken. LiteLLM: an object by model name, costs per token. genai-prices: a list of providers
// with models and prices per million tokens; of prices with conditions the one that has begun last.
// llm-prices: {"prices": [...]} with or without dates, or the models of one vendor with
// "price_history". Entries without a price of input and output are skipped and counted.
// kInvalidArgument names line, column or member; kExhausted above the limits.
Result<ImportedPrices> import_prices(PriceFormat format, std::string_view text,
                                     std::string_view name, std::string_view provider,
                                     std::string_view date, const DeviceTable& devices);

// As TOML: [[price]] tables, which PriceBook::parse reads again.
std::string price_book_toml(const PriceBook& book);
json::Value price_book_json(const PriceBook& book);

// One price that differs between two books.
struct PriceDifference {
  std::string id;
  PriceKind kind{};
  std::string region;
  std::optional<double> before;
  std::optional<double> after;
  std::string currency;
};
// By id, kind and region, in that order.
std::vector<PriceDifference> diff_prices(const PriceBook& before, const PriceBook& after);

}  // namespace holdfast::planner
