// The reports of a plan. Oracles: hand arithmetic on a small plan, a reader of tags that knows no
// more than that they must be balanced, and the table of sentences against itself.
#include "holdfast/planner/report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "../report_view.h"
#include "../speech.h"
#include "../svg.h"
#include "plan_fixture.h"

namespace holdfast::planner {
namespace {

constexpr Language kBoth[] = {Language::kEnglish, Language::kPortuguese};

// The slots of a pattern: {0}, {name:unit}.
std::set<std::string> slots(std::string_view text) {
  std::set<std::string> out;
  for (std::size_t open = text.find('{'); open != std::string_view::npos;
       open = text.find('{', open + 1))
    out.emplace(text.substr(open, text.find('}', open) - open));
  return out;
}

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1))
    ++n;
  return n;
}

// Empty where every tag is closed in order; otherwise what is wrong.
std::string unbalanced(std::string_view html) {
  const std::set<std::string> empty{"meta", "br"};
  std::vector<std::string> open;
  for (std::size_t at = html.find('<'); at != std::string_view::npos; at = html.find('<', at + 1)) {
    const std::size_t end = html.find('>', at);
    if (end == std::string_view::npos) return "a tag that does not end";
    const std::string_view tag = html.substr(at + 1, end - at - 1);
    if (tag.starts_with('!')) continue;
    if (tag.find('<') != std::string_view::npos) return "a tag in a tag: " + std::string(tag);
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0) return "quotes: " + std::string(tag);
    const bool closes = tag.starts_with('/');
    const std::string name(
        tag.substr(closes ? 1 : 0, tag.find_first_of(" /", closes ? 1 : 0) - (closes ? 1 : 0)));
    if (closes && (open.empty() || open.back() != name)) return "</" + name + ">";
    if (closes) {
      open.pop_back();
    } else if (!tag.ends_with('/') && !empty.contains(name)) {
      open.push_back(name);
    }
  }
  return open.empty() ? "" : "open: " + open.back();
}

TEST(ReportWords, EverySentenceHasBothLanguagesAndTheSameSlots) {
  std::size_t lines = 0;
  for (const auto table : {texts(), words(), inputs(), reasons(), phrases()}) {
    for (const Wording& w : table) {
      EXPECT_FALSE(w.english.empty()) << w.key;
      EXPECT_FALSE(w.portuguese.empty()) << w.english;
      EXPECT_EQ(slots(w.english), slots(w.portuguese)) << w.english;
      ++lines;
    }
  }
  EXPECT_GT(lines, 250u);
  for (const auto table : {words(), inputs()}) {
    std::set<std::string_view> keys;
    for (const Wording& w : table) EXPECT_TRUE(keys.insert(w.key).second) << w.key;
  }
}

