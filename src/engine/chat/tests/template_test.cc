// The public contract: errors with lines, the template's own refusal, variables, the clock, the
// sandbox.
#include "holdfast/chat/template.h"

#include <gtest/gtest.h>

#include <chrono>

namespace holdfast::chat {
namespace {

Result<Rendered> render(std::string_view source, RenderInput input = {}) {
  HF_TRY_ASSIGN(const Template t, Template::parse(source));
  return t.render(input);
}

std::string text_of(std::string_view source, RenderInput input = {}) {
  const Result<Rendered> rendered = render(source, std::move(input));
  return rendered.ok() ? rendered->text() : "error: " + rendered.error().to_string();
}

TEST(Template, RefusalCarriesTheOwnMessage) {
  const Result<Rendered> r =
      render("\n\n{{ raise_exception('Only user and assistant: ' ~ 'sorry') }}");
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(r.error().client_message(), "Only user and assistant: sorry");
  EXPECT_TRUE(raised_by_template(r.error()));
  Error wrapped = r.error();
  wrapped.add_context("model x");
  EXPECT_TRUE(raised_by_template(wrapped));
  EXPECT_FALSE(raised_by_template(render("{{ 1 + 'a' }}").error()));
}

struct Failure {
  const char* source;
  ErrorCode code;
  const char* part;
};

TEST(Template, ErrorsNameTheLine) {
  const Failure cases[] = {
      {"a\n{{ x.y }}", ErrorCode::kInvalidArgument, "line 2"},
      {"a\nb\n{{ 1 + 'a' }}", ErrorCode::kInvalidArgument, "line 3"},
      {"\n{{ 'a' | zzz }}", ErrorCode::kUnsupported, "line 2: there is no filter 'zzz'"},
      {"\n{{ 'a' is zzz }}", ErrorCode::kUnsupported, "line 2: there is no test 'zzz'"},
      {"\n\n{{ zzz() }}", ErrorCode::kUnsupported, "line 3: there is no function 'zzz'"},
      {"\n{% include 'x' %}", ErrorCode::kUnsupported,
       "line 2: the statement 'include' is not supported"},
      {"{% zzz %}", ErrorCode::kUnsupported, "the statement 'zzz' is unknown"},
      {"a\n{% if x %}\n", ErrorCode::kInvalidArgument, "the template ends before 'endif'"},
      {"{{ 'abc }}", ErrorCode::kInvalidArgument, "line 1: a string is not closed"},
      {"\n{{ a b }}", ErrorCode::kInvalidArgument, "line 2: unexpected 'b'"},
      {"\n{{ [1, 2 }}", ErrorCode::kInvalidArgument, "line 2"},
      {"{% break %}", ErrorCode::kInvalidArgument, "break stands outside a loop"},
      {"{% macro f() %}\n{{ 1 / 0 }}{% endmacro %}\n\n{{ f() }}", ErrorCode::kInvalidArgument,
       "line 2: division by zero"},
  };
  for (const Failure& c : cases) {
    const Result<Rendered> r = render(c.source);
    ASSERT_FALSE(r.ok()) << c.source;
    EXPECT_EQ(r.error().code(), c.code) << c.source;
    EXPECT_NE(r.error().client_message().find(c.part), std::string::npos)
        << c.source << " -> " << r.error().client_message();
  }
}

TEST(Template, UnknownFilterInABranchNotTakenDoesNoHarm) {
  EXPECT_EQ(text_of("{% if false %}{{ 1 | zzz }}{{ yyy() }}{% endif %}ok"), "ok");
}

TEST(Template, TimeIsTheGivenOneInItsZone) {
  RenderInput input;
  input.now = {1749988800, 0};
  EXPECT_EQ(text_of("{{ strftime_now('%Y-%m-%d %H:%M') }}", input), "2025-06-15 12:00");
  input.now.utc_offset_seconds = -13 * 3600;
  EXPECT_EQ(text_of("{{ strftime_now('%d %b %Y %H:%M %A') }}", input),
            "14 Jun 2025 23:00 Saturday");
  input.now = {-1, 0};
  EXPECT_EQ(text_of("{{ strftime_now('%F %T %j') }}", input), "1969-12-31 23:59:59 365");
  input.now = {951782400, 0};
  EXPECT_EQ(text_of("{{ strftime_now('%F %a') }}", input), "2000-02-29 Tue");
}

TEST(Template, AbsentTokensAreUndefined) {
  EXPECT_EQ(text_of("{{ bos_token is defined }}{{ eos_token is defined }}"), "FalseFalse");
  RenderInput input;
  input.bos_token = "";
  EXPECT_EQ(text_of("{{ bos_token is defined }}{{ tools is none }}", input), "TrueTrue");
}

// Known ways out of other sandboxes: each renders as nothing or is refused, and none reaches an
// object of the host.
TEST(Sandbox, NoAttributeReachesTheHost) {
  const char* payloads[] = {
      "{{ ''.__class__.__mro__[1].__subclasses__() }}",
      "{{ ''['__class__']['__base__'] }}",
      "{{ (messages | attr('__class__')).__init__ }}",
      "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
      "{{ joiner.__init__.__globals__ }}",
      "{{ namespace.__init__.__globals__ }}",
      "{{ lipsum.__globals__['os'].popen('id').read() }}",
      "{{ self.__init__.__globals__.__builtins__.__import__('os') }}",
      "{{ self._TemplateReference__context }}",
      "{{ config.items() }}",
      "{{ request.application.__globals__ }}",
      "{{ get_flashed_messages.__globals__ }}",
      "{{ range.__class__.__base__ }}",
      "{{ raise_exception.__globals__ }}",
      "{{ strftime_now.__code__ }}",
      "{{ '{0.__class__.__mro__}'.format(1) }}",
      "{{ '{0[__class__]}'.format(messages) }}",
      "{{ '{x.__class__.__init__.__globals__}'.format_map({'x': 1}) }}",
      "{{ [].append(1) }}",
      "{{ {}.update({}) }}",
      "{{ {}.setdefault('a', 1) }}",
      "{{ messages | map(attribute='__class__.__mro__') | list }}",
      "{{ messages | selectattr('__class__.__init__') | list }}",
      "{% set x = ''.__class__ %}{{ x.__base__ }}",
      "{% macro f() %}{% endmacro %}{{ f.__globals__.x }}",
      "{% for x in [1] %}{{ loop.__class__.__init__ }}{% endfor %}",
      "{{ eval('1') }}",
      "{{ open('/etc/passwd') }}",
      "{{ __import__('os') }}",
      "{% import 'os' as os %}",
      "{% from 'x' import y %}",
      "{% include '/etc/passwd' %}",
      "{% extends '/etc/passwd' %}",
      "{{ ''.encode() }}",
      "{{ ''.translate({}) }}",
  };
  for (const char* payload : payloads) {
    RenderInput input;
    input.messages = json::Array{json::Object{{"role", "user"}}};
    const Result<Rendered> r = render(payload, input);
    if (!r.ok()) continue;
    const std::string text = r->text();
    EXPECT_TRUE(text.empty() || text == "[]" || text == "[Undefined]" || text == "None")
        << payload << " -> " << text;
  }
}

TEST(Template, TruncatedAnywhereItParsesOrFails) {
  const std::string source =
      "{%- set ns = namespace(a=1) -%}{% for m in messages if m.role is defined %}{{ '<|x|>' + "
      "m['role'] | trim ~ "
      "\"\\n\" }}{% else %}{# c #}{% endfor %}{% macro f(a, b=[1, (2,), {'k': -1.5e3}]) %}{{ "
      "a[1:2] if b else caller() "
      "}}{% endmacro %}{% raw %}{{{% endraw %}{% call(x) f(1, *[2], **{}) %}{{ x is not none }}{% "
      "endcall %}";
  RenderInput input;
  input.messages = json::Array{json::Object{{"role", "user"}}};
  for (std::size_t n = 0; n <= source.size(); ++n) {
    const Result<Template> parsed = Template::parse(std::string_view(source).substr(0, n));
    if (parsed.ok()) ignore_error(parsed->render(input), "only that it returns matters");
  }
}

TEST(Template, HundredMessagesRenderInMilliseconds) {
  RenderInput input;
  json::Array messages;
  for (int i = 0; i < 100; ++i) {
    messages.push_back(json::Object{{"role", i % 2 == 0 ? "user" : "assistant"},
                                    {"content", std::string(500, 'x')}});
  }
  input.messages = std::move(messages);
  const Result<Template> t = Template::parse(
      "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ "
      "raise_exception('no') }}"
      "{% endif %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] | trim + '<|im_end|>' + "
      "'\\n' }}{% endfor %}");
  ASSERT_TRUE(t.ok());
  auto best = std::chrono::steady_clock::duration::max();
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    ASSERT_TRUE(t->render(input).ok());
    best = std::min(best, std::chrono::steady_clock::now() - start);
  }
  // The aim is below 5 ms; a debug build with sanitizers takes ten times as long.
  EXPECT_LT(std::chrono::duration<double>(best).count(), 0.05);
}

}  // namespace
}  // namespace holdfast::chat
