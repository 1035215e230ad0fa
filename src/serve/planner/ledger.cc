#include "holdfast/planner/ledger.h"

#include <algorithm>
#include <cmath>

namespace holdfast::planner {
namespace {

constexpr int kMonths = 12;

Status check_horizon(int horizon_years) {
  if (horizon_years >= 1 && horizon_years <= kHorizonYearsMax) return ok_status();
  return Error(ErrorCode::kInvalidArgument, "horizon_years must be 1 to 30");
}

Status check_escalator(const std::string& field, double escalator) {
  if (std::isfinite(escalator) && escalator > -1 && escalator <= 10) return ok_status();
  return Error(ErrorCode::kInvalidArgument, field + " escalator is out of range");
}

void add_line(Ledger& ledger, LedgerLine line) {
  const bool empty = std::all_of(line.per_year.begin(), line.per_year.end(),
                                 [](Money amount) { return amount == Money(0); });
  if (!empty) ledger.lines.push_back(std::move(line));
}

Status add_yearly(Ledger& ledger, const std::string& name, Money first_year, double escalator) {
  HF_TRY(check_escalator(name, escalator));
  add_line(ledger, yearly_line(name, first_year, escalator, ledger.horizon_years));
  return ok_status();
}

LedgerLine year_end_line(const std::string& name, int horizon_years, double escalator) {
  LedgerLine line;
  line.name = name;
  line.per_year.resize(static_cast<std::size_t>(horizon_years) + 1);
  line.escalator = escalator;
  line.payment = Payment::kYearEnd;
  return line;
}

// Purchases at 0, life, 2*life ...; each is sold at its end of life or at the horizon.
void add_purchases(Ledger& ledger, const Ownership& own, double escalator) {
  const int horizon = ledger.horizon_years;
  const int life = static_cast<int>(std::ceil(own.life_years));
  LedgerLine purchase = year_end_line("purchase", horizon, escalator);
  LedgerLine resale = year_end_line("resale", horizon, escalator);
  for (int bought = 0; bought < horizon; bought += life) {
    const Money price = own.purchase * std::pow(1 + escalator, bought);
    purchase.per_year[static_cast<std::size_t>(bought)] += price;
    const int sold = std::min(bought + life, horizon);
    const double aged = static_cast<double>(sold - bought) / life;
    resale.per_year[static_cast<std::size_t>(sold)] -= price * (1 - aged * (1 - own.resale_share));
  }
  add_line(ledger, std::move(purchase));
  add_line(ledger, std::move(resale));
}

double value_at(const std::vector<Money>& flow, double rate) {
  return net_present_value(flow, rate).value();
}

}  // namespace

LedgerLine yearly_line(std::string name, Money first_year, double escalator, int horizon_years) {
  LedgerLine line;
  line.name = std::move(name);
  line.escalator = escalator;
  line.per_year.push_back(Money(0));
  for (int year = 0; year < horizon_years; ++year) {
    line.per_year.push_back(first_year * std::pow(1 + escalator, year));
  }
  return line;
}

Result<Ledger> own_ledger(const Ownership& own, const OwnEscalators& escalators,
                          int horizon_years) {
  HF_TRY(check_horizon(horizon_years));
  HF_TRY_ASSIGN(const OwnershipYear year, own_cost_year(own));
  HF_TRY(check_escalator("purchase", escalators.purchase));
  Ledger ledger;
  ledger.horizon_years = horizon_years;
  if (!own.sunk) add_purchases(ledger, own, escalators.purchase);
  HF_TRY(add_yearly(ledger, "maintenance", year.maintenance, escalators.maintenance));
  HF_TRY(add_yearly(ledger, "energy", year.energy, escalators.electricity));
  HF_TRY(add_yearly(ledger, "space", year.space, escalators.space));
  HF_TRY(add_yearly(ledger, "network", year.network, escalators.network));
  HF_TRY(add_yearly(ledger, "licences", year.licences, escalators.licences));
  HF_TRY(add_yearly(ledger, "staff", year.staff, escalators.staff));
  HF_TRY(add_yearly(ledger, "insurance", year.insurance, escalators.insurance));
  HF_TRY(add_yearly(ledger, "opportunity", year.opportunity, escalators.opportunity));
  return ledger;
}

Result<Ledger> rental_ledger(const Rental& rental, double escalator, int horizon_years) {
  HF_TRY(check_horizon(horizon_years));
  HF_TRY_ASSIGN(const RentalYear year, rental_cost_year(rental));
  Ledger ledger;
  ledger.horizon_years = horizon_years;
  HF_TRY(add_yearly(ledger, "hours", year.hours, escalator));
  HF_TRY(add_yearly(ledger, "minimum_idle", year.minimum_idle, escalator));
  HF_TRY(add_yearly(ledger, "interruptions", year.interruptions, escalator));
  HF_TRY(add_yearly(ledger, "storage", year.storage, escalator));
  HF_TRY(add_yearly(ledger, "egress", year.egress, escalator));
  return ledger;
}

Result<Ledger> token_api_ledger(const TokenApi& api, int horizon_years) {
  HF_TRY(check_horizon(horizon_years));
  LedgerLine in{.name = "tokens_in", .per_year = {Money(0)}};
  LedgerLine cached{.name = "tokens_cached", .per_year = {Money(0)}};
  LedgerLine out{.name = "tokens_out", .per_year = {Money(0)}};
  LedgerLine egress{.name = "egress", .per_year = {Money(0)}};
  // One escalator is printed when all purchases share it.
  if (!api.purchases.empty()) {
    const double first = api.purchases.front().escalator;
    const bool same = std::all_of(api.purchases.begin(), api.purchases.end(),
                                  [&](const TokenPurchase& p) { return p.escalator == first; });
    in.escalator = cached.escalator = out.escalator = same ? first : 0;
  }
  for (int year = 0; year < horizon_years; ++year) {
    HF_TRY_ASSIGN(const TokenApiYear cost, token_api_cost_year(api, year));
    in.per_year.push_back(cost.in);
    cached.per_year.push_back(cost.cached);
    out.per_year.push_back(cost.out);
    egress.per_year.push_back(cost.egress);
  }
  Ledger ledger;
  ledger.horizon_years = horizon_years;
  for (LedgerLine* line : {&in, &cached, &out, &egress}) add_line(ledger, std::move(*line));
  return ledger;
}

std::vector<Money> cash_flow_by_year(const Ledger& ledger) {
  std::vector<Money> flow(static_cast<std::size_t>(ledger.horizon_years) + 1);
  for (const LedgerLine& line : ledger.lines) {
    const std::size_t n = std::min(flow.size(), line.per_year.size());
    for (std::size_t t = 0; t < n; ++t) flow[t] += line.per_year[t];
  }
  return flow;
}

std::vector<Money> cash_flow_by_month(const Ledger& ledger) {
  const auto horizon = static_cast<std::size_t>(ledger.horizon_years);
  std::vector<Money> flow(horizon * kMonths + 1);
  for (const LedgerLine& line : ledger.lines) {
    const std::size_t n = std::min(horizon + 1, line.per_year.size());
    for (std::size_t t = 0; t < n; ++t) {
      const Money amount = line.per_year[t];
      if (t == 0 || line.payment == Payment::kYearEnd) {
        flow[t * kMonths] += amount;
        continue;
      }
      for (std::size_t m = 1; m <= kMonths; ++m) flow[(t - 1) * kMonths + m] += amount / kMonths;
    }
  }
  return flow;
}

Money ledger_total(const Ledger& ledger) {
  Money total;
  for (Money amount : cash_flow_by_year(ledger)) total += amount;
  return total;
}

Money net_present_value(const std::vector<Money>& flow, double rate) {
  Money value;
  for (std::size_t t = 0; t < flow.size(); ++t) {
    value += flow[t] / std::pow(1 + rate, static_cast<double>(t));
  }
  return value;
}

std::optional<double> internal_rate_of_return(const std::vector<Money>& flow) {
  double low = -0.99;
  double high = 10;
  const double value_low = value_at(flow, low);
  if (value_low * value_at(flow, high) > 0 || value_low == value_at(flow, high)) {
    return std::nullopt;
  }
  // 60 halvings of an interval of 11 leave less than 1e-17.
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    if (value_at(flow, middle) * value_low > 0) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return (low + high) / 2;
}

std::vector<Money> savings(const std::vector<Money>& baseline, const std::vector<Money>& option) {
  std::vector<Money> saved(std::max(baseline.size(), option.size()));
  for (std::size_t t = 0; t < baseline.size(); ++t) saved[t] += baseline[t];
  for (std::size_t t = 0; t < option.size(); ++t) saved[t] -= option[t];
  return saved;
}

std::optional<int> payback_step(const std::vector<Money>& saved) {
  // A cent is the smallest amount anyone pays; less is rounding of the sum.
  constexpr Money kCent(0.005);
  Money cumulated;
  std::size_t first = 0;
  for (std::size_t t = 0; t < saved.size(); ++t) {
    cumulated += saved[t];
    if (cumulated < -kCent) first = t + 1;
  }
  if (first >= saved.size() && !saved.empty()) return std::nullopt;
  return static_cast<int>(first);
}

std::optional<double> break_even_months(Money capex, Money baseline_month, Money option_month) {
  if (capex <= Money(0) && option_month <= baseline_month) return 0.0;
  if (baseline_month <= option_month) return std::nullopt;
  return capex / (baseline_month - option_month);
}

}  // namespace holdfast::planner