TEST(ReportWords, NumbersAsTheLanguageWritesThem) {
  const Speech en(Language::kEnglish, "USD");
  const Speech pt(Language::kPortuguese, "BRL");
  EXPECT_EQ(en.number(1234567.891, 2), "1,234,567.89");
  EXPECT_EQ(pt.number(1234567.891, 2), "1.234.567,89");
  EXPECT_EQ(pt.number(-999.5, 1), "-999,5");
  EXPECT_EQ(en.number(-0.001, 1), "0.0");
  EXPECT_EQ(en.rounded(0.0123456), "0.0123");
  EXPECT_EQ(en.rounded(1200), "1,200");
  EXPECT_EQ(en.rounded(2.0), "2");
  EXPECT_EQ(pt.rounded(1.25), "1,25");
  EXPECT_EQ(en.money(1234.56), "1,235 USD");
  EXPECT_EQ(pt.money(0.4567), "0,457 BRL");
  EXPECT_EQ(en.money_short(1'250'000), "1.25M");
  EXPECT_EQ(pt.money_short(12'500), "12,5 mil");
  EXPECT_EQ(en.percent(0.4981), "49.8 %");
  EXPECT_EQ(en.percent(0.0123), "1.2 %");
  // Nines are not rounded away.
  EXPECT_EQ(en.percent(0.9999996), "99.99996 %");
  EXPECT_EQ(pt.percent(0.99623), "99,62 %");
  EXPECT_EQ(en.milliseconds(12'345), "12.3 s");
  EXPECT_EQ(pt.milliseconds(8.32), "8,32 ms");
  EXPECT_EQ(en.bytes(8.03e9), "8.03 GB");
}

TEST(ReportWords, PatternsTranslateWhatThePlannerWrote) {
  const Speech pt(Language::kPortuguese, "USD");
  EXPECT_EQ(pt.phrase("speed of rent-x"), "a velocidade de rent-x");
  EXPECT_EQ(
      pt.phrase("3 of 91 prices are older than 90 days (the oldest of 2025-01-01): give newer "
                "ones with --prices"),
      "3 de 91 preços têm mais de 90 dias (o mais antigo é de 2025-01-01): informe novos com "
      "--prices");
  EXPECT_EQ(pt.phrase("something new"), "something new");
}

TEST(ReportWords, ReasonsGoByRuleAndNumbers) {
  const Plan plan = small_plan();
  const Speech pt(Language::kPortuguese, "USD");
  EXPECT_EQ(
      pt.reason(plan, {"R-MEM", {}, {{"needed_bytes", 6.04e9}, {"usable_bytes", 5.6e9}}, "x"}),
      "não cabe: um pedido do percentil 99 precisa de 6,04 GB de 5,6 GB utilizáveis");
  // The option whose cost is the number.
  EXPECT_EQ(pt.reason(plan, {"R-COST", {}, {{"npv", 1000}, {"npv_next", 1500}}, "x"}),
            "o menor custo entre o que é permitido: 1.000 USD contra 1.500 USD de rent-b");
  EXPECT_EQ(pt.reason(plan, {"R-ZDR", {}, {{"retention_days", -1}, {"allowed_days", 30}}, "x"}),
            "o fornecedor guarda os pedidos por não se sabe; o permitido é 30 dias");
  // An unknown rule keeps its numbers.
  EXPECT_EQ(pt.reason(plan, {"R-NEW", {}, {{"a", 1.5}}, "x"}), "R-NEW; a 1,5");
}

// Whatever real plans say has a translation: no sentence of theirs stays in English.
TEST(ReportWords, RealPlansAreTranslated) {
  const Speech pt(Language::kPortuguese, "USD");
  std::set<std::string> rules;
  for (const Plan& plan : real_plans()) {
    for (const PlanOption& o : plan.options) {
      for (const Reason& r : o.because) {
        rules.insert(r.rule);
        const std::string text = pt.reason(plan, r);
        EXPECT_NE(text, r.text);
        EXPECT_FALSE(text.starts_with(pt.rule(r.rule) + ";") || text == pt.rule(r.rule)) << r.text;
        EXPECT_NE(pt.rule(r.rule), r.rule);
      }
      for (const LedgerLine& l : o.ledger.lines) EXPECT_TRUE(has_word("line." + l.name)) << l.name;
      for (const BomLine& b : o.bom)
        EXPECT_TRUE(b.item == o.device || has_word("item." + b.item)) << b.item;
      EXPECT_TRUE(o.latency_tier.empty() || has_word("tier." + o.latency_tier)) << o.latency_tier;
    }
    for (const TornadoBar& b : plan.tornado) EXPECT_NE(pt.input(b.input), b.input);
    for (const DefaultUsed& d : plan.defaults) {
      const bool number = d.effect.starts_with("0.1 for");
      EXPECT_TRUE(number || pt.phrase(d.effect) != d.effect) << d.effect;
    }
    for (const std::string& w : plan.warnings) EXPECT_NE(pt.phrase(w), w);
  }
  EXPECT_GE(rules.size(), 8u);
}

TEST(ReportText, SaysWhatIsRecommendedAndWhy) {
  const std::string text = report_text(small_plan(), Language::kEnglish, 100);
  for (const char* part : {
           "Buy 2 × nvidia-rtx4090-24 and run tiny-8b (Q4_K_M) on your own premises.",
           // 1,200 over 4 years are 25 a month.
           "Of the 3 ways that meet all limits it costs least: 25.00 USD a month, 1,200 USD over 4 "
           "years.",
           "It is the cheapest in 61 % of the cases",
           // 10 of 10 + 20 + 70; 10 of 100 + 100 x 9.
           "The network is 10 % of the time to the first token and 1 % of the whole answer.",
           // 180 hours, 300 in the first year, 600 of 1,200; 300 / 8,760 h.
           "180 hours a year, 300 USD in the first year: 50 % of the whole cost, 0.0342 USD for",
           "Try it first",
           "What decides most: price of hardware.",
           "If the number of requests falls from 2 /s to 0.5 /s, api-c becomes the better choice.",
           "does not fit in memory (R-MEM): 7 options",
           "and 2 more",
           "- team.loaded_cost = 180,000 (assumed): cost of staff",
           "! older than 90 days",
           "By 2026-03-01 order 2 × nvidia-rtx4090-24 for use from 2026-05-24.",
           "staff *",
           "uninterruptible power supply",
       })
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

TEST(ReportText, PortugueseThroughout) {
  const std::string text = report_text(small_plan(), Language::kPortuguese, 100);
  for (const char* part :
       {"Compre 2 × nvidia-rtx4090-24 e execute tiny-8b (Q4_K_M) nas suas próprias instalações.",
        "1.200 USD em 4 anos", "A rede é 10 % do tempo",
        "Se o número de pedidos cair de 2 /s para 0,5", "não cabe na memória (R-MEM): 7 opções",
        "Experimente antes", "o preço do hardware"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  for (const char* english : {"Recommendation", "would change", " of the ", "cheapest", "assumed"})
    EXPECT_EQ(text.find(english), std::string::npos) << english;
}

TEST(ReportText, LinesKeepTheWidth) {
  for (const Plan& plan : real_plans()) {
    for (const Language language : kBoth) {
      for (const std::size_t width : {60u, 80u, 100u, 160u}) {
        std::istringstream lines(report_text(plan, language, width));
        for (std::string line; std::getline(lines, line);) {
          EXPECT_LE(width_of(line), width) << line;
          EXPECT_FALSE(line.ends_with(' ')) << line;
        }
      }
    }
  }
}

TEST(ReportText, NamesCannotMoveTheCursor) {
  Plan plan = small_plan();
  for (PlanOption& o : plan.options) {
    o.model = "a\x1b[2Jb";
    o.provider = "x\r\ny\xE2\x80\xAEz";  // U+202E turns the text
  }
  plan.warnings = {"\x1b]0;title\x07",
                   "\xC2\x9B"
                   "31m"};
  plan.defaults[0].value = "\x1b[31m";
  const std::string text = report_text(plan, Language::kEnglish, 80);
  for (const char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find("\xE2\x80\xAE"), std::string::npos);
  EXPECT_EQ(text.find("\xC2\x9B"), std::string::npos);
}

TEST(ReportText, NothingFeasibleNamesTheRules) {
  Plan plan = small_plan();
  plan.recommended.reset();
  plan.tornado.clear();
  for (PlanOption& o : plan.options) {
    if (o.status == OptionStatus::kRemoved) continue;
    o.status = OptionStatus::kRemoved;
    o.because = {{"R-CAPEX", {}, {{"capex", 1500.0}, {"capex_max", 1000.0}}, "too dear"}};
  }
  const std::string text = report_text(plan, Language::kEnglish, 100);
  EXPECT_NE(text.find("Nothing meets all limits."), std::string::npos);
  EXPECT_NE(text.find("does not fit in memory (R-MEM), the purchase exceeds the budget (R-CAPEX)"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("a year's purchases cost 1,500 USD, the budget is 1,000 USD"),
            std::string::npos);
  EXPECT_EQ(unbalanced(report_html(plan, Language::kEnglish)), "");
}

TEST(ReportHtml, IsOnePageOfBalancedTags) {
  for (const Plan& plan : real_plans()) {
    for (const Language language : kBoth) {
      const std::string html = report_html(plan, language);
      EXPECT_TRUE(html.starts_with("<!DOCTYPE html>\n<html lang=\""));
      EXPECT_EQ(unbalanced(html), "");
      EXPECT_EQ(count(html, "<script"), 0u);
      for (const char* outside : {"http:", "https:", "//", "url(", "@import", " src=", " href="})
        EXPECT_EQ(html.find(outside), std::string::npos) << outside;
      // Charts say what they show.
      EXPECT_EQ(count(html, "<svg role=\"img\" aria-labelledby="), count(html, "<svg"));
      EXPECT_EQ(count(html, "<desc id="), count(html, "<svg"));
      EXPECT_EQ(count(html, "<th "), count(html, " scope="));
      EXPECT_EQ(count(html, "<table"), count(html, "<caption>"));
      std::set<std::string> ids;
      for (std::size_t at = html.find(" id=\""); at != std::string::npos;
           at = html.find(" id=\"", at + 1))
        EXPECT_TRUE(ids.insert(html.substr(at + 5, html.find('"', at + 5) - at - 5)).second);
      EXPECT_EQ(html.find("=\"nan"), std::string::npos);
      EXPECT_EQ(html.find("=\"inf"), std::string::npos);
      EXPECT_EQ(html, report_html(plan, language));
    }
  }
}

TEST(ReportHtml, TheReaderOfTagsSeesWhatIsWrong) {
  EXPECT_EQ(unbalanced("<p>a<b>b</b></p><meta x=\"1\"><rect/>"), "");
  EXPECT_NE(unbalanced("<p>a<b>b</p></b>"), "");
  EXPECT_NE(unbalanced("<p>"), "");
  EXPECT_NE(unbalanced("<p class=\"a>x</p>"), "");
}

// All that a document may name, in every place where it is printed.
TEST(ReportHtml, NamesAreEscapedEverywhere) {
  const std::string evil = "<script>alert(\"x\")</script>'&amp;\" onload=\"y";
  Plan plan = small_plan();
  plan.currency = plan.today = plan.version = plan.inputs_sha256 = evil;
  plan.warnings = {evil};
  plan.defaults = {{evil, evil, evil, true}};
  for (Price& p : plan.prices_used) p.id = p.region = p.currency = evil;
  for (PlanOption& o : plan.options) {
    o.workload_class = o.model = o.provider = o.device = o.quant = o.latency_tier = evil;
    o.id += evil;
    for (Reason& r : o.because) r.rule = r.text = evil;
    for (Threshold& t : o.would_change_if) t.input = t.to = evil;
    for (BomLine& b : o.bom) b.item = evil;
    for (LedgerLine& l : o.ledger.lines) l.name = evil;
    for (CalendarEntry& c : o.calendar) c.order_by = c.needed_from = evil;
  }
  for (TornadoBar& t : plan.tornado) t.input = t.winner_low = evil;
  plan.portfolio = {{evil, evil, 1}};
  for (const Language language : kBoth) {
    const std::string html = report_html(plan, language);
    EXPECT_EQ(unbalanced(html), "");
    EXPECT_EQ(html.find("<script"), std::string::npos);
    EXPECT_EQ(html.find("\" onload=\""), std::string::npos);
    EXPECT_GT(count(html, "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&#39;&amp;amp;"), 20u);
  }
}

TEST(ReportHtml, BreakEvenIsWhereTheSumsMeet) {
  const Plan plan = small_plan();
  const auto views = class_views(plan);
  ASSERT_EQ(views.size(), 1u);
  // 400 now and 200 a year against 350 a year: 400 / (150 / 12) = 32 months.
  EXPECT_EQ(even_month(*plan.find("onprem-a"), *plan.find("rent-b")), 32);
  EXPECT_EQ(even_month(*plan.find("rent-b"), *plan.find("onprem-a")), std::nullopt);
  const std::string html = report_html(plan, Language::kEnglish);
  EXPECT_NE(html.find("less than rent from month 32"), std::string::npos);
}

TEST(ReportHtml, TheFrontIsWhatNothingBeats) {
  const Plan plan = small_plan();
  const auto views = class_views(plan);
  std::vector<std::string> ids;
  for (const PlanOption* o : front(views[0])) ids.push_back(o->id);
  // api-c costs most and answers last.
  EXPECT_EQ(ids, (std::vector<std::string>{"onprem-a", "rent-b"}));
}

TEST(Charts, TicksAreRoundAndInside) {
  EXPECT_EQ(Scale(0, 100, 0, 1, false).ticks(), (std::vector<double>{0, 20, 40, 60, 80, 100}));
  const auto log = Scale(10, 1000, 0, 1, true).ticks();
  ASSERT_EQ(log.size(), 7u);
  EXPECT_DOUBLE_EQ(log[1], 20);
  EXPECT_DOUBLE_EQ(Scale(10, 1000, 0, 1, true).at(100), 0.5);
  EXPECT_DOUBLE_EQ(Scale(0, 10, 50, 150, false).at(5), 100);
  // Nothing hangs or divides by zero where all values are the same.
  EXPECT_FALSE(Scale(5, 5, 0, 1, false).ticks().empty());
  EXPECT_LT(Scale(0, 0, 0, 1, true).ticks().size(), 50u);
}

TEST(Languages, AreFoundByTheirNames) {
  EXPECT_EQ(*parse_language("pt-BR"), Language::kPortuguese);
  EXPECT_EQ(*parse_language("en_US.UTF-8"), Language::kEnglish);
  EXPECT_EQ(parse_language("fr").error().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace holdfast::planner
