#include "holdfast/planner/units.h"

namespace holdfast::planner {

// What the products of the formulas are, checked where it costs nothing.
static_assert(gibibytes(1) / gigabytes_per_second(1) > Seconds(1.07));
static_assert(teraflops(1) * Seconds(2) == Flops(2e12));
static_assert(money_per_hour(3600) * Seconds(1) == Money(1));
static_assert(watts(1000) * hours(1) == kilowatt_hours(1));
static_assert(Seconds(4) / Seconds(2) == 2.0);

}  // namespace holdfast::planner
