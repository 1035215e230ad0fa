// Costs line by line over the years, and what follows from their cash flow (specification, 12).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/planner/cost.h"
#include "holdfast/planner/units.h"

namespace holdfast::planner {

inline constexpr int kHorizonYearsMax = 30;

// When in a year a line is paid.
enum class Payment {
  kMonthly,  // in twelve equal parts, each at the end of its month
  kYearEnd,  // at once
};

struct LedgerLine {
  std::string name;
  // [horizon_years + 1]: 0 is paid now, t in year t, escalation included. Income is negative.
  std::vector<Money> per_year;
  double escalator = 0;  // what was applied, to be printed
  Payment payment = Payment::kMonthly;
  bool assumed = false;  // rests on an assumed default: printed as such
};

struct Ledger {
  int horizon_years = 0;
  std::vector<LedgerLine> lines;
};

// Yearly growth of each line of an owned machine.
struct OwnEscalators {
  double purchase = 0, maintenance = 0, electricity = 0, space = 0, network = 0, licences = 0,
         staff = 0, insurance = 0, opportunity = 0;
};

// A line that costs `first_year` in year 1 and (1+escalator)^(t-1) times that in year t.
LedgerLine yearly_line(std::string name, Money first_year, double escalator, int horizon_years);

// Cash view of an owned machine: the purchase now and again at each end of life (in whole years,
// rounded up) inside the horizon, its resale then, at the horizon the value between purchase and
// resale by age, and the yearly lines. A line whose amounts are all zero is left out; `sunk`
// hardware has neither purchase nor resale. kInvalidArgument names the field.
Result<Ledger> own_ledger(const Ownership& own, const OwnEscalators& escalators, int horizon_years);

// One line per part of the cost; every rental line grows by the same escalator.
Result<Ledger> rental_ledger(const Rental& rental, double escalator, int horizon_years);

// Lines for input, cached input, output and egress; each purchase has its own escalator inside.
Result<Ledger> token_api_ledger(const TokenApi& api, int horizon_years);

// [horizon_years + 1] sums of the lines: 0 is now.
std::vector<Money> cash_flow_by_year(const Ledger& ledger);

// [12 * horizon_years + 1]: 0 is now, m the end of month m.
std::vector<Money> cash_flow_by_month(const Ledger& ledger);

// Undiscounted sum of all amounts.
Money ledger_total(const Ledger& ledger);

// Sum of flow[t] / (1+rate)^t; t = 0 is now. Precondition: rate > -1.
Money net_present_value(const std::vector<Money>& flow, double rate);

// The rate at which the flow is worth nothing, by bisection in (-99 %, 1000 %); nullopt when the
// value has the same sign at both ends. For a flow that changes sign more than once it is one of
// several roots.
std::optional<double> internal_rate_of_return(const std::vector<Money>& flow);

// What is saved at each step by `option` instead of `baseline`; the shorter is padded with zeros.
std::vector<Money> savings(const std::vector<Money>& baseline, const std::vector<Money>& option);

// The first step from which on the cumulated savings stay at or above zero: 0 when nothing had to
// be paid ahead; nullopt when they end below zero.
std::optional<int> payback_step(const std::vector<Money>& saved);

// Months until a constant monthly saving has repaid the outlay, a fraction included: capex /
// (baseline_month - option_month); nullopt when there is no saving.
std::optional<double> break_even_months(Money capex, Money baseline_month, Money option_month);

}  // namespace holdfast::planner
