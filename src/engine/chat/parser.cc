#include "parser.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "expression_parser.h"
#include "lexer.h"

namespace holdfast::chat {

namespace {

using Names = std::initializer_list<std::string_view>;

class StatementParser {
 public:
  StatementParser(std::vector<Token> tokens, const Limits& limits)
      : in_(std::move(tokens), limits) {}

  Result<std::shared_ptr<const Program>> run(const Limits& limits) {
    auto program = std::make_shared<Program>();
    program->limits = limits;
    program->loop = in_.intern("loop");
    program->caller = in_.intern("caller");
    program->varargs = in_.intern("varargs");
    program->kwargs = in_.intern("kwargs");
    HF_TRY_ASSIGN(program->body, parse_block({}));
    program->symbols = in_.take_symbols();
    return std::shared_ptr<const Program>(std::move(program));
  }

 private:
  bool at_any(Names names) const {
    return std::any_of(names.begin(), names.end(), [this](auto name) { return in_.at_name(name); });
  }

  // Statements up to a tag with one of the names, whose "{%" is consumed and whose name is not; or,
  // without names, to the end of the template.
  Result<Block> parse_block(Names ends) {
    HF_TRY(in_.enter());
    Block block;
    for (;;) {
      const int line = in_.current().line;
      switch (in_.current().kind) {
        case TokenKind::kEnd:
          if (ends.size() != 0) {
            return syntax_error(
                line, "the template ends before '" + std::string(*(ends.end() - 1)) + "'");
          }
          in_.leave();
          return block;
        case TokenKind::kData:
          block.push_back({line, DataStatement{Value::text(in_.take().text, Origin::kTemplate)}});
          break;
        case TokenKind::kVariableBegin: {
          in_.take();
          HF_TRY_ASSIGN(ExpressionPtr e, in_.parse_tuple(true));
          HF_TRY(in_.expect(TokenKind::kVariableEnd, "'}}'"));
          block.push_back({line, output_of(std::move(e))});
          break;
        }
        default: {
          HF_TRY(in_.expect(TokenKind::kBlockBegin, "a tag"));
          if (at_any(ends)) {
            in_.leave();
            return block;
          }
          HF_TRY_ASSIGN(Statement statement, parse_statement());
          block.push_back(std::move(statement));
          HF_TRY(in_.expect(TokenKind::kBlockEnd, "'%}'"));
        }
      }
    }
  }

  static OutputStatement output_of(ExpressionPtr e) {
    OutputStatement output;
    output.expressions.push_back(std::move(e));
    return output;
  }

  // The body of a statement: after "%}" up to the tag named by one of `ends`; its name is not
  // consumed.
  Result<Block> parse_body(Names ends) {
    in_.take_operator(":");  // as in Python, ignored
    HF_TRY(in_.expect(TokenKind::kBlockEnd, "'%}'"));
    return parse_block(ends);
  }
  Result<Block> parse_last_body(std::string_view end) {
    HF_TRY_ASSIGN(Block body, parse_body({end}));
    in_.take();
    return body;
  }

  Result<Statement> parse_statement() {
    const int line = in_.current().line;
    HF_TRY_ASSIGN(const Token tag, in_.expect_identifier());
    const std::string& name = tag.text;
    if (name == "if") return parse_if(line);
    if (name == "for") return parse_for(line);
    if (name == "set") return parse_set(line);
    if (name == "macro") return parse_macro(line);
    if (name == "call") return parse_call_block(line);
    if (name == "filter") return parse_filter_block(line);
    if (name == "with") return parse_with(line);
    if (name == "print") return parse_print(line);
    if (name == "generation") {
      ScopeStatement scope;
      HF_TRY_ASSIGN(scope.body, parse_last_body("endgeneration"));
      return Statement{line, std::move(scope)};
    }
    if (name == "break" || name == "continue") return parse_jump(line, name == "break");
    static constexpr std::array<std::string_view, 8> kKnown = {
        "import", "from", "include", "extends", "block", "autoescape", "do", "trans"};
    const bool known = std::find(kKnown.begin(), kKnown.end(), name) != kKnown.end();
    const std::string what =
        "line " + std::to_string(line) + ": the statement '" + name.substr(0, 40) + "' is ";
    return unsupported("chat template, " + what + (known ? "not supported" : "unknown"));
  }

  Result<Statement> parse_jump(int line, bool is_break) {
    if (loops_ == 0) {
      return syntax_error(line,
                          std::string(is_break ? "break" : "continue") + " stands outside a loop");
    }
    if (is_break) return Statement{line, BreakStatement{}};
    return Statement{line, ContinueStatement{}};
  }

  Result<Statement> parse_if(int line) {
    IfStatement statement;
    do {
      IfStatement::Branch branch;
      HF_TRY_ASSIGN(branch.condition, in_.parse_tuple(false));
      HF_TRY_ASSIGN(branch.body, parse_body({"elif", "else", "endif"}));
      statement.branches.push_back(std::move(branch));
    } while (in_.take_name("elif"));
    if (in_.take_name("else")) {
      HF_TRY_ASSIGN(statement.otherwise, parse_body({"endif"}));
    }
    HF_TRY(in_.expect_name("endif"));
    return Statement{line, std::move(statement)};
  }

  Result<Statement> parse_for(int line) {
    ForStatement statement;
    HF_TRY_ASSIGN(statement.target, in_.parse_target(false, "in"));
    HF_TRY(in_.expect_name("in"));
    HF_TRY_ASSIGN(statement.iterable, in_.parse_tuple(false, "recursive"));
    if (in_.take_name("if")) {
      HF_TRY_ASSIGN(statement.condition, in_.parse_expression());
    }
    statement.recursive = in_.take_name("recursive");
    ++loops_;
    HF_TRY_ASSIGN(statement.body, parse_body({"else", "endfor"}));
    --loops_;
    if (in_.take_name("else")) {
      HF_TRY_ASSIGN(statement.otherwise, parse_body({"endfor"}));
    }
    HF_TRY(in_.expect_name("endfor"));
    return Statement{line, std::move(statement)};
  }

