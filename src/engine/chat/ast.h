// The syntax tree of a template, as the parser builds it and the evaluator walks it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "holdfast/chat/template.h"
#include "value.h"

namespace holdfast::chat {

// Index into Program::symbols.
using Symbol = std::uint32_t;

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;
struct Statement;
using Block = std::vector<Statement>;
struct FilterEntry;
struct TestEntry;

enum class ExpressionKind : std::uint8_t {
  kConstant,     // constant
  kName,         // symbol
  kList,         // operands
  kTuple,        // operands
  kDict,         // operands: key, value, key, value ...
  kAttribute,    // operands[0] . name
  kItem,         // operands[0] [ operands[1] ]
  kSlice,        // operands[0] [ operands[1] : operands[2] : operands[3] ], absent ones null
  kCall,         // operands[0] ( arguments )
  kFilter,       // operands[0] | name ( arguments ); operands[0] null inside a filter block
  kTest,         // operands[0] is name ( arguments )
  kNot,          // operands[0]
  kNegative,     // operands[0]
  kPositive,     // operands[0]
  kAnd,          // operands
  kOr,           // operands
  kConcat,       // operands
  kCompare,      // operands[0] operators[0] operands[1] operators[1] ...
  kArithmetic,   // the same, from left to right
  kConditional,  // operands: condition, then, else or null
};

enum class Operator : std::uint8_t {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
};

struct ArgumentList {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr star;         // *sequence
  ExpressionPtr double_star;  // **mapping
};

struct Expression {
  ExpressionKind kind = ExpressionKind::kConstant;
  int line = 1;
  std::uint32_t depth = 1;  // height of this tree
  Symbol symbol = 0;
  std::string name;
  Value constant;
  std::vector<ExpressionPtr> operands;
  std::vector<Operator> operators;
  ArgumentList arguments;
  const FilterEntry* filter = nullptr;  // null: unknown, an error once it is reached
  const TestEntry* test = nullptr;
};

// What an assignment or a loop writes to: a name, an attribute of a namespace, or a tuple of
// targets.
struct Target {
  enum class Kind : std::uint8_t { kName, kAttribute, kTuple };
  Kind kind = Kind::kName;
  Symbol symbol = 0;
  std::string attribute;
  std::vector<Target> parts;
};

struct DataStatement {
  Value text;
};
struct OutputStatement {
  std::vector<ExpressionPtr> expressions;
};
struct IfStatement {
  struct Branch {
    ExpressionPtr condition;
    Block body;
  };
  std::vector<Branch> branches;
  Block otherwise;
};
struct ForStatement {
  Target target;
  ExpressionPtr iterable;
  ExpressionPtr condition;  // may be null
  Block body;
  Block otherwise;
  bool recursive = false;
};
struct SetStatement {
  Target target;
  ExpressionPtr value;
};
struct SetBlockStatement {
  Target target;
  ExpressionPtr filter;  // may be null
  Block body;
};
struct Parameter {
  Symbol symbol = 0;
  std::string name;
  ExpressionPtr fallback;  // may be null
};
struct Signature {
  std::string name;
  std::vector<Parameter> parameters;
  bool uses_caller = false;
  bool uses_varargs = false;
  bool uses_kwargs = false;
};
struct MacroStatement {
  Symbol symbol = 0;
  Signature signature;
  Block body;
};
struct CallBlockStatement {
  ExpressionPtr call;
  Signature signature;
  Block body;
};
struct FilterBlockStatement {
  ExpressionPtr filter;
  Block body;
};
// `with`, and `generation`, which marks what the model wrote and prints its body as it is.
struct ScopeStatement {
  std::vector<std::pair<Target, ExpressionPtr>> variables;
  Block body;
};
struct BreakStatement {};
struct ContinueStatement {};

struct Statement {
  int line = 1;
  std::variant<DataStatement, OutputStatement, IfStatement, ForStatement, SetStatement,
               SetBlockStatement, MacroStatement, CallBlockStatement, FilterBlockStatement,
               ScopeStatement, BreakStatement, ContinueStatement>
      node;
};

// A parsed template.
struct Program {
  Limits limits;
  std::vector<std::string> symbols;
  Symbol loop = 0;  // symbols that the evaluator itself sets
  Symbol caller = 0;
  Symbol varargs = 0;
  Symbol kwargs = 0;
  Block body;
};

}  // namespace holdfast::chat
