// Prints costs and ledgers for seeded random inputs, one JSON object per line: what
// tests/ledger.py computes again in decimal arithmetic.
#include <cstdio>
#include <string>
#include <vector>

#include "holdfast/planner/ledger.h"
#include "holdfast/planner/random.h"

namespace holdfast::planner {
namespace {

// Draws one number with few digits, prints it as a field of "in", and returns it, so that both
// sides work from the same decimal.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : random_(seed) {}

  // In [low, high], in steps of 1/scale.
  double operator()(const char* field, double low, double high, double scale) {
    const auto first = static_cast<std::int64_t>(low * scale);
    const auto last = static_cast<std::int64_t>(high * scale);
    const auto span = static_cast<std::uint64_t>(last - first + 1);
    const auto step = first + static_cast<std::int64_t>(random_.next() % span);
    const double value = static_cast<double>(step) / scale;
    std::printf("%s\"%s\": %.9g", first_ ? "" : ", ", field, value);
    first_ = false;
    return value;
  }

 private:
  Random random_;
  bool first_ = true;
};

void print_ledger(const Ledger& ledger, double wacc) {
  std::printf("\"lines\": {");
  for (std::size_t i = 0; i < ledger.lines.size(); ++i) {
    std::printf("%s\"%s\": [", i == 0 ? "" : ", ", ledger.lines[i].name.c_str());
    const std::vector<Money>& years = ledger.lines[i].per_year;
    for (std::size_t t = 0; t < years.size(); ++t) {
      std::printf("%s%.6f", t == 0 ? "" : ", ", years[t].value());
    }
    std::printf("]");
  }
  std::printf("}, \"months\": [");
  const std::vector<Money> months = cash_flow_by_month(ledger);
  for (std::size_t m = 0; m < months.size(); ++m) {
    std::printf("%s%.6f", m == 0 ? "" : ", ", months[m].value());
  }
  std::printf("], \"npv\": %.6f, \"total\": %.6f}}\n",
              net_present_value(cash_flow_by_year(ledger), wacc).value(),
              ledger_total(ledger).value());
}

Ownership draw_ownership(Draw& draw) {
  Ownership own;
  own.purchase = Money(draw("purchase", 500, 400000, 1));
  own.sunk = draw("sunk", 0, 1, 1) * draw("sunk_too", 0, 1, 1) == 1;
  own.resale_share = draw("resale_share", 0, 0.3, 100);
  own.life_years = draw("life_years", 3, 6, 1);
  own.wacc = draw("wacc", 0, 0.12, 100);
  own.maintenance_share = draw("maintenance_share", 0.03, 0.12, 100);
  own.idle = watts(draw("idle_w", 10, 3000, 1));
  own.load = own.idle + watts(draw("more_w", 0, 6000, 1));
  own.duty = draw("duty", 0, 1, 100);
  own.pue = draw("pue", 1, 1.8, 100);
  own.electricity = money_per_kilowatt_hour(draw("kwh", 0.09, 0.28, 100));
  own.space = Money(draw("space", 0, 20000, 1));
  own.network = Money(draw("network", 0, 5000, 1));
  own.licences = Money(draw("licences", 0, 40000, 1));
  own.staff = Money(draw("staff", 0, 180000, 1));
  own.insurance = Money(draw("insurance", 0, 3000, 1));
  return own;
}

void print_own(int id) {
  std::printf("{\"id\": \"own-%d\", \"kind\": \"own\", \"in\": {", id);
  Draw draw(static_cast<std::uint64_t>(id));
  const Ownership own = draw_ownership(draw);
  OwnEscalators escalators;
  escalators.purchase = draw("esc_purchase", -0.1, 0.1, 100);
  escalators.maintenance = draw("esc_maintenance", 0, 0.05, 100);
  escalators.electricity = draw("esc_electricity", -0.02, 0.08, 100);
  escalators.staff = draw("esc_staff", 0, 0.06, 100);
  const int horizon = static_cast<int>(draw("horizon", 1, 10, 1));
  const OwnershipYear year = own_cost_year(own).value();
  std::printf("}, \"out\": {\"capital\": %.6f, \"energy\": %.6f, \"year\": %.6f, ",
              year.capital.value(), year.energy.value(), year.total().value());
  print_ledger(own_ledger(own, escalators, horizon).value(), own.wacc);
}

void print_rent(int id) {
  std::printf("{\"id\": \"rent-%d\", \"kind\": \"rent\", \"in\": {", id);
  Draw draw(static_cast<std::uint64_t>(1000 + id));
  RentedHours machine;
  machine.price = money_per_hour(draw("price", 0.2, 12, 100));
  machine.used = hours(draw("hours", 0, 20000, 1));
  machine.starts = draw("starts", 0, 2000, 1);
  machine.minimum_block = hours(draw("block_hours", 0, 24, 1));
  machine.commit_discount = draw("discount", 0, 0.6, 100);
  machine.interruptions_per_hour = draw("interruptions", 0, 0.2, 100);
  machine.restart = hours(draw("restart_hours", 0, 1, 100));
  Rental rental{.machines = {machine}};
  rental.stored = gigabytes(draw("stored_gb", 0, 5000, 1));
  rental.storage_month = money_per_gigabyte(draw("storage_gb_month", 0, 0.2, 1000));
  rental.egress = gigabytes(draw("egress_gb", 0, 20000, 1));
  rental.egress_price = money_per_gigabyte(draw("egress_price", 0, 0.12, 1000));
  const double escalator = draw("escalator", -0.2, 0.1, 100);
  const int horizon = static_cast<int>(draw("horizon", 1, 10, 1));
  const double wacc = draw("wacc", 0, 0.12, 100);
  std::printf("}, \"out\": {");
  print_ledger(rental_ledger(rental, escalator, horizon).value(), wacc);
}

void print_api(int id) {
  std::printf("{\"id\": \"api-%d\", \"kind\": \"api\", \"in\": {", id);
  Draw draw(static_cast<std::uint64_t>(2000 + id));
  TokenPurchase purchase;
  purchase.in = Tokens(1e6 * draw("in_m", 0, 900000, 1));
  purchase.out = Tokens(1e6 * draw("out_m", 0, 200000, 1));
  purchase.hit_share = draw("hit", 0, 0.9, 100);
  purchase.price_in = money_per_million_tokens(draw("price_in", 0.05, 15, 100));
  purchase.price_cached = money_per_million_tokens(draw("price_cached", 0.01, 1.5, 100));
  purchase.price_out = money_per_million_tokens(draw("price_out", 0.1, 75, 100));
  purchase.escalator = draw("escalator", -0.5, 0.2, 100);
  TokenApi api{.purchases = {purchase}};
  api.egress = gigabytes(draw("egress_gb", 0, 20000, 1));
  api.egress_price = money_per_gigabyte(draw("egress_price", 0, 0.12, 1000));
  const int horizon = static_cast<int>(draw("horizon", 1, 10, 1));
  const double wacc = draw("wacc", 0, 0.12, 100);
  std::printf("}, \"out\": {");
  print_ledger(token_api_ledger(api, horizon).value(), wacc);
}

}  // namespace
}  // namespace holdfast::planner

int main() {
  for (int id = 0; id < 20; ++id) holdfast::planner::print_own(id);
  for (int id = 0; id < 10; ++id) holdfast::planner::print_rent(id);
  for (int id = 0; id < 10; ++id) holdfast::planner::print_api(id);
  return 0;
}
