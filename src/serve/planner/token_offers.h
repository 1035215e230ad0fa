// Prices of token APIs for a model, out of a price book.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "economics.h"

namespace holdfast::planner {

// Adds a price to those that the plan has used, once.
void note_price(const Price& price, std::vector<Price>& used);
// Its amount in the plan's currency, noted. kInvalidArgument without an exchange rate.
Result<double> use_price(const Problem& problem, const Price& price, std::vector<Price>& used);

// Offers for the model; where nobody sells it, those of the smallest larger model that somebody
// does, whose id is then in `substitute`.
Result<std::vector<TokenPrices>> token_offers(const Problem& problem, const ModelShape& model,
                                              std::vector<Price>& used, std::string& substitute);

// The cheapest of the newest closed models whose prices are there.
Result<std::optional<TokenPrices>> frontier_offer(const Problem& problem, std::vector<Price>& used);

}  // namespace holdfast::planner
