#include "holdfast/planner/csv.h"

#include <gtest/gtest.h>

namespace holdfast::planner {
namespace {

TEST(CsvTest, QuotesLineEndsAndEmptyCells) {
  const auto t = CsvTable::parse("a,b,c\r\n1,\"x, \"\"y\"\"\",\n\n2,,\"line\nbreak\"\n", "f.csv");
  ASSERT_TRUE(t.ok()) << t.error().to_string();
  ASSERT_EQ(t->rows(), 2u);
  EXPECT_EQ(t->text(0, "b"), "x, \"y\"");
  EXPECT_EQ(t->text(1, "c"), "line\nbreak");
  EXPECT_EQ(t->text(0, "none"), "");
  EXPECT_EQ(t->place(1), "f.csv line 4");
  EXPECT_EQ(*t->required(0, "a", 0, 10), 1.0);
  EXPECT_EQ(*t->number(0, "c", 0, 10), std::nullopt);
}

TEST(CsvTest, ErrorsNameTheLine) {
  const auto message = [](std::string_view text) {
    const auto t = CsvTable::parse(text, "f.csv");
    return t.ok() ? std::string("ok") : t.error().client_message();
  };
  EXPECT_NE(message("a,b\n1\n").find("f.csv line 2: 1 cells"), std::string::npos);
  EXPECT_NE(message("a,a\n").find("comes twice"), std::string::npos);
  EXPECT_NE(message("a\n\"x\n").find("not closed"), std::string::npos);
  EXPECT_NE(message("a\n\"x\"y\n").find("after a closing quote"), std::string::npos);
  EXPECT_NE(message("a\nx\"y\n").find("quote inside"), std::string::npos);
  EXPECT_NE(message("").find("empty"), std::string::npos);
}

TEST(CsvTest, NumbersAreFiniteAndInRange) {
  for (const char* bad : {"x", "nan", "inf", "1e999", "-1", "11", "1 ", "0x1", "1,5"}) {
    const auto t = CsvTable::parse("a,b\n\"" + std::string(bad) + "\",1\n", "f.csv");
    ASSERT_TRUE(t.ok());
    const auto n = t->number(0, "a", 0, 10);
    ASSERT_FALSE(n.ok()) << bad;
    EXPECT_NE(n.error().client_message().find("f.csv line 2: a is"), std::string::npos);
  }
}

TEST(CsvTest, LimitsHold) {
  std::string wide = "c0";
  for (std::size_t i = 1; i <= kCsvColumnsMax; ++i) wide += ",c" + std::to_string(i);
  EXPECT_EQ(CsvTable::parse(wide, "f").error().code(), ErrorCode::kExhausted);
  EXPECT_EQ(CsvTable::parse(std::string(kCsvBytesMax + 1, 'a'), "f").error().code(),
            ErrorCode::kExhausted);
}

TEST(CsvTest, CellsAreQuotedWhereNeeded) {
  EXPECT_EQ(csv_cell("plain"), "plain");
  EXPECT_EQ(csv_cell("a,\"b\""), "\"a,\"\"b\"\"\"");
}

}  // namespace
}  // namespace holdfast::planner
