// Arithmetic and comparison of values with Python's rules.
#pragma once

#include "ast.h"
#include "holdfast/base/result.h"
#include "runtime.h"

namespace holdfast::chat {

// a op b for the operators from kAdd on. kInvalidArgument where Python has no such operation on
// these types, and for division by zero; kExhausted for integers beyond 64 bits and for texts or
// lists above the limits.
Result<Value> arithmetic(Runtime& runtime, Operator op, const Value& a, const Value& b);
// a op b for the operators up to kNotIn.
Result<bool> compare_values(Runtime& runtime, Operator op, const Value& a, const Value& b);
// object[start:stop:step]; null where absent.
Result<Value> slice(Runtime& runtime, const Value& object, const Value* start, const Value* stop,
                    const Value* step);
// -v and +v.
Result<Value> negate(Runtime& runtime, const Value& v);
Result<Value> positive(Runtime& runtime, const Value& v);

}  // namespace holdfast::chat
