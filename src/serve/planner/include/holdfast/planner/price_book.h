// The price book: what hardware, hours, tokens and electricity cost, where and since when.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/json/json.h"

namespace holdfast::planner {

enum class PriceKind : std::uint8_t {
  kPurchase,       // one device; id: the device
  kGpuHour,        // one device for an hour; id: "device" or "provider/device"
  kGpuHourSpot,    // the same, interruptible
  kTokenIn,        // a million tokens; id: "provider/model"
  kTokenInCached,  // a million tokens found in the provider's cache
  kTokenOut,
  kEgressGb,
  kStorageGbMonth,
  kRequest,         // a thousand requests
  kElectricityKwh,  // id: the region
  kRackMonth,       // a rack unit for a month
  kExchangeRate,    // id: a currency; its worth in the currency of the entry
};
std::string_view price_kind_name(PriceKind kind);

struct Price {
  std::string id;
  PriceKind kind{};
  std::string region;  // empty: not known
  std::string currency = "USD";
  std::string unit;
  double price = 0;
  std::string valid_from;  // YYYY-MM-DD; empty: not known
  std::string source_url;
  std::string retrieved;   // YYYY-MM-DD
  std::string confidence;  // A, B, C
  bool from_user = false;
};

inline constexpr std::size_t kPricesMax = 200'000;
inline constexpr int kStaleDays = 90;

// Entries, the user's before the shipped ones. Thread-compatible value.
class PriceBook {
 public:
  // Hardware, hours and tokens of the files that are built in; made once.
  static const PriceBook& shipped();
  // A list of entries, or an object with one under "price" (TOML's [[price]]). kInvalidArgument
  // names the entry and the field: an unknown one, a kind, unit or currency that is none, a price
  // below 0.
  static Result<PriceBook> parse(const json::Value& document, std::string_view name);

  // Entries of `other` come first; what has the same id, kind and region here is replaced.
  void merge(PriceBook other);
  const std::vector<Price>& all() const { return prices_; }
  void add(Price price) { prices_.push_back(std::move(price)); }

  // The first entry of that kind whose id is `id` or ends in "/id".
  const Price* find(PriceKind kind, std::string_view id) const;
  // All of them.
  std::vector<const Price*> find_all(PriceKind kind, std::string_view id) const;

  // In the plan's currency. kInvalidArgument if the entry has another and there is no exchange rate
  // between them.
  Result<double> amount(const Price& price, std::string_view currency) const;

 private:
  std::vector<Price> prices_;
};

json::Value price_json(const Price& price);

// Days between two dates "YYYY-MM-DD" (proleptic Gregorian); nullopt where either is none.
std::optional<int> days_between(std::string_view earlier, std::string_view later);
// "2026-12-01" plus whole weeks or months (to the month's last day at most). Precondition: a date.
std::string add_days(std::string_view date, int days);

// What is wrong or doubtful in a book, each a sentence: stale entries counted by kind, prices that
// no provider has, spot above on demand, cached input above input.
struct PriceFinding {
  std::string id;
  std::string what;
  bool error = false;  // or a warning
};
std::vector<PriceFinding> check_prices(const PriceBook& book, std::string_view today);

}  // namespace holdfast::planner
