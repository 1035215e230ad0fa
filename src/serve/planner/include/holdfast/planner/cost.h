// What a way of running a model costs in a year: own, rent, token API (specification, section 12).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/planner/units.h"

namespace holdfast::planner {

// The share of a loan repaid each year, interest included: w(1+w)^y / ((1+w)^y - 1), and 1/y for
// w = 0. Precondition: wacc >= 0, life_years > 0 (own_cost_year checks what comes from outside).
double capital_recovery_factor(double wacc, double life_years);

// Energy at the wall in one year of 8,760 hours: PUE * [idle + (load - idle) * duty].
Energy energy_per_year(Power idle, Power load, double duty, double pue);

// One set of machines that is bought, or already there.
struct Ownership {
  Money purchase;
  // Already paid for: no capital cost, but upkeep is still counted on the purchase price.
  bool sunk = false;
  double resale_share = 0;  // of the purchase price, at the end of life
  double life_years = 0;
  double wacc = 0;
  double maintenance_share = 0;  // of the purchase price, each year
  Power idle;
  Power load;
  double duty = 0;  // derived from the simulation, never asked
  double pue = 1;
  MoneyPerEnergy electricity;
  // Each per year. `opportunity` is what owned hardware would earn elsewhere.
  Money space, network, licences, staff, insurance, opportunity;
};

struct OwnershipYear {
  Money capital;
  Money maintenance;
  Money energy;
  Money space, network, licences, staff, insurance, opportunity;
  Energy energy_used;

  Money total() const;
};

// The levelised year: (C - C*rho/(1+w)^y)*CRF(w,y) + maint*C + energy + the other lines.
// kInvalidArgument names the field that is negative, not finite or out of range.
Result<OwnershipYear> own_cost_year(const Ownership& own);

// A cost per year spread over every hour of it, busy or not.
MoneyPerSecond spread_over_year(Money per_year);

// Hours of one rented machine type in a year.
struct RentedHours {
  MoneyPerSecond price;
  Seconds used;           // machine time in the year, all machines together
  double starts = 0;      // times a machine was started
  Seconds minimum_block;  // least time billed at each start
  double commit_discount = 0;
  // Spot: each interruption costs one restart of billed time without work.
  double interruptions_per_hour = 0;
  Seconds restart;
};

struct Rental {
  std::vector<RentedHours> machines{};
  Bytes stored{};
  MoneyPerByte storage_month{};
  Bytes egress{};  // in the year
  MoneyPerByte egress_price{};
};

struct RentalYear {
  Money hours;         // of work, after the discount
  Money minimum_idle;  // billed because of the minimum block
  Money interruptions;
  Money storage;
  Money egress;

  Money total() const;
};

// The idle minimum is max(0, starts * block - used): with the runs of one machine type taken as
// equally long. kInvalidArgument names the field.
Result<RentalYear> rental_cost_year(const Rental& rental);

// A share of the tokens sold by one upstream, in a year.
struct TokenPurchase {
  Tokens in;
  Tokens out;
  double hit_share = 0;  // of the input, found in the upstream's cache
  MoneyPerToken price_in;
  MoneyPerToken price_cached;
  MoneyPerToken price_out;
  double escalator = 0;  // yearly drift of its prices, for example -0.3
};

struct TokenApi {
  std::vector<TokenPurchase> purchases{};
  Bytes egress{};  // in the year
  MoneyPerByte egress_price{};
};

struct TokenApiYear {
  Money in, cached, out, egress;

  Money total() const;
};

// The cost in year `year` (0 is the first): sum of (in*(1-hit)*p_in + in*hit*p_cached + out*p_out)
// * (1+escalator)^year, plus egress. kInvalidArgument names the field.
Result<TokenApiYear> token_api_cost_year(const TokenApi& api, int year);

// Share of the hours at which owning equals renting: u* = c_own_hour / p_rent_hour. Above 1: never.
double break_even_duty(MoneyPerSecond own, MoneyPerSecond rent);

// The same against a token price: the share of its full speed at which the owned machine's cost per
// token equals the price. Above 1: never.
double break_even_duty(MoneyPerSecond own, TokensPerSecond full_speed, MoneyPerToken price);

// Servers a vendor's sizing formula asks for: ceil(instances * gpus_per_instance /
// gpus_per_server). kInvalidArgument for a count below 1.
Result<int> vendor_servers(int instances, int gpus_per_instance, int gpus_per_server);

// (migration + unrecoverable commitments) / annual spend; 0 when nothing is spent or committed, and
// infinite when something is committed to an option that costs nothing.
double lockin_index(Money migration, Money unrecoverable, Money annual_spend);

// Standard deviation over mean of the amounts (population form); 0 for fewer than two or mean 0.
double coefficient_of_variation(const std::vector<Money>& amounts);

}  // namespace holdfast::planner
