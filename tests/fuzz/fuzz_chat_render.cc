// Values: a JSON text as messages, tools and variables of templates that touch every kind of
// operation.
#include <array>
#include <string_view>

#include "holdfast/chat/bundled.h"
#include "holdfast/chat/template.h"

namespace {
constexpr std::string_view kProbe =
    "{% for m in messages %}{{ m }}{{ m.role }}{{ m['content'] | string | trim | upper | title "
    "}}{{ m | tojson(indent=2) }}"
    "{{ m | string | replace('a', bos_token) | indent(2, true) }}{{ (m | string)[::-1] }}{{ "
    "'%5s|%r' % (m, m) }}"
    "{{ '{:>5}|{!r}'.format(m | string, m) }}{{ m == messages[0] }}{{ m in messages }}{{ (m | "
    "string).split('\"')[-1] }}"
    "{% if m is mapping %}{% for k, v in m | dictsort %}{{ k }}{{ v | tojson }}{% endfor %}{% "
    "endif %}"
    "{% if m is string %}{{ m.splitlines() }}{{ m.strip('a\"') }}{{ m | capitalize }}{{ m | e }}{% "
    "endif %}{% endfor %}";
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast;
  static const auto kProgram = chat::Template::parse(kProbe);
  static const auto kChatml = chat::Template::parse(*chat::find_bundled("chatml"));
  const Result<json::Value> value = json::parse({reinterpret_cast<const char*>(data), size});
  if (!value.ok()) return 0;
  chat::RenderInput input;
  input.messages = *value;
  input.tools = *value;
  input.bos_token = "<s>";
  if (value->is_object()) input.extra = value->as_object();
  ignore_error(kProgram->render(input), "only crashes and sanitizers matter");
  ignore_error(kChatml->render(input), "only crashes and sanitizers matter");
  return 0;
}
