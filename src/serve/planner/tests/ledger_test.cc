#include "holdfast/planner/ledger.h"

#include <gtest/gtest.h>

namespace holdfast::planner {
namespace {

constexpr double kCent = 0.005;

Ownership server(double life_years) {
  Ownership own;
  own.purchase = Money(1000);
  own.resale_share = 0.2;
  own.life_years = life_years;
  own.wacc = 0.1;
  own.staff = Money(120);
  return own;
}

// Bought for 1000 now, sold for 200 after year 2, again 1000 * 1.1^2 = 1210 then; at the horizon
// after year 3 it is one of two years old: 1210 * (1 - 0.5 * 0.8) = 726. Staff 120, 126, 132.30.
TEST(LedgerTest, PurchasesRepeatAndAreValuedAtTheHorizon) {
  const Ledger ledger = own_ledger(server(2), {.purchase = 0.1, .staff = 0.05}, 3).value();
  ASSERT_EQ(ledger.lines.size(), 3u);
  const std::vector<Money> flow = cash_flow_by_year(ledger);
  ASSERT_EQ(flow.size(), 4u);
  EXPECT_NEAR(flow[0].value(), 1000, kCent);
  EXPECT_NEAR(flow[1].value(), 120, kCent);
  EXPECT_NEAR(flow[2].value(), 1210 - 200 + 126, kCent);
  EXPECT_NEAR(flow[3].value(), -726 + 132.30, kCent);
  EXPECT_NEAR(ledger_total(ledger).value(), 1662.30, kCent);
  const std::vector<Money> months = cash_flow_by_month(ledger);
  ASSERT_EQ(months.size(), 37u);
  EXPECT_NEAR(months[12].value(), 10, kCent);
  EXPECT_NEAR(months[24].value(), 1010 + 10.5, kCent);
  EXPECT_NEAR(months[36].value(), -726 + 11.025, kCent);
}

TEST(LedgerTest, NothingIsBoughtAtTheHorizon) {
  const Ledger ledger = own_ledger(server(2), {}, 4).value();
  EXPECT_EQ(ledger.lines[0].name, "purchase");
  EXPECT_EQ(ledger.lines[0].per_year,
            (std::vector<Money>{Money(1000), Money(0), Money(1000), Money(0), Money(0)}));
}

// The levelised capital of own_cost_year is the annuity whose present value is that of the cash.
TEST(LedgerTest, AnnuityEqualsPresentValueOfTheCash) {
  Ownership own = server(4);
  own.staff = Money(0);
  const Money capital = own_cost_year(own).value().capital;
  const std::vector<Money> flow = cash_flow_by_year(own_ledger(own, {}, 4).value());
  const std::vector<Money> annuity{Money(0), capital, capital, capital, capital};
  EXPECT_NEAR(net_present_value(flow, 0.1).value(), net_present_value(annuity, 0.1).value(), 1e-9);
}

// -100 now and 60, 60: x = 1/(1+r) solves 60x^2 + 60x = 100, x = (-1 + sqrt(1 + 20/3)) / 2 =
// 0.884437, r = 0.130662. Value at 10 %: 60/1.1 + 60/1.21 - 100 = 4.132231.
TEST(LedgerTest, ValueAndReturn) {
  const std::vector<Money> flow{Money(-100), Money(60), Money(60)};
  EXPECT_NEAR(net_present_value(flow, 0.1).value(), 4.132231, 1e-6);
  EXPECT_NEAR(*internal_rate_of_return(flow), 0.130662, 1e-6);
  EXPECT_FALSE(internal_rate_of_return({Money(1), Money(2)}).has_value());
  EXPECT_FALSE(internal_rate_of_return({}).has_value());
  EXPECT_FALSE(internal_rate_of_return({Money(0), Money(0)}).has_value());
}

TEST(LedgerTest, PaybackIsTheStepFromWhichItStaysPaid) {
  EXPECT_EQ(payback_step({Money(-100), Money(50), Money(50), Money(5)}), 2);
  EXPECT_EQ(payback_step({Money(-100), Money(150), Money(-60), Money(20)}), 3);
  EXPECT_EQ(payback_step({Money(1), Money(1)}), 0);
  EXPECT_FALSE(payback_step({Money(-100), Money(50)}).has_value());
  EXPECT_EQ(payback_step({}), 0);
  EXPECT_FALSE(break_even_months(Money(10), Money(1), Money(2)).has_value());
  EXPECT_DOUBLE_EQ(*break_even_months(Money(10), Money(3), Money(1)), 5);
}

TEST(LedgerTest, EachPurchaseOfTokensDriftsOnItsOwn) {
  TokenPurchase falls;
  falls.in = Tokens(1e6);
  falls.price_in = money_per_million_tokens(10);
  falls.escalator = -0.5;
  TokenPurchase rises = falls;
  rises.escalator = 0.5;
  const Ledger ledger = token_api_ledger({.purchases = {falls, rises}}, 3).value();
  ASSERT_EQ(ledger.lines.size(), 1u);
  EXPECT_NEAR(ledger.lines[0].per_year[1].value(), 20, kCent);
  EXPECT_NEAR(ledger.lines[0].per_year[2].value(), 5 + 15, kCent);
  EXPECT_NEAR(ledger.lines[0].per_year[3].value(), 2.5 + 22.5, kCent);
  EXPECT_EQ(ledger.lines[0].escalator, 0);
}

}  // namespace
}  // namespace holdfast::planner
