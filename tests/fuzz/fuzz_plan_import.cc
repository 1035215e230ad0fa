// Price catalogues of others: the first byte says of whom. What is taken over is a book that reads
// back as itself.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "holdfast/json/toml.h"
#include "holdfast/planner/import_prices.h"
#include "holdfast/planner/shipped.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast;
  if (size == 0 || data[0] < '0' || data[0] > '3') return 0;
  const auto format = static_cast<planner::PriceFormat>(data[0] - '0');
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto imported = planner::import_prices(format, text, "fuzz", "cloud", "2026-12-01",
                                               planner::shipped_devices());
  if (!imported.ok()) return 0;
  const planner::PriceBook& book = imported->book;
  for (const planner::PriceVolatility& v : imported->volatility) {
    if (!std::isfinite(v.sigma_year) || !std::isfinite(v.drift_year) || v.prices < 2) std::abort();
  }
  const auto again = planner::PriceBook::parse(planner::price_book_json(book), "again");
  if (!again.ok() || !planner::diff_prices(book, *again).empty()) std::abort();
  const std::string toml = planner::price_book_toml(book);
  if (toml.size() > json::kTomlBytesMax || book.all().empty()) return 0;
  const auto document = json::parse_toml(toml, "toml");
  if (!document.ok()) std::abort();
  const auto from_toml = planner::PriceBook::parse(*document, "toml");
  if (!from_toml.ok() || !planner::diff_prices(book, *from_toml).empty()) std::abort();
  return 0;
}
