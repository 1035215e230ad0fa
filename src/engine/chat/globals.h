// The functions that every template finds by name.
#pragma once

#include <string_view>

#include "runtime.h"

namespace holdfast::chat {

// nullptr if there is none of this name.
NativeFunction find_global(std::string_view name);
// Called joiner: the separator, but nothing at the first call.
Result<Value> call_joiner(Runtime& runtime, const Value& self, const Arguments& arguments);
// What raised_by_template() finds in the detail of an error.
std::string_view raised_mark();

}  // namespace holdfast::chat
