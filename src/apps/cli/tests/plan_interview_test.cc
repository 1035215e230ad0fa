// Conversations written by hand, and the documents they must end in.
#include "../plan_interview.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "holdfast/json/toml.h"
#include "holdfast/planner/problem.h"

namespace holdfast::cli {
namespace {

using ::testing::HasSubstr;

struct Talk {
  std::vector<std::string> answers;
  std::string said;
  InterviewFacts facts{{"llama-3.1-8b", "my-model"}, {"nvidia-rtx4090-24"}, "llama-3.1-8b", false};

  Result<json::Object> run() {
    std::size_t next = 0;
    Conversation talk;
    talk.ask = [&](const std::string& prompt) -> Result<std::optional<std::string>> {
      said += prompt + "\n";
      if (next == answers.size()) return std::optional<std::string>();
      return std::optional(answers[next++]);
    };
    talk.say = [&](const std::string& text) { said += text + "\n"; };
    return interview(facts, talk);
  }
};

std::vector<std::string> all_defaults() { return std::vector<std::string>(10); }

TEST(PlanInterview, EmptyLinesTakeTheDefaults) {
  Talk t{all_defaults(), "", {}};
  const auto document = t.run();
  ASSERT_TRUE(document.ok()) << document.error().to_string();
  EXPECT_EQ(json::write(*document),
            R"({"workload":{"users":50,"sessions_per_user_day":3,"requests_per_session":5,)"
            R"("isl":1155,"osl":211},"models":[{"name":"llama-3.1-8b"}],)"
            R"("privacy":{"label":"internal"},"budget":{"horizon_years":4},)"
            R"("slo":{"ttft_p99_ms":3000,"tpot_p99_ms":100}})");
}

TEST(PlanInterview, BadAnswersAskAgainAndBackGoesBack) {
  Talk t;
  t.answers = {"many",
               "0",
               "?",
               "200",
               "coding",
               "code",
               "gpt-9",
               "my-model",
               "top",
               "secret",
               "back",
               "back",
               "",
               "regulated",
               "EU, BR",
               "-5",
               "5000",
               "none",
               "quickly",
               "fast",
               "3 nvidia-rtx4090",
               "0 nvidia-rtx4090-24",
               "2 nvidia-rtx4090-24",
               "2.5",
               "3"};
  const auto document = t.run();
  ASSERT_TRUE(document.ok()) << document.error().to_string() << t.said;
  const json::Value d(*document);
  EXPECT_EQ(d.find("workload")->find("users")->as_double(), 200);
  EXPECT_EQ(d.find("workload")->find("osl")->as_double(), 28);
  EXPECT_EQ(d.find("models")->as_array()[0].find("name")->as_string(), "my-model");
  EXPECT_EQ(d.find("privacy")->find("label")->as_string(), "regulated");
  EXPECT_EQ(d.find("privacy")->find("residency")->as_array().size(), 2u);
  EXPECT_EQ(d.find("budget")->find("capex_max")->as_double(), 5000);
  EXPECT_EQ(d.find("budget")->find("opex_month_max"), nullptr);
  EXPECT_EQ(d.find("owned")->as_array()[0].find("count")->as_double(), 2);
  EXPECT_EQ(d.find("budget")->find("horizon_years")->as_double(), 3);
  EXPECT_THAT(t.said, HasSubstr("did you mean nvidia-rtx4090-24?"));
  EXPECT_THAT(t.said, HasSubstr("Everyone who asks it something"));
  // Going back shows what was answered.
  EXPECT_THAT(t.said, HasSubstr("3/10 Which model? [my-model]"));
}

TEST(PlanInterview, EndOfInputIsNoAnswer) {
  Talk t;
  t.answers = {"50", "chat"};
  const auto document = t.run();
  ASSERT_FALSE(document.ok());
  EXPECT_EQ(document.error().code(), ErrorCode::kCancelled);
}

TEST(PlanInterview, SpeaksPortuguese) {
  Talk t{all_defaults(), "", {}};
  t.facts.portuguese = true;
  t.answers.insert(t.answers.begin() + 1, {"voltar", ""});
  ASSERT_TRUE(t.run().ok());
  EXPECT_THAT(t.said, HasSubstr("Quantas pessoas"));
  EXPECT_THAT(t.said, testing::Not(HasSubstr("How many")));
}

// Whatever is answered, the file reads as the same document, and it is a problem.
TEST(PlanInterview, TheFileIsThePlan) {
  for (const char* work : {"chat", "code", "documents", "batch"}) {
    Talk t{all_defaults(), "", {}};
    t.facts.devices = {"nvidia-rtx4090-24"};
    t.answers[1] = work;
    t.answers[4] = "EU";
    t.answers[8] = "2 nvidia-rtx4090-24, 1 nvidia-rtx4090-24";
    const auto document = t.run();
    ASSERT_TRUE(document.ok()) << work;
    const std::string toml = interview_toml(*document);
    const auto again = json::parse_toml(toml, "file");
    ASSERT_TRUE(again.ok()) << again.error().to_string() << "\n" << toml;
    planner::ProblemInputs inputs;
    inputs.document = *again;
    inputs.today = "2026-08-05";
    const auto problem = planner::parse_problem(inputs);
    ASSERT_TRUE(problem.ok()) << problem.error().to_string() << "\n" << toml;
    planner::ProblemInputs direct = inputs;
    direct.document = json::Value(*document);
    EXPECT_EQ(planner::parse_problem(direct)->inputs_sha256, problem->inputs_sha256) << work;
  }
}

}  // namespace
}  // namespace holdfast::cli
