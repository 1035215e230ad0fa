// Statements; expressions and calls are in evaluator.cc.
#include "evaluator_guards.h"
#include "python_text.h"

namespace holdfast::chat {

namespace {

template <typename T>
class Restore {
 public:
  Restore(T& place, T value) : place_(place), before_(std::exchange(place, std::move(value))) {}
  ~Restore() { place_ = std::move(before_); }
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;

 private:
  T& place_;
  T before_;
};

// A loop that has ended holds nothing that could come to hold it.
class EndLoop {
 public:
  explicit EndLoop(Loop& loop) : loop_(loop) {}
  ~EndLoop() {
    loop_.is_over = true;
    loop_.last_changed.clear();
    loop_.scope.reset();
  }
  EndLoop(const EndLoop&) = delete;
  EndLoop& operator=(const EndLoop&) = delete;

 private:
  Loop& loop_;
};

}  // namespace

Result<Text> Evaluator::run() {
  Text out;
  out_ = &out;
  HF_TRY(execute(program_.body));
  return out;
}

std::shared_ptr<Scope> Evaluator::inner_scope() const {
  auto scope = std::make_shared<Scope>();
  scope->parent = scope_;
  return scope;
}

Result<Text> Evaluator::capture(const Block& block, std::shared_ptr<Scope> scope) {
  Text text;
  const InScope in(*this, std::move(scope));
  const Restore<Text*> output(out_, &text);
  HF_TRY(execute(block));
  return text;
}

Result<Evaluator::Flow> Evaluator::execute(const Block& block) {
  const Nested nested(*this);
  if (!nested.ok()) return runtime_.over_budget("expressions and blocks are nested too deeply");
  for (const Statement& statement : block) {
    HF_TRY(runtime_.charge(1));
    runtime_.set_line(statement.line);
    HF_TRY_ASSIGN(const Flow flow,
                  std::visit([this](const auto& s) { return execute(s); }, statement.node));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Status Evaluator::print(const Value& value) {
  if (value.is(Kind::kUndefined)) return ok_status();
  Text written;
  if (!value.is(Kind::kText)) {
    HF_TRY_ASSIGN(written, to_text(runtime_, value));
  }
  const Text& text = value.is(Kind::kText) ? value.as_text() : written;
  if (out_->size() + text.size() > runtime_.text_bytes_max()) {
    return runtime_.over_budget("an output of more than " +
                                std::to_string(runtime_.text_bytes_max()) + " bytes");
  }
  HF_TRY(runtime_.charge_bytes(text.size()));
  out_->append(text);
  return ok_status();
}

Result<Evaluator::Flow> Evaluator::execute(const DataStatement& s) {
  HF_TRY(print(s.text));
  return Flow::kNext;
}

Result<Evaluator::Flow> Evaluator::execute(const OutputStatement& s) {
  for (const ExpressionPtr& e : s.expressions) {
    HF_TRY_ASSIGN(const Value v, evaluate(*e));
    HF_TRY(print(v));
  }
  return Flow::kNext;
}

Result<Evaluator::Flow> Evaluator::execute(const IfStatement& s) {
  for (const IfStatement::Branch& branch : s.branches) {
    HF_TRY_ASSIGN(const Value condition, evaluate(*branch.condition));
    if (is_true(condition)) return execute(branch.body);
  }
  return execute(s.otherwise);
}

Result<std::vector<Value>> Evaluator::loop_items(const ForStatement& s, const Value& iterable) {
  HF_TRY_ASSIGN(std::vector<Value> items, runtime_.iterate(iterable));
  if (!s.condition) return items;
  std::vector<Value> kept;
  for (Value& item : items) {
    const InScope in(*this, inner_scope());
    HF_TRY(assign(s.target, item));
    HF_TRY_ASSIGN(const Value holds, evaluate(*s.condition));
    if (is_true(holds)) kept.push_back(std::move(item));
  }
  return kept;
}

Result<Evaluator::Flow> Evaluator::execute(const ForStatement& s) {
  HF_TRY_ASSIGN(const Value iterable, evaluate(*s.iterable));
  HF_TRY_ASSIGN(std::vector<Value> items, loop_items(s, iterable));
  return run_loop(s, std::move(items), 1);
}

Result<Evaluator::Flow> Evaluator::run_loop(const ForStatement& s, std::vector<Value> items,
                                            std::size_t depth) {
  if (items.empty()) {
    const InScope in(*this, inner_scope());
    return execute(s.otherwise);
  }
  auto loop = std::make_shared<Loop>();
  loop->extent = extent_around(items);
  HF_TRY(runtime_.check_extent(loop->extent));
  loop->items = std::move(items);
  loop->depth = depth;
  if (s.recursive) {
    loop->recursive = &s;
    loop->scope = scope_;
  }
  const EndLoop end(*loop);
  return run_iterations(s, loop);
}

Result<Evaluator::Flow> Evaluator::run_iterations(const ForStatement& s,
                                                  const std::shared_ptr<Loop>& loop) {
  for (std::size_t i = 0; i < loop->items.size(); ++i) {
    HF_TRY(runtime_.charge(1));
    loop->index = i;
    const InScope in(*this, inner_scope());
    HF_TRY(assign(s.target, loop->items[i]));
    scope_->set(program_.loop, Value(loop));
    HF_TRY_ASSIGN(const Flow flow, execute(s.body));
    if (flow == Flow::kBreak) break;
  }
  return Flow::kNext;
}

Result<Value> Evaluator::call_loop(const Loop& loop, const Arguments& arguments) {
  if (loop.recursive == nullptr)
    return runtime_.failure("a loop without 'recursive' cannot be called");
  if (loop.is_over) return runtime_.failure("a loop is called after its end");
  HF_TRY_ASSIGN(const Bound args, bind(runtime_, arguments, "loop", {"iterable"}, 1));
  if (call_depth_ >= program_.limits.call_depth_max)
    return runtime_.over_budget("loops call each other too deeply");
  const Count inside(call_depth_);
  const ForStatement& statement = *loop.recursive;
  Text text;
  {
    const InScope in(*this, loop.scope);
    const Restore<Text*> output(out_, &text);
    HF_TRY_ASSIGN(std::vector<Value> items, loop_items(statement, *args[0]));
    HF_TRY(run_loop(statement, std::move(items), loop.depth + 1));
  }
  return runtime_.make_text(std::move(text));
}

Status Evaluator::assign(const Target& target, const Value& value) {
  HF_TRY(runtime_.charge(scope_->reach() / 16));
  if (target.kind == Target::Kind::kName) {
    scope_->set(target.symbol, value);
    return ok_status();
  }
  if (target.kind == Target::Kind::kAttribute) {
    const Value* object = scope_->find(target.symbol);
    if (object == nullptr || !object->is(Kind::kNamespace)) {
      return runtime_.failure("only a namespace has attributes that can be set");
    }
    HF_TRY(runtime_.charge(object->as_namespace()->attributes.size() / 8));
    object->as_namespace()->set(target.attribute, value);
    return ok_status();
  }
  HF_TRY_ASSIGN(const std::vector<Value> parts, runtime_.iterate(value));
  if (parts.size() != target.parts.size()) {
    return runtime_.failure(std::to_string(parts.size()) + " values for " +
                            std::to_string(target.parts.size()) + " names");
  }
  for (std::size_t i = 0; i < parts.size(); ++i) HF_TRY(assign(target.parts[i], parts[i]));
  return ok_status();
}

Result<Evaluator::Flow> Evaluator::execute(const SetStatement& s) {
  HF_TRY_ASSIGN(const Value v, evaluate(*s.value));
  HF_TRY(assign(s.target, v));
  return Flow::kNext;
}

Result<Evaluator::Flow> Evaluator::execute(const SetBlockStatement& s) {
  HF_TRY_ASSIGN(Text text, capture(s.body, inner_scope()));
  HF_TRY_ASSIGN(Value value, runtime_.make_text(std::move(text)));
  if (s.filter) {
    const Restore<const Value*> subject(block_value_, &value);
    HF_TRY_ASSIGN(Value filtered, evaluate(*s.filter));
    HF_TRY(assign(s.target, filtered));
    return Flow::kNext;
  }
  HF_TRY(assign(s.target, value));
  return Flow::kNext;
}

Result<Evaluator::Flow> Evaluator::execute(const MacroStatement& s) {
  scope_->set(s.symbol, Value(runtime_.new_macro({&s.signature, &s.body, scope_})));
  return Flow::kNext;
}

Result<Evaluator::Flow> Evaluator::execute(const CallBlockStatement& s) {
  const Value caller(runtime_.new_macro({&s.signature, &s.body, scope_}));
  HF_TRY_ASSIGN(const Value v, evaluate_call(*s.call, &caller));
  HF_TRY(print(v));
  return Flow::kNext;
}

Result<Evaluator::Flow> Evaluator::execute(const FilterBlockStatement& s) {
  HF_TRY_ASSIGN(Text text, capture(s.body, inner_scope()));
  HF_TRY_ASSIGN(const Value value, runtime_.make_text(std::move(text)));
  const Restore<const Value*> subject(block_value_, &value);
  HF_TRY_ASSIGN(const Value filtered, evaluate(*s.filter));
  HF_TRY(print(filtered));
  return Flow::kNext;
}

Result<Evaluator::Flow> Evaluator::execute(const ScopeStatement& s) {
  auto scope = inner_scope();
  for (const auto& [target, e] : s.variables) {
    HF_TRY_ASSIGN(Value v, evaluate(*e));
    scope->set(target.symbol, std::move(v));
  }
  const InScope in(*this, std::move(scope));
  return execute(s.body);
}

Result<Evaluator::Flow> Evaluator::execute(const BreakStatement& /*s*/) { return Flow::kBreak; }
Result<Evaluator::Flow> Evaluator::execute(const ContinueStatement& /*s*/) {
  return Flow::kContinue;
}

}  // namespace holdfast::chat
