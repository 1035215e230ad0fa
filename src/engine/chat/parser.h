// Statements of the template language: source to Program.
#pragma once

#include <memory>
#include <string_view>

#include "ast.h"
#include "holdfast/base/result.h"

namespace holdfast::chat {

// Errors as Template::parse.
Result<std::shared_ptr<const Program>> parse_program(std::string_view source, const Limits& limits);

}  // namespace holdfast::chat