  Result<Statement> parse_set(int line) {
    HF_TRY_ASSIGN(Target target, in_.parse_target(true));
    if (in_.take_operator("=")) {
      SetStatement statement{std::move(target), nullptr};
      HF_TRY_ASSIGN(statement.value, in_.parse_tuple(true));
      return Statement{line, std::move(statement)};
    }
    SetBlockStatement statement{std::move(target), nullptr, {}};
    if (in_.at_operator("|")) {
      HF_TRY_ASSIGN(statement.filter, in_.parse_filters(nullptr, false));
    }
    HF_TRY_ASSIGN(statement.body, parse_last_body("endset"));
    return Statement{line, std::move(statement)};
  }

  Status parse_signature(Signature& signature) {
    HF_TRY(in_.expect_operator("("));
    while (!in_.at_operator(")")) {
      if (!signature.parameters.empty()) HF_TRY(in_.expect_operator(","));
      const int line = in_.current().line;
      HF_TRY_ASSIGN(Parameter parameter, in_.parse_parameter());
      const bool follows_default =
          !signature.parameters.empty() && signature.parameters.back().fallback;
      if (follows_default && !parameter.fallback) {
        return syntax_error(line, "a parameter without default follows one with default");
      }
      signature.parameters.push_back(std::move(parameter));
    }
    return in_.expect_operator(")");
  }

  // A loop outside a macro is not one that its body can leave.
  Result<Block> parse_callable_body(std::string_view end, Signature& signature) {
    const ExpressionParser::Watch outer = in_.watch();
    in_.watch() = {};
    const int loops = std::exchange(loops_, 0);
    HF_TRY_ASSIGN(Block body, parse_last_body(end));
    loops_ = loops;
    const ExpressionParser::Watch used = in_.watch();
    signature.uses_caller = used.caller;
    signature.uses_varargs = used.varargs;
    signature.uses_kwargs = used.kwargs;
    in_.watch() = {used.caller || outer.caller, used.varargs || outer.varargs,
                   used.kwargs || outer.kwargs};
    return body;
  }

  Result<Statement> parse_macro(int line) {
    MacroStatement statement;
    HF_TRY_ASSIGN(const Token name, in_.expect_identifier());
    statement.symbol = in_.intern(name.text);
    statement.signature.name = name.text;
    HF_TRY(parse_signature(statement.signature));
    HF_TRY_ASSIGN(statement.body, parse_callable_body("endmacro", statement.signature));
    return Statement{line, std::move(statement)};
  }

  Result<Statement> parse_call_block(int line) {
    CallBlockStatement statement;
    statement.signature.name = "caller";
    if (in_.at_operator("(")) HF_TRY(parse_signature(statement.signature));
    HF_TRY_ASSIGN(statement.call, in_.parse_expression());
    if (statement.call->kind != ExpressionKind::kCall) {
      return syntax_error(line, "a call block needs a call");
    }
    HF_TRY_ASSIGN(statement.body, parse_callable_body("endcall", statement.signature));
    return Statement{line, std::move(statement)};
  }

  Result<Statement> parse_filter_block(int line) {
    FilterBlockStatement statement;
    HF_TRY_ASSIGN(statement.filter, in_.parse_filters(nullptr, true));
    HF_TRY_ASSIGN(statement.body, parse_last_body("endfilter"));
    return Statement{line, std::move(statement)};
  }

  Result<Statement> parse_with(int line) {
    ScopeStatement scope;
    while (in_.current().kind != TokenKind::kBlockEnd) {
      if (!scope.variables.empty()) HF_TRY(in_.expect_operator(","));
      HF_TRY_ASSIGN(Target target, parse_with_target());
      HF_TRY(in_.expect_operator("="));
      HF_TRY_ASSIGN(ExpressionPtr value, in_.parse_expression());
      scope.variables.emplace_back(std::move(target), std::move(value));
    }
    HF_TRY_ASSIGN(scope.body, parse_last_body("endwith"));
    return Statement{line, std::move(scope)};
  }

  // A comma separates the variables of `with`, so a target is a plain name there.
  Result<Target> parse_with_target() {
    HF_TRY_ASSIGN(const Token name, in_.expect_identifier());
    Target target;
    target.symbol = in_.intern(name.text);
    return target;
  }

  Result<Statement> parse_print(int line) {
    OutputStatement output;
    while (in_.current().kind != TokenKind::kBlockEnd) {
      if (!output.expressions.empty()) HF_TRY(in_.expect_operator(","));
      HF_TRY_ASSIGN(ExpressionPtr e, in_.parse_expression());
      output.expressions.push_back(std::move(e));
    }
    return Statement{line, std::move(output)};
  }

  ExpressionParser in_;
  int loops_ = 0;
};

}  // namespace

Result<std::shared_ptr<const Program>> parse_program(std::string_view source,
                                                     const Limits& limits) {
  if (source.size() > limits.template_bytes_max) {
    return exhausted("the chat template has " + std::to_string(source.size()) +
                     " bytes; the limit is " + std::to_string(limits.template_bytes_max));
  }
  HF_TRY_ASSIGN(std::vector<Token> tokens, tokenize(source));
  return StatementParser(std::move(tokens), limits).run(limits);
}

}  // namespace holdfast::chat
