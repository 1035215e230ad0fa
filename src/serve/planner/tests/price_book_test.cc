#include "holdfast/planner/price_book.h"

#include <gtest/gtest.h>

#include "holdfast/json/toml.h"

namespace holdfast::planner {
namespace {

std::string message(std::string_view toml) {
  const auto book = PriceBook::parse(*json::parse_toml(toml, "b"), "b");
  return book.ok() ? "ok" : book.error().client_message();
}

TEST(PriceBookTest, ShippedPricesAreFoundByDevice) {
  const PriceBook book = PriceBook::shipped();
  EXPECT_EQ(book.find(PriceKind::kPurchase, "nvidia-l4-24")->price, 2500);
  // Nebius, Verda and AWS.
  EXPECT_EQ(book.find_all(PriceKind::kGpuHour, "nvidia-h100-80-sxm").size(), 3u);
  EXPECT_EQ(book.find(PriceKind::kGpuHour, "nvidia-l4-24")->id, "market/nvidia-l4-24");
  EXPECT_EQ(book.find(PriceKind::kTokenOut, "groq/llama-3.3-70b-versatile")->price, 0.79);
  EXPECT_EQ(book.find(PriceKind::kPurchase, "l4-24"), nullptr);
}

TEST(PriceBookTest, TheUsersPricesReplaceAndComeFirst) {
  PriceBook book = PriceBook::shipped();
  const std::size_t before = book.all().size();
  book.merge(*PriceBook::parse(*json::parse_toml(R"(
[[price]]
id = "nvidia-l4-24"
kind = "purchase"
price = 2000
[[price]]
id = "mine/nvidia-l4-24"
kind = "gpu_hour"
price = 0.5
)",
                                                 "b"),
                               "b"));
  EXPECT_EQ(book.find(PriceKind::kPurchase, "nvidia-l4-24")->price, 2000);
  EXPECT_EQ(book.find(PriceKind::kGpuHour, "nvidia-l4-24")->price, 0.5);
  EXPECT_EQ(book.all().size(), before + 1);
}

TEST(PriceBookTest, ErrorsNameEntryAndField) {
  const std::string good = "[[price]]\nid = \"a\"\nkind = \"gpu_hour\"\n";
  EXPECT_EQ(message(good + "price = 1\n"), "ok");
  EXPECT_NE(message(good + "price = -1\n").find("b: price[0].price"), std::string::npos);
  EXPECT_NE(message(good).find("price[0].price: is missing"), std::string::npos);
  EXPECT_NE(message(good + "price = 1\nunit = \"month\"\n").find("are per hour"),
            std::string::npos);
  EXPECT_NE(message(good + "price = 1\ncurrency = \"dollar\"\n").find("price[0].currency"),
            std::string::npos);
  EXPECT_NE(
      message(good + "price = 1\nvalid_form = \"2026-01-01\"\n").find("did you mean valid_from"),
      std::string::npos);
  EXPECT_NE(message(good + "price = 1\nvalid_from = \"2026-02-30\"\n").find("valid_from"),
            std::string::npos);
  EXPECT_NE(message("[[price]]\nid = \"a\"\nkind = \"gpu_hours\"\nprice = 1\n")
                .find("did you mean gpu_hour"),
            std::string::npos);
  EXPECT_NE(message("[[prices]]\nid = \"a\"\n").find("list of prices"), std::string::npos);
}

TEST(PriceBookTest, CurrenciesNeedARate) {
  PriceBook book = *PriceBook::parse(*json::parse_toml(R"(
[[price]]
id = "a"
kind = "gpu_hour"
currency = "EUR"
price = 2
[[price]]
id = "EUR"
kind = "exchange_rate"
currency = "USD"
price = 1.1
)",
                                                       "b"),
                                     "b");
  const Price& p = *book.find(PriceKind::kGpuHour, "a");
  EXPECT_DOUBLE_EQ(*book.amount(p, "USD"), 2.2);
  EXPECT_DOUBLE_EQ(*book.amount(p, "EUR"), 2);
  EXPECT_FALSE(book.amount(p, "BRL").ok());
  EXPECT_DOUBLE_EQ(
      *book.amount(*PriceBook::shipped().find(PriceKind::kPurchase, "nvidia-l4-24"), "EUR"),
      2500 / 1.1);
}

// 2026-08-05 to 2026-12-01: 26 + 30 + 31 + 30 + 1 days.
TEST(PriceBookTest, Dates) {
  EXPECT_EQ(days_between("2026-08-05", "2026-12-01"), 118);
  EXPECT_EQ(days_between("2024-02-28", "2024-03-01"), 2);
  EXPECT_EQ(days_between("2026-2-1", "2026-12-01"), std::nullopt);
  EXPECT_EQ(add_days("2026-12-01", 31), "2027-01-01");
  EXPECT_EQ(add_days("2024-03-01", -1), "2024-02-29");
}

TEST(PriceBookTest, FindingsOfABook) {
  PriceBook book = *PriceBook::parse(*json::parse_toml(R"(
[[price]]
id = "a"
kind = "gpu_hour"
price = 2
valid_from = "2026-01-01"
[[price]]
id = "a"
kind = "gpu_hour_spot"
price = 3
valid_from = "2026-11-30"
[[price]]
id = "x/m"
kind = "token_in"
price = 1
valid_from = "2027-01-01"
)",
                                                       "b"),
                                     "b");
  std::string all;
  for (const PriceFinding& f : check_prices(book, "2026-12-01")) all += f.id + " " + f.what + "\n";
  EXPECT_NE(all.find("a spot costs more"), std::string::npos);
  EXPECT_NE(all.find("x/m has a price of input and none of output"), std::string::npos);
  EXPECT_NE(all.find("in the future"), std::string::npos);
  EXPECT_NE(all.find("1 prices are older than 90 days"), std::string::npos);
}

}  // namespace
}  // namespace holdfast::planner
