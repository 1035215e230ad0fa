// Expressions and calls; statements are in evaluator_statement.cc.
#include "evaluator.h"

#include <algorithm>

#include "evaluator_guards.h"
#include "filters.h"
#include "globals.h"
#include "operators.h"
#include "predicates.h"
#include "python_text.h"

namespace holdfast::chat {

const Value* Scope::find(Symbol symbol) const {
  for (const Scope* s = this; s != nullptr; s = s->parent.get()) {
    for (const auto& [name, value] : s->variables) {
      if (name == symbol) return &value;
    }
  }
  return nullptr;
}

std::size_t Scope::reach() const {
  std::size_t n = 0;
  for (const Scope* s = this; s != nullptr; s = s->parent.get()) n += s->variables.size();
  return n;
}

void Scope::set(Symbol symbol, Value value) {
  for (auto& [name, present] : variables) {
    if (name != symbol) continue;
    present = std::move(value);
    return;
  }
  variables.emplace_back(symbol, std::move(value));
}

Evaluator::Evaluator(Runtime& runtime)
    : runtime_(runtime), program_(runtime.program()), scope_(std::make_shared<Scope>()) {}

Result<Value> Evaluator::evaluate(const Expression& e) {
  HF_TRY(runtime_.charge(1));
  runtime_.set_line(e.line);
  const Nested nested(*this);
  if (!nested.ok()) return runtime_.over_budget("expressions and blocks are nested too deeply");
  return evaluate_node(e);
}

Result<Value> Evaluator::evaluate_node(const Expression& e) {
  switch (e.kind) {
    case ExpressionKind::kConstant:
      return e.constant;
    case ExpressionKind::kName:
      return evaluate_name(e);
    case ExpressionKind::kList:
    case ExpressionKind::kTuple:
      return evaluate_items(e);
    case ExpressionKind::kDict:
      return evaluate_dict(e);
    case ExpressionKind::kAttribute: {
      HF_TRY_ASSIGN(const Value object, evaluate(*e.operands[0]));
      runtime_.set_line(e.line);
      return runtime_.attribute(object, e.name);
    }
    case ExpressionKind::kItem:
      return evaluate_item(e);
    case ExpressionKind::kSlice:
      return evaluate_slice(e);
    case ExpressionKind::kCall:
      return evaluate_call(e, nullptr);
    case ExpressionKind::kFilter:
      return evaluate_filter(e);
    case ExpressionKind::kTest:
      return evaluate_test(e);
    case ExpressionKind::kNot: {
      HF_TRY_ASSIGN(const Value v, evaluate(*e.operands[0]));
      return Value(!is_true(v));
    }
    case ExpressionKind::kNegative: {
      HF_TRY_ASSIGN(const Value v, evaluate(*e.operands[0]));
      return negate(runtime_, v);
    }
    case ExpressionKind::kPositive: {
      HF_TRY_ASSIGN(const Value v, evaluate(*e.operands[0]));
      return positive(runtime_, v);
    }
    case ExpressionKind::kAnd:
    case ExpressionKind::kOr:
      return evaluate_logic(e);
    case ExpressionKind::kConcat:
      return evaluate_concat(e);
    case ExpressionKind::kCompare:
      return evaluate_compare(e);
    case ExpressionKind::kArithmetic:
      return evaluate_arithmetic(e);
    case ExpressionKind::kConditional: {
      HF_TRY_ASSIGN(const Value condition, evaluate(*e.operands[0]));
      if (is_true(condition)) return evaluate(*e.operands[1]);
      if (!e.operands[2]) return Value();
      return evaluate(*e.operands[2]);
    }
  }
  return Value();
}

Result<Value> Evaluator::evaluate_name(const Expression& e) {
  HF_TRY(runtime_.charge(scope_->reach() / 16));
  if (const Value* found = scope_->find(e.symbol)) return *found;
  const std::string& name = program_.symbols[e.symbol];
  const NativeFunction global = find_global(name);
  if (global == nullptr) return Value();
  return runtime_.make_method(name, global, Value());
}

Result<Value> Evaluator::evaluate_items(const Expression& e) {
  std::vector<Value> items;
  items.reserve(e.operands.size());
  for (const ExpressionPtr& operand : e.operands) {
    HF_TRY_ASSIGN(Value item, evaluate(*operand));
    items.push_back(std::move(item));
  }
  return e.kind == ExpressionKind::kList ? runtime_.make_list(std::move(items))
                                         : runtime_.make_tuple(std::move(items));
}

Result<Value> Evaluator::evaluate_dict(const Expression& e) {
  Dict dict;
  for (std::size_t i = 0; i < e.operands.size(); i += 2) {
    HF_TRY_ASSIGN(Value key, evaluate(*e.operands[i]));
    HF_TRY_ASSIGN(Value value, evaluate(*e.operands[i + 1]));
    HF_TRY(runtime_.charge_value(key));
    if (!dict.set(std::move(key), std::move(value)))
      return runtime_.failure("a key of a dict cannot be hashed");
  }
  return runtime_.make_dict(std::move(dict));
}

Result<Value> Evaluator::evaluate_item(const Expression& e) {
  HF_TRY_ASSIGN(const Value object, evaluate(*e.operands[0]));
  HF_TRY_ASSIGN(const Value key, evaluate(*e.operands[1]));
  runtime_.set_line(e.line);
  return runtime_.item(object, key);
}

Result<Value> Evaluator::evaluate_slice(const Expression& e) {
  HF_TRY_ASSIGN(const Value object, evaluate(*e.operands[0]));
  Value bounds[3];
  const Value* given[3] = {};
  for (std::size_t i = 0; i < 3; ++i) {
    if (!e.operands[i + 1]) continue;
    HF_TRY_ASSIGN(bounds[i], evaluate(*e.operands[i + 1]));
    given[i] = &bounds[i];
  }
  runtime_.set_line(e.line);
  return slice(runtime_, object, given[0], given[1], given[2]);
}

Result<Value> Evaluator::evaluate_filter(const Expression& e) {
  Value subject;
  if (e.operands[0]) {
    HF_TRY_ASSIGN(subject, evaluate(*e.operands[0]));
  } else {
    subject = *block_value_;
  }
  HF_TRY_ASSIGN(const Arguments arguments, evaluate_arguments(e.arguments));
  runtime_.set_line(e.line);
  if (e.filter == nullptr) return runtime_.not_supported("there is no filter '" + e.name + "'");
  return e.filter->call(runtime_, subject, arguments);
}

Result<Value> Evaluator::evaluate_test(const Expression& e) {
  HF_TRY_ASSIGN(const Value subject, evaluate(*e.operands[0]));
  HF_TRY_ASSIGN(const Arguments arguments, evaluate_arguments(e.arguments));
  runtime_.set_line(e.line);
  if (e.test == nullptr) return runtime_.not_supported("there is no test '" + e.name + "'");
  HF_TRY_ASSIGN(const bool holds, e.test->call(runtime_, subject, arguments));
  return Value(holds);
}

Result<Value> Evaluator::evaluate_logic(const Expression& e) {
  Value v;
  for (const ExpressionPtr& operand : e.operands) {
    HF_TRY_ASSIGN(v, evaluate(*operand));
    if (is_true(v) == (e.kind == ExpressionKind::kOr)) return v;
  }
  return v;
}

Result<Value> Evaluator::evaluate_compare(const Expression& e) {
  HF_TRY_ASSIGN(Value left, evaluate(*e.operands[0]));
  for (std::size_t i = 0; i < e.operators.size(); ++i) {
    HF_TRY_ASSIGN(Value right, evaluate(*e.operands[i + 1]));
    runtime_.set_line(e.line);
    HF_TRY_ASSIGN(const bool holds, compare_values(runtime_, e.operators[i], left, right));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result<Value> Evaluator::evaluate_arithmetic(const Expression& e) {
  HF_TRY_ASSIGN(Value left, evaluate(*e.operands[0]));
  for (std::size_t i = 0; i < e.operators.size(); ++i) {
    HF_TRY_ASSIGN(const Value right, evaluate(*e.operands[i + 1]));
    runtime_.set_line(e.line);
    HF_TRY_ASSIGN(left, arithmetic(runtime_, e.operators[i], left, right));
  }
  return left;
}

Result<Value> Evaluator::evaluate_concat(const Expression& e) {
  Text out;
  for (const ExpressionPtr& operand : e.operands) {
    HF_TRY_ASSIGN(const Value v, evaluate(*operand));
    HF_TRY_ASSIGN(const Text part, to_text(runtime_, v));
    HF_TRY(runtime_.admit_text(out.size() + part.size()));
    out.append(part);
  }
  return runtime_.make_text(std::move(out));
}

Result<Arguments> Evaluator::evaluate_arguments(const ArgumentList& list) {
  Arguments arguments;
  for (const ExpressionPtr& e : list.positional) {
    HF_TRY_ASSIGN(Value v, evaluate(*e));
    arguments.positional.push_back(std::move(v));
  }
  for (const auto& [name, e] : list.named) {
    HF_TRY_ASSIGN(Value v, evaluate(*e));
    arguments.named.emplace_back(name, std::move(v));
  }
  if (list.star) {
    HF_TRY_ASSIGN(const Value v, evaluate(*list.star));
    HF_TRY_ASSIGN(const std::vector<Value> items, runtime_.iterate(v));
    arguments.positional.insert(arguments.positional.end(), items.begin(), items.end());
  }
  if (list.double_star) {
    HF_TRY_ASSIGN(const Value v, evaluate(*list.double_star));
    if (!v.is(Kind::kDict)) return runtime_.failure("** needs a mapping");
    HF_TRY(runtime_.charge(v.as_dict().size()));
    for (const Dict::Entry& entry : v.as_dict().entries()) {
      HF_TRY_ASSIGN(const Text* name, text_argument(runtime_, entry.key));
      arguments.named.emplace_back(name->bytes(), entry.value);
    }
  }
  return arguments;
}

Result<Value> Evaluator::evaluate_call(const Expression& e, const Value* caller) {
  HF_TRY_ASSIGN(const Value callee, evaluate(*e.operands[0]));
  HF_TRY_ASSIGN(const Arguments arguments, evaluate_arguments(e.arguments));
  runtime_.set_line(e.line);
  if (!callee.is(Kind::kUndefined)) return call(callee, arguments, caller);
  const Expression& name = *e.operands[0];
  if (name.kind == ExpressionKind::kName) {
    return runtime_.not_supported("there is no function '" + program_.symbols[name.symbol] + "'");
  }
  return runtime_.failure(
      "the value that is called" +
      (name.kind == ExpressionKind::kAttribute ? " ('" + name.name + "')" : std::string()) +
      " is undefined");
}

Result<Value> Evaluator::call(const Value& callee, const Arguments& arguments,
                              const Value* caller) {
  if (callee.is(Kind::kMacro)) return call_macro(*callee.as_macro(), arguments, caller);
  if (callee.is(Kind::kLoop)) return call_loop(callee.as_loop(), arguments);
  if (callee.is(Kind::kFunction)) {
    const Function& function = callee.as_function();
    return function.call(runtime_, function.self, arguments);
  }
  if (callee.is(Kind::kCounter) && callee.as_counter().is_joiner)
    return call_joiner(runtime_, callee, arguments);
  return runtime_.failure("a value of type " + std::string(type_name(callee)) +
                          " cannot be called");
}

Status Evaluator::bind_parameters(const Signature& signature, const Arguments& arguments,
                                  Scope& scope) {
  HF_TRY(runtime_.charge(signature.parameters.size() * (1 + arguments.named.size() / 8)));
  for (std::size_t i = 0; i < signature.parameters.size(); ++i) {
    const Parameter& parameter = signature.parameters[i];
    const auto named = std::find_if(arguments.named.begin(), arguments.named.end(),
                                    [&](const auto& n) { return n.first == parameter.name; });
    if (i < arguments.positional.size()) {
      if (named != arguments.named.end()) {
        return runtime_.failure("the macro got '" + parameter.name + "' twice");
      }
      scope.set(parameter.symbol, arguments.positional[i]);
    } else if (named != arguments.named.end()) {
      scope.set(parameter.symbol, named->second);
    } else if (parameter.fallback) {
      HF_TRY_ASSIGN(Value v, evaluate(*parameter.fallback));
      scope.set(parameter.symbol, std::move(v));
    } else {
      scope.set(parameter.symbol, Value());
    }
  }
  return ok_status();
}

Status Evaluator::bind_rest(const Signature& signature, const Arguments& arguments,
                            const Value* caller, Scope& scope) {
  const std::size_t count = signature.parameters.size();
  if (arguments.positional.size() > count && !signature.uses_varargs) {
    return runtime_.failure("the macro '" + signature.name + "' takes at most " +
                            std::to_string(count) + " arguments");
  }
  if (signature.uses_varargs) {
    std::vector<Value> rest;
    for (std::size_t i = count; i < arguments.positional.size(); ++i)
      rest.push_back(arguments.positional[i]);
    HF_TRY_ASSIGN(Value tuple, runtime_.make_tuple(std::move(rest)));
    scope.set(program_.varargs, std::move(tuple));
  }
  Dict rest;
  HF_TRY(runtime_.charge(signature.parameters.size() * arguments.named.size() / 8));
  for (const auto& [name, value] : arguments.named) {
    const bool known = std::any_of(signature.parameters.begin(), signature.parameters.end(),
                                   [&given = name](const Parameter& p) { return p.name == given; });
    if (known) continue;
    if (!signature.uses_kwargs)
      return runtime_.failure("the macro '" + signature.name + "' has no parameter '" + name + "'");
    rest.set(Value::text(name, Origin::kTemplate), value);
  }
  if (signature.uses_kwargs) {
    HF_TRY_ASSIGN(Value dict, runtime_.make_dict(std::move(rest)));
    scope.set(program_.kwargs, std::move(dict));
  }
  if (caller != nullptr && !signature.uses_caller) {
    return runtime_.failure("the macro '" + signature.name + "' does not use its caller");
  }
  if (signature.uses_caller) scope.set(program_.caller, caller != nullptr ? *caller : Value());
  return ok_status();
}

Result<Value> Evaluator::call_macro(const Macro& macro, const Arguments& arguments,
                                    const Value* caller) {
  if (call_depth_ >= program_.limits.call_depth_max) {
    return runtime_.over_budget("more than " + std::to_string(program_.limits.call_depth_max) +
                                " calls inside each other");
  }
  const Count inside(call_depth_);
  auto scope = std::make_shared<Scope>();
  scope->parent = macro.scope;
  {
    // Defaults may refer to the parameters before them.
    const InScope in(*this, scope);
    HF_TRY(bind_parameters(*macro.signature, arguments, *scope));
  }
  HF_TRY(bind_rest(*macro.signature, arguments, caller, *scope));
  HF_TRY_ASSIGN(Text text, capture(*macro.body, std::move(scope)));
  return runtime_.make_text(std::move(text));
}

}  // namespace holdfast::chat
