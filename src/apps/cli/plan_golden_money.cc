// Golden cases about money: owning, renting, tokens.
#include <array>

#include "holdfast/planner/cost.h"
#include "holdfast/planner/ledger.h"
#include "plan_golden.h"

namespace holdfast::cli {

namespace {

using namespace planner;  // NOLINT: formulas read as the specification writes them

constexpr double kStaffYear = 0.25 * 180'000;

// The node of eight H100 of G1.
Ownership h100_node(double duty) {
  Ownership own;
  own.purchase = Money(290'000);
  own.resale_share = 0.15;
  own.life_years = 4;
  own.wacc = 0.08;
  own.maintenance_share = 0.05;
  own.idle = watts(2400);
  own.load = watts(8500);
  own.duty = duty;
  own.pue = 1.54;
  own.electricity = money_per_kilowatt_hour(0.13);
  return own;
}

double total_of(const Ownership& own) {
  const auto year = own_cost_year(own);
  return year.ok() ? year->total().value() : -1;
}

MoneyPerSecond gpu_of_node(double duty) {
  return spread_over_year(Money(total_of(h100_node(duty)))) / 8;
}

void add_node(std::vector<GoldenRow>& rows) {
  const auto year = own_cost_year(h100_node(0.6));
  if (!year.ok()) return add_golden(rows, "G1", "total", "103031.22", -1);
  add_golden(rows, "G1", "crf", "0.301921", capital_recovery_factor(0.08, 4));
  add_golden(rows, "G1", "capital", "77903.48", year->capital.value());
  add_golden(rows, "G1", "energy_kwh", "81751.82", in_kilowatt_hours(year->energy_used));
  add_golden(rows, "G1", "energy", "10627.74", year->energy.value());
  add_golden(rows, "G1", "maintenance", "14500.00", year->maintenance.value());
  add_golden(rows, "G1", "total", "103031.22", year->total().value());
  add_golden(rows, "G1", "per_gpu_hour", "1.47019", per_hour(gpu_of_node(0.6)));
  add_golden(rows, "G2", "per_gpu_hour at duty 0.2", "1.40913", per_hour(gpu_of_node(0.2)));
  add_golden(rows, "G2", "per_gpu_hour at duty 0.9", "1.51599", per_hour(gpu_of_node(0.9)));
  add_golden(rows, "G2", "per_gpu_hour at duty 1.0", "1.53126", per_hour(gpu_of_node(1.0)));
  constexpr std::array<std::array<const char*, 2>, 4> kRents{
      {{"2.95", "49.8"}, {"2.29", "64.2"}, {"4.916", "29.9"}, {"1.25", "117.6"}}};
  for (const auto& [rent, percent] : kRents) {
    const double duty = break_even_duty(gpu_of_node(0.6), money_per_hour(std::stod(rent)));
    add_golden(rows, "G3", std::string("break_even_duty_percent at ") + rent, percent, 100 * duty);
  }
}

void add_blend(std::vector<GoldenRow>& rows) {
  const TokensPerSecond speed(2 * 4205.0);
  const MoneyPerSecond own = gpu_of_node(0.6) * 2;
  const MoneyPerSecond staff = spread_over_year(Money(kStaffYear));
  add_golden(rows, "G4", "tokens_m_per_hour", "30.276", (speed * hours(1)).value() / 1e6);
  add_golden(rows, "G4", "own_per_hour", "2.94039", per_hour(own));
  add_golden(rows, "G4", "staff_per_hour", "5.13699", per_hour(staff));
  add_golden(rows, "G4", "per_million_tokens", "0.09712", per_million_tokens(own / speed));
  struct Row {
    const char* price;
    const char* alone;
    const char* staffed;
    const char* shared;
  };
  constexpr std::array<Row, 3> kRows{{{"0.39", "24.9", "68.4", "30.3"},
                                      {"0.69", "14.1", "38.7", "17.1"},
                                      {"0.88", "11.0", "30.3", "13.4"}}};
  for (const Row& row : kRows) {
    const MoneyPerToken price = money_per_million_tokens(std::stod(row.price));
    const std::string at = std::string(" at ") + row.price;
    add_golden(rows, "G4", "duty_percent" + at, row.alone,
               100 * break_even_duty(own, speed, price));
    add_golden(rows, "G4", "duty_percent with staff" + at, row.staffed,
               100 * break_even_duty(own + staff, speed, price));
    add_golden(rows, "G4", "duty_percent of eight pairs" + at, row.shared,
               100 * break_even_duty(own + staff / 8, speed, price));
  }
}

// arXiv 2509.18101, Table IV: months until GPUs pay against an API.
struct StudyRow {
  const char* model;
  int gpus;
  double gpu_price;
  double gpu_watts;
  double tokens_per_second;
  std::array<const char*, 3> months;  // against GPT-5, Opus 4, Sonnet 4
};
constexpr std::array<StudyRow, 9> kStudy{{
    {"Kimi-K2", 16, 15000, 300, 800, {"69.3", "8.7", "44.0"}},
    {"GLM-4.5", 6, 15000, 300, 400, {"51.5", "6.5", "32.8"}},
    {"Qwen3-235B", 4, 15000, 300, 400, {"34.0", "4.3", "21.8"}},
    {"gpt-oss-120B", 2, 15000, 300, 220, {"30.9", "3.9", "19.8"}},
    {"GLM-4.5-Air", 2, 15000, 300, 200, {"34.0", "4.3", "21.8"}},
    {"Llama-3.3-70B", 1, 15000, 300, 190, {"17.8", "2.3", "11.4"}},
    {"EXAONE 4.0 32B", 1, 2000, 500, 200, {"2.26", "0.3", "1.4"}},
    {"Qwen3-30B", 1, 2000, 500, 180, {"2.5", "0.3", "1.6"}},
    {"Magistral Small", 1, 2000, 500, 150, {"3.0", "0.4", "1.9"}},
}};
constexpr std::array<std::array<double, 2>, 3> kStudyPrices{{{1.25, 10}, {15, 75}, {3, 15}}};
constexpr std::array<const char*, 3> kStudyApis{"GPT-5", "Opus 4", "Sonnet 4"};

Money api_month(double tokens, double price_in, double price_out) {
  TokenPurchase purchase;
  purchase.in = Tokens(tokens / 3);
  purchase.out = Tokens(2 * tokens / 3);
  purchase.price_in = money_per_million_tokens(price_in);
  purchase.price_out = money_per_million_tokens(price_out);
  const auto year = token_api_cost_year({.purchases = {purchase}}, 0);
  return year.ok() ? year->total() : Money(0);
}

void add_study(std::vector<GoldenRow>& rows) {
  const Seconds month = hours(8 * 22);
  for (const StudyRow& row : kStudy) {
    const Money electricity =
        watts(row.gpus * row.gpu_watts) * month * money_per_kilowatt_hour(0.15);
    const double tokens = row.tokens_per_second * month.value();
    for (std::size_t i = 0; i < kStudyPrices.size(); ++i) {
      const auto months =
          break_even_months(Money(row.gpus * row.gpu_price),
                            api_month(tokens, kStudyPrices[i][0], kStudyPrices[i][1]), electricity);
      add_golden(rows, "G12", std::string(row.model) + " against " + kStudyApis[i] + ", months",
                 row.months[i], months.value_or(-1));
    }
  }
}

void add_vendor_and_owned(std::vector<GoldenRow>& rows) {
  add_golden(rows, "G13", "servers of 10 instances of 4", "5",
             vendor_servers(10, 4, 8).value_or(0));
  add_golden(rows, "G13", "servers of 11 instances of 4", "6",
             vendor_servers(11, 4, 8).value_or(0));
  Ownership vendor;
  vendor.purchase = Money(5 * 250'000.0);
  vendor.life_years = 5;
  vendor.licences = Money(40 * 4500.0);
  vendor.space = Money(5 * 12'000.0);
  add_golden(rows, "G13", "per_year", "490000.00", total_of(vendor));
  Ownership owned = h100_node(0.6);
  owned.sunk = true;
  add_golden(rows, "G14", "per_year", "25127.74", total_of(owned));
  add_golden(rows, "G14", "break_even_months", "0",
             break_even_months(Money(0), Money(5000), Money(2093.98)).value_or(-1));
}

}  // namespace

void add_golden_money(std::vector<GoldenRow>& rows) {
  add_node(rows);
  add_blend(rows);
  add_study(rows);
  add_vendor_and_owned(rows);
}

}  // namespace holdfast::cli
