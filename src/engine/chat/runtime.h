// What one rendering shares: its budgets, its errors with their line, its objects, and how values
// are made and read.
#pragma once

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ast.h"
#include "holdfast/base/result.h"
#include "value.h"

namespace holdfast::chat {

class Runtime;
struct Scope;

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

using NativeFunction = Result<Value> (*)(Runtime&, const Value& self, const Arguments&);

// A function of the language, or a method together with its object.
struct Function {
  std::string_view name;
  NativeFunction call;
  Value self;
};

struct Macro {
  const Signature* signature;
  const Block* body;
  std::shared_ptr<Scope> scope;  // where it was defined
};

// The object `loop`. It may outlive its loop as a value, but says no more then than where it stood.
struct Loop {
  std::vector<Value> items;
  Extent extent;
  std::size_t index = 0;
  std::size_t depth = 1;
  const ForStatement* recursive = nullptr;
  std::shared_ptr<Scope> scope;  // of a recursive loop; dropped when the loop ends
  std::vector<Value> last_changed;
  bool has_changed = false;
  bool is_over = false;
};

// Arguments by parameter; null where absent. Valid as long as the Arguments.
class Bound {
 public:
  const Value* operator[](std::size_t i) const { return values_[i]; }
  void set(std::size_t i, const Value* v) { values_[i] = v; }

 private:
  const Value* values_[8] = {};
};

// Owned by one rendering on one thread.
class Runtime {
 public:
  Runtime(const Program& program, std::uint64_t input_bytes, const RenderTime& now);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  const Program& program() const { return program_; }
  const RenderTime& now() const { return now_; }

  // Errors below name this line of the template.
  void set_line(int line) { line_ = line; }
  int line() const { return line_; }
  // kInvalidArgument: the template does what its values do not allow.
  Error failure(std::string_view what) const;
  Error over_budget(std::string_view what) const;
  Error not_supported(std::string_view what) const;

  // Takes from the budget of steps; kExhausted when it is used up.
  Status charge(std::uint64_t steps);
  // The same for the work on so many bytes.
  Status charge_bytes(std::uint64_t bytes) { return charge(1 + bytes / 64); }
  // The same for work that looks at each character.
  Status charge_characters(std::uint64_t bytes) { return charge(1 + bytes / 8); }
  // Steps for walking all of a value.
  Status charge_value(const Value& v) { return charge(extent_of(v).weight); }
  std::uint64_t text_bytes_max() const { return text_bytes_max_; }
  // kExhausted if a text of so many bytes would be too long; else charges for making it.
  Status admit_text(std::uint64_t bytes);

  // Each checks the limits of one value and charges for it.
  Result<Value> make_text(Text text);
  Result<Value> make_sequence(std::vector<Value> items, Sequence::Flavour flavour);
  Result<Value> make_list(std::vector<Value> items);
  Result<Value> make_tuple(std::vector<Value> items);
  Result<Value> make_dict(Dict dict);
  Result<Value> make_method(std::string_view name, NativeFunction call, const Value& self);
  Status check_extent(const Extent& extent);

  Namespace* new_namespace();
  Macro* new_macro(Macro macro);

  // The items of anything that Python can iterate over; a generator is used up.
  Result<std::vector<Value>> iterate(const Value& v);
  // The characters of a text.
  Result<std::vector<Value>> characters(const Text& text);

  // object.name: methods first, then members; undefined if there is neither.
  Result<Value> attribute(const Value& object, std::string_view name);
  // object[key]: members first, then methods.
  Result<Value> item(const Value& object, const Value& key);
  // "a.b.0" as the filters with an attribute read it; `fallback`, if not null, stands for each
  // undefined step.
  Result<Value> path(const Value& object, const Value& path, const Value* fallback = nullptr);

 private:
  Result<Value> method(const Value& object, std::string_view name);
  Result<Value> element(const Value& object, std::int64_t index);

  const Program& program_;
  const RenderTime& now_;
  int line_ = 1;
  std::uint64_t steps_left_;
  std::uint64_t steps_max_;
  std::uint64_t text_bytes_max_;
  std::deque<Namespace> namespaces_;
  std::deque<Macro> macros_;
};

// Matches arguments with parameter names; kInvalidArgument for too many, unknown or missing ones.
Result<Bound> bind(const Runtime& runtime, const Arguments& arguments, std::string_view function,
                   std::initializer_list<std::string_view> parameters, std::size_t required = 0);
// An integer argument; `fallback` if absent or None.
Result<std::int64_t> integer_argument(const Runtime& runtime, const Value* v,
                                      std::int64_t fallback);
// A text argument; kInvalidArgument for other types.
Result<const Text*> text_argument(const Runtime& runtime, const Value& v);
bool flag_argument(const Value* v, bool fallback);

}  // namespace holdfast::chat
