// The tests of the language: what may stand after `is`.
#pragma once

#include <string_view>

#include "runtime.h"

namespace holdfast::chat {

struct TestEntry {
  std::string_view name;
  Result<bool> (*call)(Runtime&, const Value& subject, const Arguments&);
};

// nullptr if there is no such test.
const TestEntry* find_test(std::string_view name);

}  // namespace holdfast::chat
