// The command line of Holdfast: parses arguments, runs one command, returns the exit status.
#pragma once

#include <span>
#include <string>

#include "holdfast/config/settings.h"

namespace holdfast::cli {

// Runs `holdfast ARGUMENTS...` (program name not included). Errors are printed; the result is the exit status of
// docs/reference/cli.md.
int run(std::span<const std::string> arguments, const config::Environment& environment);

// The reference of all commands, generated from the same declarations that parse them (docs/reference/cli.md).
std::string reference_markdown();

}  // namespace holdfast::cli
