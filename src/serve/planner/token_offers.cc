#include "token_offers.h"

#include <algorithm>

#include "holdfast/planner/shipped.h"

namespace holdfast::planner {

namespace {

// Output and cached input of the same entry; false where there is no price of output.
Result<bool> complete_offer(const Problem& p, const Price& in, std::vector<Price>& used,
                            TokenPrices& offer) {
  bool complete = false;
  for (const Price& other : p.prices.all()) {
    if (other.id != in.id || other.region != in.region) continue;
    if (other.kind == PriceKind::kTokenOut) {
      HF_TRY_ASSIGN(offer.out, use_price(p, other, used));
      complete = true;
    }
    if (other.kind == PriceKind::kRequest) {
      HF_TRY_ASSIGN(offer.request, use_price(p, other, used));
    }
    if (other.kind == PriceKind::kTokenInCached) {
      HF_TRY_ASSIGN(offer.cached, use_price(p, other, used));
    }
  }
  return complete;
}

// Providers write names in their own ways: the model's letters and digits have to be among theirs.
Result<std::vector<TokenPrices>> offers_named(const Problem& p, const std::string& name,
                                              std::vector<Price>& used) {
  std::vector<TokenPrices> out;
  for (const Price& in : p.prices.all()) {
    if (in.kind != PriceKind::kTokenIn) continue;
    const std::size_t slash = in.id.find('/');
    const std::string sold =
        letters_and_digits(slash == std::string::npos ? in.id : in.id.substr(slash + 1));
    if (sold.find(name) == std::string::npos) continue;
    TokenPrices offer;
    offer.id = in.id;
    offer.region = in.region;
    HF_TRY_ASSIGN(offer.in, use_price(p, in, used));
    offer.cached = offer.in;
    HF_TRY_ASSIGN(const bool complete, complete_offer(p, in, used, offer));
    if (complete) out.push_back(std::move(offer));
  }
  return out;
}

}  // namespace

void note_price(const Price& price, std::vector<Price>& used) {
  const bool there = std::any_of(used.begin(), used.end(), [&price](const Price& u) {
    return u.id == price.id && u.kind == price.kind && u.region == price.region;
  });
  if (!there) used.push_back(price);
}

Result<double> use_price(const Problem& problem, const Price& price, std::vector<Price>& used) {
  HF_TRY_ASSIGN(const double value, problem.prices.amount(price, problem.currency));
  note_price(price, used);
  return value;
}

Result<std::vector<TokenPrices>> token_offers(const Problem& problem, const ModelShape& model,
                                              std::vector<Price>& used, std::string& substitute) {
  substitute.clear();
  HF_TRY_ASSIGN(auto offers, offers_named(problem, letters_and_digits(model.id), used));
  if (!offers.empty()) return offers;
  std::vector<const ModelShape*> larger;
  for (const ModelShape& m : shipped_models())
    if (m.params >= model.params) larger.push_back(&m);
  std::stable_sort(larger.begin(), larger.end(),
                   [](const ModelShape* a, const ModelShape* b) { return a->params < b->params; });
  for (const ModelShape* m : larger) {
    HF_TRY_ASSIGN(offers, offers_named(problem, letters_and_digits(m->id), used));
    if (offers.empty()) continue;
    substitute = m->id;
    return offers;
  }
  return offers;
}

Result<std::optional<TokenPrices>> frontier_offer(const Problem& problem,
                                                  std::vector<Price>& used) {
  std::optional<TokenPrices> best;
  for (const char* name : {"claudesonnet", "gemini31pro", "gpt52"}) {
    HF_TRY_ASSIGN(const auto offers, offers_named(problem, name, used));
    for (const TokenPrices& t : offers)
      if (!best || t.out < best->out) best = t;
  }
  return best;
}

}  // namespace holdfast::planner
