// The golden cases G1 to G15 of the planner, computed by the library: `plan validate --golden`.
#pragma once

#include <string>
#include <vector>

#include "holdfast/json/json.h"

namespace holdfast::cli {

struct GoldenRow {
  std::string golden_case;  // "G1"
  std::string quantity;
  json::Value expected;  // as printed: a number, or a text
  json::Value got;
  bool holds = false;  // to one unit of the last printed digit
};

// In the order of the cases.
std::vector<GoldenRow> golden_rows();

// G1 to G4 and G12 to G14: money. G5 to G8: rates and memory. G9 to G11: waiting, splits, up time.
// G15: whole plans.
void add_golden_money(std::vector<GoldenRow>& rows);
void add_golden_rates(std::vector<GoldenRow>& rows);
void add_golden_chance(std::vector<GoldenRow>& rows);
void add_golden_plans(std::vector<GoldenRow>& rows);

// `expected` as the specification prints it: "1.47019", "30.276".
void add_golden(std::vector<GoldenRow>& rows, const char* golden_case, std::string quantity,
                const char* expected, double got);

}  // namespace holdfast::cli
