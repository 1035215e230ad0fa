// Every limit ends as kExhausted, soon and without much memory. Oracle: the limits themselves.
#include <gtest/gtest.h>

#include <chrono>

#include "holdfast/chat/template.h"

namespace holdfast::chat {
namespace {

Result<Rendered> render(std::string_view source, const Limits& limits = {}) {
  HF_TRY_ASSIGN(const Template t, Template::parse(source, limits));
  RenderInput input;
  input.messages = json::Array{json::Object{{"role", "user"}, {"content", "hi"}}};
  return t.render(input);
}

std::string repeated(std::string_view part, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += part;
  return out;
}

void expect_exhausted(std::string_view source, const Limits& limits = {}) {
  const auto start = std::chrono::steady_clock::now();
  const Result<Rendered> r = render(source, limits);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const std::string_view shown = source.substr(0, 120);
  ASSERT_FALSE(r.ok()) << shown;
  EXPECT_EQ(r.error().code(), ErrorCode::kExhausted) << shown << ": " << r.error().to_string();
  EXPECT_LT(seconds.count(), 5.0)
      << shown;  // 50 ms on an idle machine; sanitizers and neighbours take more
}

TEST(Budget, Steps) {
  expect_exhausted(
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}");
  expect_exhausted(
      "{% set ns = namespace(x=[]) %}{% for a in range(99999) %}{% set ns.x = ns.x + [a] %}{% "
      "endfor %}");
  expect_exhausted(
      "{% set s = 'x' * 1000000 %}{% for a in range(99999) %}{% set t = s | upper %}{% endfor %}");
  expect_exhausted(
      "{% set s = 'x' * 1000000 %}{% for a in range(99999) %}{{ 'y' in s }}{% endfor %}");
  expect_exhausted("{% set l = range(99999) | list %}{% for a in l %}{{ -1 in l }}{% endfor %}");
  expect_exhausted("{% set l = range(99999) | list %}{% for a in l %}{{ l == l[:] }}{% endfor %}");
  Limits few;
  few.steps_max = 100;
  expect_exhausted("{% for a in range(200) %}{% endfor %}", few);
}

TEST(Budget, TextsAndOutput) {
  expect_exhausted("{{ 'x' * 100000000 }}");
  expect_exhausted("{{ 'x' * 9223372036854775807 }}");
  expect_exhausted("{{ '%1000000000d' % 1 }}");
  expect_exhausted("{{ '%.1000000000f' % 1 }}");
  expect_exhausted("{{ '%*d' % (1000000000, 1) }}");
  expect_exhausted("{{ '{:1000000000}'.format(1) }}");
  expect_exhausted("{{ '{:99999999999999999999}'.format(1) }}");
  expect_exhausted("{{ 'x'.ljust(1000000000) }}{{ 'x'.center(1000000000) }}");
  expect_exhausted("{{ 'x'.zfill(1000000000) }}");
  expect_exhausted("{{ '\\t'.expandtabs(1000000000) }}");
  expect_exhausted("{{ 'x' | indent(1000000000, true) }}");
  expect_exhausted("{{ [1] | tojson(indent=1000000000) }}");
  expect_exhausted("{{ ('x' * 100000) | replace('x', 'y' * 100000) }}");
  expect_exhausted("{{ ('x' * 100000) | list | join('y' * 100000) }}");
  expect_exhausted("{{ ('x' * 100000).join('x' * 100000) }}");
  expect_exhausted(
      "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% "
      "endfor %}");
  expect_exhausted(
      "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% "
      "endfor %}");
  expect_exhausted("{% set s = 'x' * 1000000 %}{% for i in range(999) %}{{ s }}{% endfor %}");
  EXPECT_TRUE(render("{{ 'x' * 1000000 }}").ok());
}

TEST(Budget, OutputGrowsWithTheInput) {
  RenderInput input;
  input.messages = json::Array{std::string(3u << 20, 'x')};
  const Result<Template> t = Template::parse("{{ messages[0] }}{{ messages[0] }}{{ messages[0] }}");
  ASSERT_TRUE(t.ok());
  const Result<Rendered> r = t->render(input);
  ASSERT_TRUE(r.ok()) << r.error().to_string();
  EXPECT_EQ(r->text().size(), 9u << 20);
}

TEST(Budget, Recursion) {
  expect_exhausted("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}");
  expect_exhausted(
      "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}");
  expect_exhausted(
      "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}");
  expect_exhausted("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}");
}

TEST(Budget, NestingOfTheSource) {
  const std::pair<const char*, const char*> brackets[] = {
      {"(", ")"},   {"[", "]"}, {"{'a':", "}"}, {"f(", ")"},   {"x[", "]"},
      {"not ", ""}, {"-", ""},  {"-+", ""},     {"1 if ", ""}, {"1 if x else ", ""}};
  for (const auto& [open, close] : brackets) {
    expect_exhausted("{{ " + repeated(open, 5000) + "1" + repeated(close, 5000) + " }}");
  }
  expect_exhausted(repeated("{% if x %}", 5000));
  expect_exhausted(repeated("{% for x in y %}", 5000));
  expect_exhausted("{{ x" + repeated(".a", 5000) + " }}");
  expect_exhausted("{{ x" + repeated("|upper", 5000) + " }}");
  expect_exhausted("{{ x" + repeated("()", 5000) + " }}");
  EXPECT_TRUE(render("{{ 1" + repeated(" + 1", 5000) + " }}").ok());
  EXPECT_TRUE(render("{{ 'a'" + repeated(" ~ 'a'", 5000) + " }}").ok());
  EXPECT_TRUE(render("{% if false %}" + repeated("{% elif false %}", 5000) + "{% endif %}").ok());
  Limits small;
  small.template_bytes_max = 10;
  expect_exhausted("{{ 1 }}{{ 2 }}", small);
}

TEST(Budget, NestingOfValues) {
  expect_exhausted(
      "{% set ns = namespace(x=1) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}");
  expect_exhausted(
      "{% set ns = namespace(x=1) %}{% for i in range(9999) %}{% set ns.x = {'a': ns.x} %}{% "
      "endfor %}");
  expect_exhausted(
      "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x.count] %}{% "
      "endfor %}");
  expect_exhausted(
      "{% set ns = namespace(x=1) %}{% for i in range(9999) %}{% for j in [ns.x] %}{% set ns.x = "
      "loop %}{% endfor %}"
      "{% endfor %}");
  expect_exhausted(
      "{% set ns = namespace(x=1) %}{% for i in range(9999) %}{% set ns.x = cycler(ns.x) %}{% "
      "endfor %}");
  // One part referred to many times: 2^60 values if it were written out.
  expect_exhausted(
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% "
      "endfor %}");
  expect_exhausted("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}");
  std::string deep = repeated("[", 200) + repeated("]", 200);
  RenderInput input;
  json::ParseLimits limits;
  limits.depth_max = 1000;
  input.messages = json::parse(deep, limits).value();
  const Result<Template> t = Template::parse("{{ messages }}");
  EXPECT_EQ(t->render(input).error().code(), ErrorCode::kExhausted);
}

TEST(Budget, NumbersAndRanges) {
  expect_exhausted("{{ 2 ** 64 }}");
  expect_exhausted("{{ 9223372036854775807 + 1 }}");
  expect_exhausted("{{ range(100001) }}");
  expect_exhausted("{{ range(9223372036854775807) }}");
  expect_exhausted("{{ [1] * 9223372036854775807 }}");
  expect_exhausted("{{ [1, 2] * 1000000000 }}");
  expect_exhausted("{{ range(99999) | slice(1000000000) | list }}");
  expect_exhausted("{{ [1] | batch(1000000000, 'x') | list }}");
  EXPECT_EQ(render("{{ -9223372036854775807 - 1 }}")->text(), "-9223372036854775808");
  EXPECT_FALSE(render("{{ (-9223372036854775807 - 1) // -1 }}").ok());
  EXPECT_EQ(render("{{ (-9223372036854775807 - 1) % -1 }}")->text(), "0");
  EXPECT_FALSE(render("{{ -(-9223372036854775807 - 1) }}").ok());
  EXPECT_FALSE(render("{{ (-9223372036854775807 - 1) | abs }}").ok());
}

}  // namespace
}  // namespace holdfast::chat
