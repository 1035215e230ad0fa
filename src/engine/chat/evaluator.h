// Walks the syntax tree of a template with the values of one rendering.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "ast.h"
#include "holdfast/base/result.h"
#include "runtime.h"

namespace holdfast::chat {

// The variables of one block; inner scopes see outer ones. Macros keep the scope that they were
// defined in.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<Symbol, Value>> variables;

  const Value* find(Symbol symbol) const;
  // Variables here and in outer scopes: what a look-up may have to walk over.
  std::size_t reach() const;
  void set(Symbol symbol, Value value);
};

// Owned by one rendering on one thread.
class Evaluator {
 public:
  explicit Evaluator(Runtime& runtime);

  // A variable of the outermost scope.
  void define(Symbol symbol, Value value) { scope_->set(symbol, std::move(value)); }
  // The text of the whole template. Errors as Template::render.
  Result<Text> run();

 private:
  enum class Flow : std::uint8_t { kNext, kBreak, kContinue };
  class Nested;
  class InScope;

  Result<Flow> execute(const Block& block);
  Result<Flow> execute(const DataStatement& s);
  Result<Flow> execute(const OutputStatement& s);
  Result<Flow> execute(const IfStatement& s);
  Result<Flow> execute(const ForStatement& s);
  Result<Flow> execute(const SetStatement& s);
  Result<Flow> execute(const SetBlockStatement& s);
  Result<Flow> execute(const MacroStatement& s);
  Result<Flow> execute(const CallBlockStatement& s);
  Result<Flow> execute(const FilterBlockStatement& s);
  Result<Flow> execute(const ScopeStatement& s);
  Result<Flow> execute(const BreakStatement& s);
  Result<Flow> execute(const ContinueStatement& s);

  Result<std::vector<Value>> loop_items(const ForStatement& s, const Value& iterable);
  Result<Flow> run_loop(const ForStatement& s, std::vector<Value> items, std::size_t depth);
  Result<Flow> run_iterations(const ForStatement& s, const std::shared_ptr<Loop>& loop);
  Status assign(const Target& target, const Value& value);
  Status print(const Value& value);
  // What a block prints, in a scope of its own.
  Result<Text> capture(const Block& block, std::shared_ptr<Scope> scope);
  std::shared_ptr<Scope> inner_scope() const;

  Result<Value> evaluate(const Expression& e);
  Result<Value> evaluate_node(const Expression& e);
  Result<Value> evaluate_name(const Expression& e);
  Result<Value> evaluate_items(const Expression& e);
  Result<Value> evaluate_dict(const Expression& e);
  Result<Value> evaluate_item(const Expression& e);
  Result<Value> evaluate_slice(const Expression& e);
  Result<Value> evaluate_filter(const Expression& e);
  Result<Value> evaluate_test(const Expression& e);
  Result<Value> evaluate_logic(const Expression& e);
  Result<Value> evaluate_compare(const Expression& e);
  Result<Value> evaluate_arithmetic(const Expression& e);
  Result<Value> evaluate_concat(const Expression& e);
  Result<Value> evaluate_call(const Expression& e, const Value* caller);
  Result<Arguments> evaluate_arguments(const ArgumentList& list);
  Result<Value> call(const Value& callee, const Arguments& arguments, const Value* caller);
  Result<Value> call_macro(const Macro& macro, const Arguments& arguments, const Value* caller);
  Status bind_parameters(const Signature& signature, const Arguments& arguments, Scope& scope);
  Status bind_rest(const Signature& signature, const Arguments& arguments, const Value* caller,
                   Scope& scope);
  Result<Value> call_loop(const Loop& loop, const Arguments& arguments);

  Runtime& runtime_;
  const Program& program_;
  std::shared_ptr<Scope> scope_;
  Text* out_ = nullptr;
  const Value* block_value_ = nullptr;  // what the filter of a filter block is applied to
  std::size_t depth_ = 0;
  std::size_t call_depth_ = 0;
};

}  // namespace holdfast::chat
