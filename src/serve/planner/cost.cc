#include "holdfast/planner/cost.h"

#include <cmath>
#include <limits>

namespace holdfast::planner {
namespace {

// Bounds that keep every product finite; far beyond any real case.
constexpr double kAmountMax = 1e18;
constexpr double kYearsMax = 100;

Error bad(const std::string& field, const std::string& why) {
  return Error(ErrorCode::kInvalidArgument, field + " " + why);
}

Status check_range(const std::string& field, double value, double low, double high) {
  if (std::isfinite(value) && value >= low && value <= high) return ok_status();
  return bad(field, "is out of range");
}

Status check_amount(const std::string& field, double value) {
  return check_range(field, value, 0, kAmountMax);
}

Status check(const Ownership& own) {
  HF_TRY(check_amount("purchase", own.purchase.value()));
  HF_TRY(check_range("resale_share", own.resale_share, 0, 1));
  HF_TRY(check_range("life_years", own.life_years, 1.0 / 12, kYearsMax));
  HF_TRY(check_range("wacc", own.wacc, 0, 1));
  HF_TRY(check_range("maintenance_share", own.maintenance_share, 0, 1));
  HF_TRY(check_amount("idle_w", own.idle.value()));
  HF_TRY(check_range("load_w", own.load.value(), own.idle.value(), kAmountMax));
  HF_TRY(check_range("duty", own.duty, 0, 1));
  HF_TRY(check_range("pue", own.pue, 1, 10));
  HF_TRY(check_amount("electricity", own.electricity.value()));
  HF_TRY(check_amount("space", own.space.value()));
  HF_TRY(check_amount("network", own.network.value()));
  HF_TRY(check_amount("licences", own.licences.value()));
  HF_TRY(check_amount("staff", own.staff.value()));
  HF_TRY(check_amount("insurance", own.insurance.value()));
  return check_amount("opportunity", own.opportunity.value());
}

Status check(const RentedHours& hours) {
  HF_TRY(check_amount("price", hours.price.value()));
  HF_TRY(check_amount("used_hours", hours.used.value()));
  HF_TRY(check_amount("starts", hours.starts));
  HF_TRY(check_amount("minimum_block_hours", hours.minimum_block.value()));
  HF_TRY(check_range("commit_discount", hours.commit_discount, 0, 1));
  HF_TRY(check_range("interruptions_per_hour", hours.interruptions_per_hour, 0, 1000));
  return check_amount("restart_s", hours.restart.value());
}

Status check(const TokenPurchase& purchase) {
  HF_TRY(check_amount("tokens_in", purchase.in.value()));
  HF_TRY(check_amount("tokens_out", purchase.out.value()));
  HF_TRY(check_range("hit_share", purchase.hit_share, 0, 1));
  HF_TRY(check_amount("price_in", purchase.price_in.value()));
  HF_TRY(check_amount("price_cached", purchase.price_cached.value()));
  HF_TRY(check_amount("price_out", purchase.price_out.value()));
  return check_range("escalator", purchase.escalator, -1, 10);
}

}  // namespace

double capital_recovery_factor(double wacc, double life_years) {
  if (wacc == 0) return 1 / life_years;
  const double growth = std::pow(1 + wacc, life_years);
  return wacc * growth / (growth - 1);
}

Energy energy_per_year(Power idle, Power load, double duty, double pue) {
  return pue * (idle + (load - idle) * duty) * years(1);
}

Money OwnershipYear::total() const {
  return capital + maintenance + energy + space + network + licences + staff + insurance +
         opportunity;
}

Result<OwnershipYear> own_cost_year(const Ownership& own) {
  HF_TRY(check(own));
  OwnershipYear year;
  if (!own.sunk) {
    const double resale_now = own.resale_share / std::pow(1 + own.wacc, own.life_years);
    year.capital =
        own.purchase * (1 - resale_now) * capital_recovery_factor(own.wacc, own.life_years);
  }
  year.maintenance = own.maintenance_share * own.purchase;
  year.energy_used = energy_per_year(own.idle, own.load, own.duty, own.pue);
  year.energy = year.energy_used * own.electricity;
  year.space = own.space;
  year.network = own.network;
  year.licences = own.licences;
  year.staff = own.staff;
  year.insurance = own.insurance;
  year.opportunity = own.opportunity;
  return year;
}

MoneyPerSecond spread_over_year(Money per_year) { return per_year / years(1); }

Money RentalYear::total() const { return hours + minimum_idle + interruptions + storage + egress; }

Result<RentalYear> rental_cost_year(const Rental& rental) {
  RentalYear year;
  for (const RentedHours& machine : rental.machines) {
    HF_TRY(check(machine));
    const MoneyPerSecond price = machine.price * (1 - machine.commit_discount);
    year.hours += price * machine.used;
    const Seconds unused = machine.starts * machine.minimum_block - machine.used;
    if (unused > Seconds(0)) year.minimum_idle += price * unused;
    const double interruptions = in_hours(machine.used) * machine.interruptions_per_hour;
    year.interruptions += price * (interruptions * machine.restart);
  }
  HF_TRY(check_amount("stored_gb", rental.stored.value()));
  HF_TRY(check_amount("storage_month", rental.storage_month.value()));
  HF_TRY(check_amount("egress_gb", rental.egress.value()));
  HF_TRY(check_amount("egress_price", rental.egress_price.value()));
  year.storage = rental.stored * rental.storage_month * kMonthsPerYear;
  year.egress = rental.egress * rental.egress_price;
  return year;
}

Money TokenApiYear::total() const { return in + cached + out + egress; }

Result<TokenApiYear> token_api_cost_year(const TokenApi& api, int year) {
  HF_TRY(check_range("year", year, 0, kYearsMax));
  TokenApiYear cost;
  for (const TokenPurchase& purchase : api.purchases) {
    HF_TRY(check(purchase));
    const double drift = std::pow(1 + purchase.escalator, year);
    cost.in += purchase.in * (1 - purchase.hit_share) * purchase.price_in * drift;
    cost.cached += purchase.in * purchase.hit_share * purchase.price_cached * drift;
    cost.out += purchase.out * purchase.price_out * drift;
  }
  HF_TRY(check_amount("egress_gb", api.egress.value()));
  HF_TRY(check_amount("egress_price", api.egress_price.value()));
  cost.egress = api.egress * api.egress_price;
  return cost;
}

double break_even_duty(MoneyPerSecond own, MoneyPerSecond rent) {
  if (rent <= MoneyPerSecond(0)) return std::numeric_limits<double>::infinity();
  return own / rent;
}

double break_even_duty(MoneyPerSecond own, TokensPerSecond full_speed, MoneyPerToken price) {
  return break_even_duty(own, full_speed * price);
}

Result<int> vendor_servers(int instances, int gpus_per_instance, int gpus_per_server) {
  constexpr int kCountMax = 1 << 20;
  if (instances < 1 || instances > kCountMax) return bad("instances", "is out of range");
  if (gpus_per_instance < 1 || gpus_per_instance > 1024) {
    return bad("gpus_per_instance", "is out of range");
  }
  if (gpus_per_server < 1) return bad("gpus_per_server", "is out of range");
  const int gpus = instances * gpus_per_instance;
  return gpus / gpus_per_server + (gpus % gpus_per_server != 0 ? 1 : 0);
}

double lockin_index(Money migration, Money unrecoverable, Money annual_spend) {
  const Money committed = migration + unrecoverable;
  if (annual_spend > Money(0)) return committed / annual_spend;
  return committed > Money(0) ? std::numeric_limits<double>::infinity() : 0;
}

double coefficient_of_variation(const std::vector<Money>& amounts) {
  if (amounts.size() < 2) return 0;
  Money sum;
  for (Money amount : amounts) sum += amount;
  const double mean = sum.value() / static_cast<double>(amounts.size());
  if (mean == 0) return 0;
  double squares = 0;
  for (Money amount : amounts) squares += (amount.value() - mean) * (amount.value() - mean);
  return std::sqrt(squares / static_cast<double>(amounts.size())) / std::abs(mean);
}

}  // namespace holdfast::planner
