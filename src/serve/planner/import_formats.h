// Catalogues of token prices, one function for each; import_prices() is their only caller.
#pragma once

#include <string>
#include <string_view>

#include "holdfast/planner/import_prices.h"

namespace holdfast::planner {

// An entry of confidence B in USD, from that day on.
Price imported_price(PriceKind kind, std::string id, double amount, std::string_view date,
                     std::string_view source);

Result<ImportedPrices> from_litellm(const json::Value& root, std::string_view name,
                                    std::string_view date);
Result<ImportedPrices> from_genai_prices(const json::Value& root, std::string_view name,
                                         std::string_view date);
Result<ImportedPrices> from_llm_prices(const json::Value& root, std::string_view name,
                                       std::string_view date);

}  // namespace holdfast::planner
