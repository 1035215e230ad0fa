// Derivations of a plan's numbers. Oracle: the arithmetic that is printed must give the number that
// the plan holds, which the planner computed on another way; and hand arithmetic for one model.
#include "holdfast/planner/explain.h"

#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <set>

#include "../report_view.h"
#include "plan_fixture.h"

namespace holdfast::planner {
namespace {

// The text of the row that begins with `name`.
std::string row(const std::string& text, const std::string& name) {
  const std::size_t at = text.find("\n  " + name);
  if (at == std::string::npos) return "";
  const std::size_t start = at + 3 + name.size();
  return text.substr(start, text.find('\n', start) - start);
}

// Every number of a text, thousands separators left out.
std::vector<double> numbers(const std::string& text) {
  std::vector<double> out;
  for (std::size_t pos = 0; pos < text.size();) {
    if (text[pos] < '0' || text[pos] > '9') {
      ++pos;
      continue;
    }
    std::string digits;
    for (; pos < text.size() && std::string("0123456789.,").find(text[pos]) != std::string::npos;
         ++pos)
      if (text[pos] != ',') digits += text[pos];
    double value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    out.push_back(value);
  }
  return out;
}

std::string explain(const RealCase& c, const std::string& quantity) {
  const auto text = explain_quantity(c.plan, c.problem, quantity, Language::kEnglish);
  EXPECT_TRUE(text.ok()) << quantity;
  return text.ok() ? *text : "";
}

TEST(Explain, EveryQuantityInBothLanguages) {
  std::set<std::string> seen;
  std::size_t turn = 0;
  for (const RealCase& c : real_cases()) {
    for (const PlanOption& o : c.plan.options) {
      // Every sixth is enough for all modes and kinds of devices.
      if (o.status != OptionStatus::kRecommended && turn++ % 6 != 0) continue;
      for (const std::string& q : quantities(o)) {
        for (const Language language : {Language::kEnglish, Language::kPortuguese}) {
          const auto text = explain_quantity(c.plan, c.problem, q + "@" + o.id, language);
          ASSERT_TRUE(text.ok()) << q << " " << text.error().client_message();
          EXPECT_TRUE(text->starts_with(q + (language == Language::kEnglish ? " of " : " de ")));
          EXPECT_NE(text->find(language == Language::kEnglish ? "section" : "seção"),
                    std::string::npos)
              << *text;
          EXPECT_EQ(text->find("symbol."), std::string::npos);
          seen.insert(q.substr(0, q.find('.')));
        }
      }
    }
  }
  for (const char* q :
       {"memory", "rate", "decode", "prefill", "throughput", "replicas", "ttft", "availability",
        "energy", "capex", "npv", "cost", "per_million_tokens", "staff"})
    EXPECT_TRUE(seen.contains(q)) << q;
}

// The symbols that derivations use are in the table.
TEST(Explain, SymbolsHaveWords) {
  for (const char* s :
       {"W",   "P",     "bpw", "T",   "KV",   "BW",   "BW_e", "A",    "F",     "F_e",
        "a_w", "c",     "N",   "eta", "OSL",  "t(b)", "t_pf", "peak", "r_slo", "spares",
        "rtt", "queue", "k",   "m",   "beta", "PUE",  "U",    "w",    "FTE",   "cost"})
    EXPECT_TRUE(has_word("symbol." + std::string(s))) << s;
}

// 8.03e9 parameters at 4.85 bits, 32 layers of 8 heads of 128 in 16 bits: sections 6 and 16 (G6).
TEST(Explain, MemoryByHand) {
  const RealCase& c = real_cases()[1];
  const PlanOption* option = nullptr;
  for (const PlanOption& o : c.plan.options)
    if (o.quant == "Q4_K_M" && o.memory.usable.value() > 0 && o.batch_cap > 0) option = &o;
  ASSERT_NE(option, nullptr);
  const std::string weights = explain(c, "memory.weights@" + option->id);
  EXPECT_NE(weights.find("8.03·10⁹ · 4.85 / 8 = 4.87 GB"), std::string::npos) << weights;
  const std::string kv = explain(c, "memory.kv@" + option->id);
  EXPECT_NE(kv.find("2 · 32 · 8 · 128 · 2 = 131,072 B"), std::string::npos) << kv;
  // ISL 1155 + 211 / 2 = 1260.5, in pages of 16: 1264.
  EXPECT_NE(kv.find("1,264 tokens"), std::string::npos) << kv;
}

// a + b + c = t: the parts that are printed add up to the step.
TEST(Explain, PartsOfDecodeAddUp) {
  std::size_t engines = 0;
  std::size_t servers = 0;
  for (const RealCase& c : real_cases()) {
    for (const PlanOption& o : c.plan.options) {
      const auto known = quantities(o);
      if (std::find(known.begin(), known.end(), "decode") == known.end()) continue;
      const std::string text = explain(c, "decode@" + o.id);
      const std::string line = row(text, "numbers");
      std::vector<double> parts = numbers(line);
      ASSERT_GE(parts.size(), 3u) << text;
      const double total = parts.back();
      parts.pop_back();
      double sum = 0;
      std::size_t first = 0;
      if (line.find("max(") != std::string::npos) {
        sum = std::max(parts[0], parts[1]);
        first = 2;
        ++servers;
      } else {
        ++engines;
      }
      for (std::size_t i = first; i < parts.size(); ++i) sum += parts[i];
      // Each is printed with three digits.
      EXPECT_NEAR(sum, total, 0.012 * total) << text;
      EXPECT_NEAR(1000 / total, o.decode_tps.p50, 0.012 * o.decode_tps.p50) << text;
    }
  }
  EXPECT_GT(engines, 20u);
  EXPECT_GT(servers, 20u);
}

// What the printed formula gives is what the plan holds.
TEST(Explain, NumbersGiveThePlansValue) {
  std::size_t checked = 0;
  for (const RealCase& c : real_cases()) {
    for (const PlanOption& o : c.plan.options) {
      const auto known = quantities(o);
      const auto last = [&](const char* q) {
        const auto all = numbers(row(explain(c, q + std::string("@") + o.id), "numbers"));
        return all.empty() ? -1 : all.back();
      };
      const auto has = [&](const char* q) {
        return std::find(known.begin(), known.end(), q) != known.end();
      };
      if (has("throughput")) {
        // The last number is r_max.
        EXPECT_NEAR(last("throughput") * c.plan.find(o.id)->budget.tokens, o.throughput_tps.p50,
                    0.01 * o.throughput_tps.p50)
            << o.id;
        ++checked;
      }
      if (has("per_million_tokens")) {
        EXPECT_NEAR(last("per_million_tokens"), o.per_million_tokens,
                    0.03 * o.per_million_tokens + 1e-4)
            << o.id;
      }
      if (has("energy") && o.mode != Mode::kHybrid && o.mode != Mode::kEdge) {
        EXPECT_NEAR(last("energy"), o.energy_kwh_year, 0.01 * o.energy_kwh_year) << o.id;
      }
      if (has("npv")) {
        EXPECT_NEAR(last("npv"), o.npv, 0.005 * std::abs(o.npv) + 0.01) << o.id;
      }
      if (has("staff")) {
        EXPECT_NEAR(last("staff"), line_sum(o, "staff", 1), 0.005 * line_sum(o, "staff", 1) + 0.01);
      }
    }
  }
  EXPECT_GT(checked, 100u);
}

TEST(Explain, UnknownNamesGetTheNearest) {
  const RealCase& c = real_cases()[1];
  const auto typo = explain_quantity(c.plan, c.problem, "decod", Language::kEnglish);
  ASSERT_FALSE(typo.ok());
  EXPECT_EQ(typo.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_NE(typo.error().client_message().find("decode"), std::string::npos);
  const auto option =
      explain_quantity(c.plan, c.problem, "npv@" + c.plan.options[0].id + "x", Language::kEnglish);
  ASSERT_FALSE(option.ok());
  EXPECT_NE(option.error().client_message().find(c.plan.options[0].id), std::string::npos);
  // A terminal's control characters do not come back.
  const auto evil = explain_quantity(c.plan, c.problem, "\x1b[2J@\x1b", Language::kEnglish);
  ASSERT_FALSE(evil.ok());
  EXPECT_EQ(evil.error().client_message().find('\x1b'), std::string::npos);
  // Nothing recommended: no option to speak of.
  const RealCase& none = real_cases()[3];
  ASSERT_FALSE(none.plan.recommended);
  EXPECT_FALSE(explain_quantity(none.plan, none.problem, "npv", Language::kEnglish).ok());
}

// A plan and a problem that do not belong together are refused.
TEST(Explain, AnotherProblemIsRefused) {
  const RealCase& two = real_cases()[2];
  const auto text = explain_quantity(two.plan, real_cases()[0].problem, "rate", Language::kEnglish);
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace holdfast::planner
