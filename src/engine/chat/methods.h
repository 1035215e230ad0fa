// Methods of values, as the sandbox of Jinja lets templates see them: nothing private, nothing that
// changes an object.
#pragma once

#include <string_view>

#include "runtime.h"

namespace holdfast::chat {

// nullptr if values of this type have no such method.
NativeFunction find_method(const Value& object, std::string_view name);
// True for every attribute of Python's dict, also the hidden ones: it wins over a member of that
// name.
bool is_dict_attribute(std::string_view name);
// loop.index and the others.
Result<Value> loop_attribute(Runtime& runtime, const Value& loop, std::string_view name);

// For find_method.
NativeFunction find_text_method(std::string_view name);

}  // namespace holdfast::chat
