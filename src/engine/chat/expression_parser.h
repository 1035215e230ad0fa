// Expressions of the template language: tokens to trees, with Jinja's precedence.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ast.h"
#include "holdfast/base/result.h"
#include "lexer.h"

namespace holdfast::chat {

// Reads tokens from left to right. Used by one parse, on one thread.
class ExpressionParser {
 public:
  ExpressionParser(std::vector<Token> tokens, const Limits& limits);

  // An expression; without `conditional` an `if` that follows is left alone.
  Result<ExpressionPtr> parse_expression(bool conditional = true);
  // One or more expressions with commas between them, which make a tuple. Before `stop` (a name)
  // the list may end.
  Result<ExpressionPtr> parse_tuple(bool conditional, std::string_view stop = {});
  // `| name(arguments)` any number of times after `subject`; with `start_inline` the first bar is
  // absent.
  Result<ExpressionPtr> parse_filters(ExpressionPtr subject, bool start_inline);
  Result<Target> parse_target(bool allow_attribute, std::string_view stop = {});
  Result<Parameter> parse_parameter();

  const Token& current() const { return tokens_[position_]; }
  const Token& ahead(std::size_t n = 1) const;
  Token take();
  bool at_operator(std::string_view op) const;
  bool at_name(std::string_view name) const;
  bool take_operator(std::string_view op);
  bool take_name(std::string_view name);
  Status expect_operator(std::string_view op);
  Status expect_name(std::string_view name);
  Status expect(TokenKind kind, std::string_view what);
  Result<Token> expect_identifier();
  Error unexpected(std::string_view wanted = {}) const;

  Symbol intern(std::string_view name);
  std::vector<std::string> take_symbols() { return std::move(symbols_); }

  // Names that were read since the last call of watch(): how macros learn which special variables
  // they use.
  struct Watch {
    bool caller = false;
    bool varargs = false;
    bool kwargs = false;
  };
  Watch& watch() { return watch_; }

  // Counts blocks and brackets inside each other. kExhausted above the limit.
  Status enter();
  void leave() { --nesting_; }

 private:
  Result<ExpressionPtr> parse_binary(int level);
  Result<ExpressionPtr> parse_compare();
  Result<ExpressionPtr> parse_not();
  Result<ExpressionPtr> parse_unary(bool with_filter);
  Result<ExpressionPtr> parse_primary();
  Result<ExpressionPtr> parse_bracketed();
  Result<ExpressionPtr> parse_list();
  Result<ExpressionPtr> parse_dict();
  Result<ExpressionPtr> parse_postfix(ExpressionPtr subject);
  Result<ExpressionPtr> parse_attribute(ExpressionPtr subject);
  Result<ExpressionPtr> parse_subscript(ExpressionPtr subject);
  Result<ExpressionPtr> parse_filter_expression(ExpressionPtr subject);
  Result<ExpressionPtr> parse_test(ExpressionPtr subject);
  Result<ExpressionPtr> parse_call(ExpressionPtr callee);
  Status parse_arguments(ArgumentList& arguments);
  Status parse_argument(ArgumentList& arguments);
  Result<std::string> parse_dotted_name();
  bool at_tuple_end(std::string_view stop) const;
  bool at_compare_operator(Operator& op) const;
  // Sets the height from the parts; kExhausted if the tree is too high.
  Result<ExpressionPtr> finish(ExpressionPtr e) const;

  std::vector<Token> tokens_;
  std::size_t position_ = 0;
  const Limits& limits_;
  std::size_t nesting_ = 0;
  std::vector<std::string> symbols_;
  std::unordered_map<std::string, Symbol> symbol_index_;
  Watch watch_;
};

}  // namespace holdfast::chat
