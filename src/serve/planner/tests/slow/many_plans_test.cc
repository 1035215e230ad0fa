// 100,000 random problems: no plan holds a negative number or one that is none.
#include <gtest/gtest.h>

#include "../random_problem.h"
#include "holdfast/json/toml.h"
#include "holdfast/planner/plan.h"

namespace holdfast::planner {
namespace {

TEST(ManyPlansTest, NoNumberIsNegativeOrNotANumber) {
  constexpr int kProblems = 100'000;
  Random r(7);
  int recommended = 0;
  for (int i = 0; i < kProblems; ++i) {
    const std::string toml = random_problem(r, 2);
    ProblemInputs in;
    in.document = *json::parse_toml(toml, "random");
    in.today = "2026-12-01";
    const auto problem = parse_problem(in);
    ASSERT_TRUE(problem.ok()) << problem.error().to_string() << "\n" << toml;
    const auto plan = make_plan(*problem, Efficiencies::shipped(), {"test", 4, i % 10 == 0});
    ASSERT_TRUE(plan.ok()) << plan.error().to_string() << "\n" << toml;
    recommended += plan->recommended ? 1 : 0;
    std::string where;
    ASSERT_TRUE(all_finite_and_positive(plan_json(*plan), where)) << where << "\n" << toml;
  }
  // Else the test would be of empty plans.
  EXPECT_GT(recommended, kProblems / 4);
}

}  // namespace
}  // namespace holdfast::planner
