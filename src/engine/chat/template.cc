#include "holdfast/chat/template.h"

#include <algorithm>
#include <array>

#include "evaluator.h"
#include "globals.h"
#include "parser.h"

namespace holdfast::chat {

namespace {

// Bytes of all texts in a value, and one per value; what the budgets of a rendering grow with.
// kExhausted for nesting above the limit, so that everything after may recurse.
Result<std::uint64_t> measure(const json::Value& v, std::size_t depth_left) {
  if (depth_left == 0)
    return exhausted("the messages or tools are nested too deeply for a chat template");
  std::uint64_t total = 1;
  if (v.is_string()) total += v.as_string().size();
  if (v.is_array()) {
    for (const json::Value& item : v.as_array()) {
      HF_TRY_ASSIGN(const std::uint64_t part, measure(item, depth_left - 1));
      total += part;
    }
  }
  if (v.is_object()) {
    for (const json::Member& member : v.as_object()) {
      HF_TRY_ASSIGN(const std::uint64_t part, measure(member.value, depth_left - 1));
      total += part + member.key.size();
    }
  }
  return total;
}

// Precondition: measured. Every text is data.
Value from_json(const json::Value& v) {
  switch (v.kind()) {
    case json::Kind::kNull:
      return None{};
    case json::Kind::kBool:
      return Value(v.as_bool());
    case json::Kind::kInt:
      return Value(v.as_int());
    case json::Kind::kDouble:
      return Value(v.as_double());
    case json::Kind::kString:
      return Value::text(v.as_string(), Origin::kData);
    case json::Kind::kArray: {
      auto list = std::make_shared<Sequence>();
      for (const json::Value& item : v.as_array()) list->items.push_back(from_json(item));
      list->extent = extent_around(list->items);
      return Value(std::move(list));
    }
    case json::Kind::kObject: {
      auto dict = std::make_shared<Dict>();
      for (const json::Member& member : v.as_object()) {
        dict->set(Value::text(member.key, Origin::kData), from_json(member.value));
      }
      return Value(DictPtr(std::move(dict)));
    }
  }
  return Value();
}

// Names that the template does not mention are not defined: nothing could read them.
class Definitions {
 public:
  Definitions(const Program& program, Evaluator& evaluator)
      : program_(program), evaluator_(evaluator) {}

  void define(std::string_view name, Value value) {
    const auto at = std::find(program_.symbols.begin(), program_.symbols.end(), name);
    if (at == program_.symbols.end()) return;
    evaluator_.define(static_cast<Symbol>(at - program_.symbols.begin()), std::move(value));
  }
  void define_token(std::string_view name, const std::optional<std::string>& text) {
    if (text) define(name, Value::text(*text, Origin::kTemplate));
  }

 private:
  const Program& program_;
  Evaluator& evaluator_;
};

void define_input(const Program& program, const RenderInput& input, Evaluator& evaluator) {
  Definitions definitions(program, evaluator);
  definitions.define_token("bos_token", input.bos_token);
  definitions.define_token("eos_token", input.eos_token);
  for (const json::Member& member : input.extra)
    definitions.define(member.key, from_json(member.value));
  definitions.define("messages", from_json(input.messages));
  definitions.define("tools", from_json(input.tools));
  definitions.define("add_generation_prompt", Value(input.add_generation_prompt));
}

Rendered pieces_of(const Text& text) {
  Rendered rendered;
  text.for_each_run([&rendered](std::string_view run, Origin origin) {
    rendered.pieces.push_back({std::string(run), origin == Origin::kTemplate});
  });
  return rendered;
}

}  // namespace

std::string Rendered::text() const {
  std::string out;
  for (const Piece& piece : pieces) out += piece.text;
  return out;
}

bool raised_by_template(const Error& error) {
  return error.detail().find(raised_mark()) != std::string::npos;
}

Result<Template> Template::parse(std::string_view source, const Limits& limits) {
  HF_TRY_ASSIGN(std::shared_ptr<const Program> program, parse_program(source, limits));
  return Template(std::move(program));
}

Result<Rendered> Template::render(const RenderInput& input) const {
  const std::size_t depth_max = program_->limits.value_depth_max;
  std::uint64_t bytes = 0;
  for (const json::Value* v : {&input.messages, &input.tools}) {
    HF_TRY_ASSIGN(const std::uint64_t part, measure(*v, depth_max));
    bytes += part;
  }
  for (const json::Member& member : input.extra) {
    HF_TRY_ASSIGN(const std::uint64_t part, measure(member.value, depth_max));
    bytes += part;
  }
  Runtime runtime(*program_, bytes, input.now);
  Evaluator evaluator(runtime);
  define_input(*program_, input, evaluator);
  HF_TRY_ASSIGN(const Text text, evaluator.run());
  return pieces_of(text);
}

}  // namespace holdfast::chat
