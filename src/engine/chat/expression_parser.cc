#include "expression_parser.h"

#include <algorithm>
#include <array>

#include "filters.h"
#include "predicates.h"

namespace holdfast::chat {

namespace {

// Chains of attributes, calls and filters grow trees to one side; published templates stay
// below 20.
constexpr std::uint32_t kTreeDepthMax = 200;

ExpressionPtr make(ExpressionKind kind, int line) {
  auto e = std::make_unique<Expression>();
  e->kind = kind;
  e->line = line;
  return e;
}

ExpressionPtr make_over(ExpressionKind kind, int line, ExpressionPtr operand) {
  ExpressionPtr e = make(kind, line);
  e->operands.push_back(std::move(operand));
  return e;
}

// Left-associative levels of precedence above comparisons' operands, from weak to strong.
struct Level {
  ExpressionKind kind;
  std::array<std::string_view, 4> operators;
};
constexpr int kOrLevel = 0;
constexpr int kAndLevel = 1;
constexpr int kSumLevel = 2;
constexpr int kUnaryLevel = 6;
constexpr std::array<Level, kUnaryLevel> kLevels = {{
    {ExpressionKind::kOr, {"or"}},
    {ExpressionKind::kAnd, {"and"}},
    {ExpressionKind::kArithmetic, {"+", "-"}},
    {ExpressionKind::kConcat, {"~"}},
    {ExpressionKind::kArithmetic, {"*", "/", "//", "%"}},
    {ExpressionKind::kArithmetic, {"**"}},
}};

Operator arithmetic_operator(std::string_view op) {
  if (op == "+") return Operator::kAdd;
  if (op == "-") return Operator::kSubtract;
  if (op == "*") return Operator::kMultiply;
  if (op == "/") return Operator::kDivide;
  if (op == "//") return Operator::kFloorDivide;
  if (op == "%") return Operator::kModulo;
  return Operator::kPower;
}

void raise_to(std::uint32_t& depth, const ExpressionPtr& part) {
  if (part) depth = std::max(depth, part->depth + 1);
}

}  // namespace

ExpressionParser::ExpressionParser(std::vector<Token> tokens, const Limits& limits)
    : tokens_(std::move(tokens)), limits_(limits) {}

const Token& ExpressionParser::ahead(std::size_t n) const {
  return tokens_[std::min(position_ + n, tokens_.size() - 1)];
}

Token ExpressionParser::take() {
  Token token = std::move(tokens_[position_]);
  if (position_ + 1 < tokens_.size()) {
    ++position_;
  } else {
    tokens_[position_] = token;  // the end token stays
  }
  return token;
}

bool ExpressionParser::at_operator(std::string_view op) const {
  return current().kind == TokenKind::kOperator && current().text == op;
}
bool ExpressionParser::at_name(std::string_view name) const {
  return current().kind == TokenKind::kName && current().text == name;
}
bool ExpressionParser::take_operator(std::string_view op) {
  if (!at_operator(op)) return false;
  take();
  return true;
}
bool ExpressionParser::take_name(std::string_view name) {
  if (!at_name(name)) return false;
  take();
  return true;
}
Status ExpressionParser::expect_operator(std::string_view op) {
  if (!take_operator(op)) return unexpected("'" + std::string(op) + "'");
  return ok_status();
}
Status ExpressionParser::expect_name(std::string_view name) {
  if (!take_name(name)) return unexpected("'" + std::string(name) + "'");
  return ok_status();
}
Status ExpressionParser::expect(TokenKind kind, std::string_view what) {
  if (current().kind != kind) return unexpected(what);
  take();
  return ok_status();
}
Result<Token> ExpressionParser::expect_identifier() {
  if (current().kind != TokenKind::kName) return unexpected("a name");
  return take();
}

Error ExpressionParser::unexpected(std::string_view wanted) const {
  std::string what;
  switch (current().kind) {
    case TokenKind::kEnd:
      what = "the template ends too early";
      break;
    case TokenKind::kVariableEnd:
    case TokenKind::kBlockEnd:
      what = "unexpected end of the tag";
      break;
    case TokenKind::kName:
    case TokenKind::kOperator:
      what = "unexpected '" + current().text.substr(0, 40) + "'";
      break;
    default:
      what = "unexpected literal";
  }
  if (!wanted.empty()) what += ", expected " + std::string(wanted);
  return syntax_error(current().line, what);
}

Symbol ExpressionParser::intern(std::string_view name) {
  const auto [at, inserted] =
      symbol_index_.try_emplace(std::string(name), static_cast<Symbol>(symbols_.size()));
  if (inserted) symbols_.emplace_back(name);
  return at->second;
}

Status ExpressionParser::enter() {
  if (++nesting_ > limits_.nesting_max) {
    return exhausted("chat template, line " + std::to_string(current().line) + ": more than " +
                     std::to_string(limits_.nesting_max) + " blocks or brackets inside each other");
  }
  return ok_status();
}

Result<ExpressionPtr> ExpressionParser::finish(ExpressionPtr e) const {
  for (const ExpressionPtr& operand : e->operands) raise_to(e->depth, operand);
  for (const ExpressionPtr& argument : e->arguments.positional) raise_to(e->depth, argument);
  for (const auto& [name, argument] : e->arguments.named) raise_to(e->depth, argument);
  raise_to(e->depth, e->arguments.star);
  raise_to(e->depth, e->arguments.double_star);
  if (e->depth > kTreeDepthMax) {
    return exhausted("chat template, line " + std::to_string(e->line) +
                     ": an expression is nested too deeply");
  }
  return e;
}

Result<ExpressionPtr> ExpressionParser::parse_expression(bool conditional) {
  HF_TRY(enter());
  int line = current().line;
  HF_TRY_ASSIGN(ExpressionPtr e, parse_binary(kOrLevel));
  while (conditional && take_name("if")) {
    HF_TRY_ASSIGN(ExpressionPtr condition, parse_binary(kOrLevel));
    ExpressionPtr otherwise;
    if (take_name("else")) {
      HF_TRY_ASSIGN(otherwise, parse_expression());
    }
    ExpressionPtr whole = make_over(ExpressionKind::kConditional, line, std::move(condition));
    whole->operands.push_back(std::move(e));
    whole->operands.push_back(std::move(otherwise));
    HF_TRY_ASSIGN(e, finish(std::move(whole)));
    line = current().line;
  }
  leave();
  return e;
}

// One node holds a whole chain of operators of one level, so that long sums do not make high trees.
Result<ExpressionPtr> ExpressionParser::parse_binary(int level) {
  if (level == kUnaryLevel) return parse_unary(true);
  const auto next = [&]() -> Result<ExpressionPtr> {
    return level == kAndLevel ? parse_not() : parse_binary(level + 1);
  };
  const int line = current().line;
  HF_TRY_ASSIGN(ExpressionPtr first, next());
  const Level& rule = kLevels[static_cast<std::size_t>(level)];
  const TokenKind word = level <= kAndLevel ? TokenKind::kName : TokenKind::kOperator;
  ExpressionPtr chain;
  for (;;) {
    const auto is_current = [this](std::string_view op) {
      return !op.empty() && current().text == op;
    };
    if (current().kind != word ||
        std::none_of(rule.operators.begin(), rule.operators.end(), is_current)) {
      break;
    }
    if (!chain) chain = make_over(rule.kind, line, std::move(first));
    chain->operators.push_back(arithmetic_operator(take().text));
    HF_TRY_ASSIGN(ExpressionPtr operand, next());
    chain->operands.push_back(std::move(operand));
  }
  if (!chain) return first;
  return finish(std::move(chain));
}

Result<ExpressionPtr> ExpressionParser::parse_not() {
  if (!at_name("not")) return parse_compare();
  const int line = take().line;
  HF_TRY(enter());
  HF_TRY_ASSIGN(ExpressionPtr operand, parse_not());
  leave();
  return finish(make_over(ExpressionKind::kNot, line, std::move(operand)));
}

bool ExpressionParser::at_compare_operator(Operator& op) const {
  static constexpr std::array<std::pair<std::string_view, Operator>, 6> kOperators = {{
      {"==", Operator::kEqual},
      {"!=", Operator::kNotEqual},
      {"<", Operator::kLess},
      {"<=", Operator::kLessEqual},
      {">", Operator::kGreater},
      {">=", Operator::kGreaterEqual},
  }};
  for (const auto& [text, value] : kOperators) {
    if (!at_operator(text)) continue;
    op = value;
    return true;
  }
  if (at_name("in")) {
    op = Operator::kIn;
    return true;
  }
  if (at_name("not") && ahead().kind == TokenKind::kName && ahead().text == "in") {
    op = Operator::kNotIn;
    return true;
  }
  return false;
}

Result<ExpressionPtr> ExpressionParser::parse_compare() {
  const int line = current().line;
  HF_TRY_ASSIGN(ExpressionPtr first, parse_binary(kSumLevel));
  ExpressionPtr chain;
  Operator op{};
  while (at_compare_operator(op)) {
    take();
    if (op == Operator::kNotIn) take();
    if (!chain) chain = make_over(ExpressionKind::kCompare, line, std::move(first));
    chain->operators.push_back(op);
    HF_TRY_ASSIGN(ExpressionPtr operand, parse_binary(kSumLevel));
    chain->operands.push_back(std::move(operand));
  }
  if (!chain) return first;
  return finish(std::move(chain));
}

// A sign binds tighter than a filter, but what follows it is read without its filters: -x|abs is
// (-x)|abs.
Result<ExpressionPtr> ExpressionParser::parse_unary(bool with_filter) {
  const int line = current().line;
  ExpressionPtr e;
  if (at_operator("-") || at_operator("+")) {
    const ExpressionKind kind =
        take().text == "-" ? ExpressionKind::kNegative : ExpressionKind::kPositive;
    HF_TRY(enter());
    HF_TRY_ASSIGN(ExpressionPtr operand, parse_unary(false));
    leave();
    HF_TRY_ASSIGN(e, finish(make_over(kind, line, std::move(operand))));
  } else {
    HF_TRY_ASSIGN(e, parse_primary());
  }
  HF_TRY_ASSIGN(e, parse_postfix(std::move(e)));
  if (!with_filter) return e;
  return parse_filter_expression(std::move(e));
}

Result<ExpressionPtr> ExpressionParser::parse_primary() {
  const int line = current().line;
  ExpressionPtr e = make(ExpressionKind::kConstant, line);
  switch (current().kind) {
    case TokenKind::kName: {
      const std::string name = take().text;
      if (name == "true" || name == "True" || name == "false" || name == "False") {
        e->constant = Value(name == "true" || name == "True");
      } else if (name == "none" || name == "None") {
        e->constant = Value(None{});
      } else {
        e->kind = ExpressionKind::kName;
        e->symbol = intern(name);
        watch_.caller |= name == "caller";
        watch_.varargs |= name == "varargs";
        watch_.kwargs |= name == "kwargs";
      }
      return e;
    }
    case TokenKind::kString: {
      std::string text = take().text;
      while (current().kind == TokenKind::kString) text += take().text;  // as in Python
      e->constant = Value::text(text, Origin::kTemplate);
      return e;
    }
    case TokenKind::kInteger:
      e->constant = Value(take().integer);
      return e;
    case TokenKind::kFloat:
      e->constant = Value(take().real);
      return e;
    default:
      return parse_bracketed();
  }
}

Result<ExpressionPtr> ExpressionParser::parse_bracketed() {
  HF_TRY(enter());
  ExpressionPtr e;
  if (take_operator("(")) {
    if (at_operator(")")) {
      e = make(ExpressionKind::kTuple, current().line);
    } else {
      HF_TRY_ASSIGN(e, parse_tuple(true));
    }
    HF_TRY(expect_operator(")"));
  } else if (at_operator("[")) {
    HF_TRY_ASSIGN(e, parse_list());
  } else if (at_operator("{")) {
    HF_TRY_ASSIGN(e, parse_dict());
  } else {
    return unexpected();
  }
  leave();
  return e;
}

bool ExpressionParser::at_tuple_end(std::string_view stop) const {
  return current().kind == TokenKind::kVariableEnd || current().kind == TokenKind::kBlockEnd ||
         at_operator(")") || (!stop.empty() && at_name(stop));
}

Result<ExpressionPtr> ExpressionParser::parse_tuple(bool conditional, std::string_view stop) {
  const int line = current().line;
  HF_TRY_ASSIGN(ExpressionPtr first, parse_expression(conditional));
  if (!at_operator(",")) return first;
  ExpressionPtr tuple = make_over(ExpressionKind::kTuple, line, std::move(first));
  while (take_operator(",") && !at_tuple_end(stop)) {
    HF_TRY_ASSIGN(ExpressionPtr item, parse_expression(conditional));
    tuple->operands.push_back(std::move(item));
  }
  return finish(std::move(tuple));
}

Result<ExpressionPtr> ExpressionParser::parse_list() {
  ExpressionPtr list = make(ExpressionKind::kList, take().line);
  while (!at_operator("]")) {
    if (!list->operands.empty()) HF_TRY(expect_operator(","));
    if (at_operator("]")) break;
    HF_TRY_ASSIGN(ExpressionPtr item, parse_expression());
    list->operands.push_back(std::move(item));
  }
  HF_TRY(expect_operator("]"));
  return finish(std::move(list));
}

Result<ExpressionPtr> ExpressionParser::parse_dict() {
  ExpressionPtr dict = make(ExpressionKind::kDict, take().line);
  while (!at_operator("}")) {
    if (!dict->operands.empty()) HF_TRY(expect_operator(","));
    if (at_operator("}")) break;
    HF_TRY_ASSIGN(ExpressionPtr key, parse_expression());
    HF_TRY(expect_operator(":"));
    HF_TRY_ASSIGN(ExpressionPtr value, parse_expression());
    dict->operands.push_back(std::move(key));
    dict->operands.push_back(std::move(value));
  }
  HF_TRY(expect_operator("}"));
  return finish(std::move(dict));
}

Result<ExpressionPtr> ExpressionParser::parse_postfix(ExpressionPtr subject) {
  for (;;) {
    if (at_operator(".")) {
      HF_TRY_ASSIGN(subject, parse_attribute(std::move(subject)));
    } else if (at_operator("[")) {
      HF_TRY_ASSIGN(subject, parse_subscript(std::move(subject)));
    } else if (at_operator("(")) {
      HF_TRY_ASSIGN(subject, parse_call(std::move(subject)));
    } else {
      return subject;
    }
  }
}

Result<ExpressionPtr> ExpressionParser::parse_attribute(ExpressionPtr subject) {
  const int line = take().line;
  if (current().kind == TokenKind::kName) {
    ExpressionPtr e = make_over(ExpressionKind::kAttribute, line, std::move(subject));
    e->name = take().text;
    return finish(std::move(e));
  }
  if (current().kind != TokenKind::kInteger) return unexpected("a name or number");
  ExpressionPtr index = make(ExpressionKind::kConstant, line);
  index->constant = Value(take().integer);
  ExpressionPtr e = make_over(ExpressionKind::kItem, line, std::move(subject));
  e->operands.push_back(std::move(index));
  return finish(std::move(e));
}

Result<ExpressionPtr> ExpressionParser::parse_subscript(ExpressionPtr subject) {
  const int line = take().line;
  ExpressionPtr e = make_over(ExpressionKind::kSlice, line, std::move(subject));
  bool is_slice = false;
  ExpressionPtr part;
  while (!at_operator("]")) {
    if (take_operator(":")) {
      is_slice = true;
      e->operands.push_back(std::move(part));
      continue;
    }
    if (part || e->operands.size() > 3) return unexpected("']'");
    HF_TRY_ASSIGN(part, parse_expression());
    if (at_operator(","))
      return unsupported("chat template, line " + std::to_string(line) +
                         ": a subscript with commas is not supported");
  }
  HF_TRY(expect_operator("]"));
  if (!is_slice && !part) return syntax_error(line, "an empty subscript");
  e->operands.push_back(std::move(part));
  if (!is_slice) {
    e->kind = ExpressionKind::kItem;
  } else if (e->operands.size() > 4) {
    return syntax_error(line, "a slice has at most three parts");
  } else {
    e->operands.resize(4);
  }
  return finish(std::move(e));
}

Result<ExpressionPtr> ExpressionParser::parse_filter_expression(ExpressionPtr subject) {
  for (;;) {
    if (at_operator("|")) {
      HF_TRY_ASSIGN(subject, parse_filters(std::move(subject), false));
    } else if (at_name("is")) {
      HF_TRY_ASSIGN(subject, parse_test(std::move(subject)));
    } else if (at_operator("(")) {
      HF_TRY_ASSIGN(subject, parse_call(std::move(subject)));
    } else {
      return subject;
    }
  }
}

Result<std::string> ExpressionParser::parse_dotted_name() {
  HF_TRY_ASSIGN(Token token, expect_identifier());
  std::string name = std::move(token.text);
  while (take_operator(".")) {
    HF_TRY_ASSIGN(const Token part, expect_identifier());
    name += "." + part.text;
  }
  return name;
}

Result<ExpressionPtr> ExpressionParser::parse_filters(ExpressionPtr subject, bool start_inline) {
  while (start_inline || take_operator("|")) {
    start_inline = false;
    ExpressionPtr e = make_over(ExpressionKind::kFilter, current().line, std::move(subject));
    HF_TRY_ASSIGN(e->name, parse_dotted_name());
    e->filter = find_filter(e->name);
    if (at_operator("(")) HF_TRY(parse_arguments(e->arguments));
    HF_TRY_ASSIGN(subject, finish(std::move(e)));
  }
  return subject;
}

Result<ExpressionPtr> ExpressionParser::parse_test(ExpressionPtr subject) {
  ExpressionPtr e = make_over(ExpressionKind::kTest, take().line, std::move(subject));
  const bool negated = take_name("not");
  HF_TRY_ASSIGN(e->name, parse_dotted_name());
  e->test = find_test(e->name);
  const TokenKind kind = current().kind;
  const bool is_operand =
      kind == TokenKind::kString || kind == TokenKind::kInteger || kind == TokenKind::kFloat ||
      at_operator("[") || at_operator("{") ||
      (kind == TokenKind::kName && !at_name("else") && !at_name("or") && !at_name("and"));
  if (at_operator("(")) {
    HF_TRY(parse_arguments(e->arguments));
  } else if (is_operand) {
    if (at_name("is")) return syntax_error(e->line, "tests cannot be chained with 'is'");
    HF_TRY_ASSIGN(ExpressionPtr argument, parse_primary());
    HF_TRY_ASSIGN(argument, parse_postfix(std::move(argument)));
    e->arguments.positional.push_back(std::move(argument));
  }
  const int line = e->line;
  HF_TRY_ASSIGN(e, finish(std::move(e)));
  if (!negated) return e;
  return finish(make_over(ExpressionKind::kNot, line, std::move(e)));
}

Result<ExpressionPtr> ExpressionParser::parse_call(ExpressionPtr callee) {
  ExpressionPtr e = make_over(ExpressionKind::kCall, current().line, std::move(callee));
  HF_TRY(parse_arguments(e->arguments));
  return finish(std::move(e));
}

Status ExpressionParser::parse_arguments(ArgumentList& arguments) {
  HF_TRY(enter());
  HF_TRY(expect_operator("("));
  for (bool first = true; !at_operator(")"); first = false) {
    if (!first) HF_TRY(expect_operator(","));
    if (at_operator(")")) break;
    HF_TRY(parse_argument(arguments));
  }
  leave();
  return expect_operator(")");
}

Status ExpressionParser::parse_argument(ArgumentList& arguments) {
  const int line = current().line;
  if (at_operator("*") || at_operator("**")) {
    const bool is_star = take().text == "*";
    ExpressionPtr& slot = is_star ? arguments.star : arguments.double_star;
    if (slot || arguments.double_star) return syntax_error(line, "unpacked arguments out of order");
    HF_TRY_ASSIGN(slot, parse_expression());
    return ok_status();
  }
  const bool is_named = current().kind == TokenKind::kName &&
                        ahead().kind == TokenKind::kOperator && ahead().text == "=";
  if (is_named) {
    if (arguments.double_star) return syntax_error(line, "an argument follows **");
    std::string name = take().text;
    take();
    HF_TRY_ASSIGN(ExpressionPtr value, parse_expression());
    arguments.named.emplace_back(std::move(name), std::move(value));
    return ok_status();
  }
  if (arguments.star || arguments.double_star || !arguments.named.empty()) {
    return syntax_error(line, "a positional argument follows a named one");
  }
  HF_TRY_ASSIGN(ExpressionPtr value, parse_expression());
  arguments.positional.push_back(std::move(value));
  return ok_status();
}

Result<Target> ExpressionParser::parse_target(bool allow_attribute, std::string_view stop) {
  const auto parse_one = [&]() -> Result<Target> {
    if (take_operator("(")) {
      HF_TRY(enter());
      HF_TRY_ASSIGN(Target inner, parse_target(allow_attribute));
      HF_TRY(expect_operator(")"));
      leave();
      return inner;
    }
    HF_TRY_ASSIGN(const Token name, expect_identifier());
    static constexpr std::array<std::string_view, 6> kReserved = {"true",  "True", "false",
                                                                  "False", "none", "None"};
    if (std::find(kReserved.begin(), kReserved.end(), name.text) != kReserved.end()) {
      return syntax_error(name.line, "cannot assign to '" + name.text + "'");
    }
    Target target;
    target.symbol = intern(name.text);
    if (allow_attribute && take_operator(".")) {
      HF_TRY_ASSIGN(Token attribute, expect_identifier());
      target.kind = Target::Kind::kAttribute;
      target.attribute = std::move(attribute.text);
    }
    return target;
  };
  HF_TRY_ASSIGN(Target first, parse_one());
  if (!at_operator(",")) return first;
  Target tuple;
  tuple.kind = Target::Kind::kTuple;
  tuple.parts.push_back(std::move(first));
  while (take_operator(",") && !at_tuple_end(stop) && !at_operator("=")) {
    HF_TRY_ASSIGN(Target part, parse_one());
    tuple.parts.push_back(std::move(part));
  }
  return tuple;
}

Result<Parameter> ExpressionParser::parse_parameter() {
  HF_TRY_ASSIGN(Token name, expect_identifier());
  Parameter parameter;
  parameter.symbol = intern(name.text);
  parameter.name = std::move(name.text);
  if (take_operator("=")) {
    HF_TRY_ASSIGN(parameter.fallback, parse_expression());
  }
  return parameter;
}

}  // namespace holdfast::chat
